"""Writes docs/connectors/NAME.md of each destination connector: what it can do and its settings, from its own models.

`python -m tools.connectors` writes the pages; with `--check` it writes nothing, and fails if one is out of date. What
no model knows stands in docs/connectors/notes/NAME.md (setup, permissions, mapping, errors); docs/connectors/NAME.yaml
is the manifest that a page shows and a test validates. A connector without notes has no page.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from retl.destinations.registry import DESTINATIONS
from retl.resources.structural import JsonSchema
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorInfo

DIRECTORY = Path(__file__).parents[1] / "docs" / "connectors"
RESULTS = {
    "record": "each record by itself",
    "job": "each record by itself, once a job has ended",
    "aggregate": "all records of a call together",
}
NULLS = {"clear": "clears the field", "ignore": "leaves the field as it is"}


def pages() -> dict[Path, str]:
    """The pages, each with its text."""
    found = {}
    for notes in sorted((DIRECTORY / "notes").glob("*.md")):
        info = DESTINATIONS.info(notes.stem)
        manifest = (DIRECTORY / f"{notes.stem}.yaml").read_text()
        found[DIRECTORY / notes.name] = "\n".join(_page(notes.stem, info, notes.read_text(), manifest)) + "\n"
    return found


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` name those that are out of date; the exit code."""
    wanted = pages()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.name} is not what the models say; run: make docs", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
    return 0


def _page(name: str, info: ConnectorInfo, notes: str, manifest: str) -> Iterator[str]:
    assert info.capabilities is not None, "a destination says what it can do"
    can = info.capabilities(DESTINATIONS.check(name, info.example))
    yield from (f"# Destination `{name}`", "", "<!-- Written from the connector's models by `make docs`. -->", "")
    yield from (" ".join((info.config.__doc__ or "").split()), "", "## What it can do", "")
    yield from _table(("", ""), list(_abilities(can)))
    yield from ("", "With these settings; others may offer more, as the notes say.", "", "## Settings", "")
    yield from _table(
        ("setting", "default", "means"), list(_settings(info.config.model_json_schema(schema_generator=JsonSchema)))
    )
    if info.credentials is not None:
        yield from ("", "## Secret", "", " ".join((info.credentials.__doc__ or "").split()), "")
        yield from _table(("key", "needed", "means"), list(_keys(info.credentials)))
    yield from ("", notes.strip(), "", "## A manifest", "", "```yaml", manifest.strip(), "```")


def _abilities(can: Capabilities) -> Iterator[tuple[str, str]]:
    yield "modes", ", ".join(can.all_modes)
    yield "records a call", f"{can.default_batch:,}, at most {can.max_batch:,}"
    if can.max_bytes:
        yield "bytes a call", f"{can.max_bytes:,}"
    if can.rate:
        yield "calls", f"{can.rate.requests:,} in {can.rate.per.total_seconds():g} s, unless `rateLimit` says otherwise"
    yield "the reply speaks of", RESULTS[can.results]
    yield "NULL", NULLS[can.nulls]
    yield "repeatable", ", ".join(sorted(can.repeatable))
    yield "finds objects and fields", "yes" if can.describes else "no"
    yield "`onlyIfEmpty`, `lookup`", f"{_said(can.only_if_empty)}, {_said(can.lookups)}"


def _settings(schema: Mapping[str, Any], prefix: str = "", above: Mapping[str, Any] | None = None) -> Iterator[Any]:
    definitions = above if above is not None else schema.get("$defs", {})
    required = schema.get("required", ())
    for name, held in schema.get("properties", {}).items():
        default = "required" if name in required else _default(held)
        yield f"`{prefix}{name}`", default, held.get("description", "")
        below = [(each, ".") for each in (held, *held.get("anyOf", ()))] + [(held.get("items", {}), "[].")]
        for each, joint in below:
            if reference := each.get("$ref"):
                yield from _settings(definitions[reference.rpartition("/")[2]], f"{prefix}{name}{joint}", definitions)


def _default(held: Mapping[str, Any]) -> str:
    value = held.get("default")
    return "" if value in (None, "", [], {}) or isinstance(value, dict) else f"`{value}`"


def _keys(model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        yield f"`{name}`", _said(field.is_required()), field.description or ""


def _said(yes: bool) -> str:
    return "yes" if yes else "no"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
