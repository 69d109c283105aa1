"""Writes the pages of docs/reference out of what the programs themselves know: nothing there is typed twice.

Kinds come from the CustomResourceDefinitions, commands from the command line's own tree, metrics from what both
processes expose, REST from the OpenAPI description, values from the chart. `python -m tools.reference` writes the
pages; with `--check` it writes nothing, and fails if one is not current.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer.main
import yaml
from fastapi import FastAPI
from prometheus_client import generate_latest
from typer.testing import CliRunner

from retl.cli.app import app as command_line
from retl.controller.telemetry.metrics import Metrics
from retl.errors import StateError
from retl.resources.crds import crds
from retl.rest.metrics import Metrics as ApiMetrics
from retl.rest.pages.openapi import describe
from retl.rest.requests.limits import Limits
from retl.rest.reverse_etl import router as reverse_etl
from retl.rest.workspaces import router as workspaces
from tools.generated import PROJECT, settle, table

DIRECTORY = PROJECT / "docs" / "reference"
CHART = PROJECT / "charts" / "reverse-etl-operator"
EDIT = "<!-- Written by tools/reference.py out of the programs; do not edit. -->"
KINDS = ("ReverseETLSync", "SyncModel", "SyncSource", "SyncDestination", "SyncRun")
WIDTH = "100"
"""Columns that help texts are set in, whatever terminal this is."""
FORMS = {"write a duration": "duration: `1h30m`", "must be longer than nothing": "duration", "a name has": "name"}
"""How rules begin that say what many fields are; these are told as the field's type."""
Schema = Mapping[str, Any]
Row = Sequence[str]


def kinds() -> Iterator[str]:
    """Every field of every kind."""
    yield from (
        "# Kinds",
        "",
        EDIT,
        "",
        "Group `reverseetl.io`, version `v1alpha1`, namespaced. The API server refuses what breaks a rule, in the "
        "words that stand here; `kubectl explain reverseetlsync.spec.delivery` shows the same. `[]` stands for each "
        "item of a list, `.*` for each key of a map; **bold** fields are required.",
    )
    found = {crd["spec"]["names"]["kind"]: crd["spec"] for crd in map(yaml.safe_load, crds().values())}
    for kind in KINDS:
        names, schema = found[kind]["names"], found[kind]["versions"][0]["schema"]["openAPIV3Schema"]
        short = ", ".join(f"`{name}`" for name in names.get("shortNames", ()))
        yield from ("", f"## {kind}", "", f"{schema['description']} Short name: {short}.")
        for part in ("spec", "status"):
            yield from ("", f"### {kind} {part}", "", *_rules(schema["properties"][part]))
            yield from table(("field", "type", "default", "says"), list(_fields(schema["properties"][part])))


def _rules(schema: Schema) -> list[str]:
    messages = [f"- {_plain(message)}" for message in _messages(schema)]
    return [*messages, ""] if messages else []


def _fields(schema: Schema, path: str = "") -> Iterator[Row]:
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        here = f"{path}{name}"
        shown = f"**`{here}`**" if name in required else f"`{here}`"
        default = f"`{_compact(field['default'])}`" if "default" in field else ""
        rules = [message for message in _messages(field) if not message.startswith(tuple(FORMS))]
        says = " ".join([field.get("description", ""), *(f"Rule: {rule}." for rule in rules)]).strip()
        yield shown, _type(field), default, _plain(says)
        inner = _inner(field)
        suffix = "[]" if field.get("type") == "array" else ".*" if "additionalProperties" in field else ""
        yield from _fields(inner, f"{here}{suffix}.")


def _inner(field: Schema) -> Schema:
    """The schema of a list's items or a map's values; else the field's own."""
    items = field.get("items") or field.get("additionalProperties")
    return items if isinstance(items, dict) else field


def _messages(field: Schema) -> list[str]:
    return [rule["message"] for rule in _inner(field).get("x-kubernetes-validations", ())]


def _type(field: Schema) -> str:
    for message in _messages(field) if field.get("type") == "string" else ():
        for beginning, form in FORMS.items():
            if message.startswith(beginning):
                return form
    if field.get("x-kubernetes-int-or-string"):
        return "integer or text"
    if field.get("type") == "array":
        most = f", at most {field['maxItems']}" if "maxItems" in field else ""
        return f"list of {_type(field['items'])}{most}"
    if "enum" in field:
        return " / ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("format", field.get("type", "any"))
    if "minimum" in field or "maximum" in field:
        return f"{kind}, {field.get('minimum', '')}–{field.get('maximum', '')}"
    if "maxLength" in field:
        return f"{kind}, at most {field['maxLength']}"
    return str(kind)


def cli() -> Iterator[str]:
    """What every command says of itself."""
    yield from ("# Command line", "", EDIT, "")
    yield "What each command says to `--help`; examples: [without a cluster](../cli.md), [with one](../cli-cluster.md)."
    for words in _commands(typer.main.get_command(command_line)):
        asked = [*words, "--help"]
        said = CliRunner().invoke(command_line, asked, prog_name="retl", env={"COLUMNS": WIDTH, "NO_COLOR": "1"}).stdout
        yield from ("", f"## retl {' '.join(words)}", "", "```text", said.strip(), "```")


def _commands(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    for word, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, *words, word)
    if not hasattr(command, "commands"):
        yield words


def metrics() -> Iterator[str]:
    """Every metric as both processes expose it."""
    yield from ("# Metrics", "", EDIT, "")
    yield "Type and text are what `/metrics` says; how to read and ask them is in [metrics](../metrics.md)."
    controller, api = Metrics(), ApiMetrics(_closed)
    controller.look()
    api.watch(Limits())
    texts = {"Controller": controller.exposition().decode(), "API pod": generate_latest(api.registry).decode()}
    labels = _labels()
    for process, text in texts.items():
        types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
        helps = dict(re.findall(r"^# HELP (\w+) (.*)$", text, re.MULTILINE))
        rows = [(f"`{name}`", types[name], labels.get(name, ""), _plain(helps[name])) for name in sorted(types)]
        yield from ("", f"## {process}", "", *table(("metric", "type", "labels", "says"), rows))


def _closed() -> Any:
    raise StateError("no database is needed to say which metrics there are")


def _labels() -> dict[str, str]:
    """Labels of each metric, which one that has no series yet cannot tell, from the page that a test holds to them."""
    found: dict[str, str] = {}
    for section in re.split(r"^## ", (PROJECT / "docs" / "metrics.md").read_text(), flags=re.MULTILINE):
        shared = ["namespace", "sync"] if section.startswith("Controller: each sync") else []
        for name, named in re.findall(r"^\| `(retl_\w+)` \| (.*?) ?\| \w+ \| \S", section, re.MULTILINE):
            found[name] = ", ".join(f"`{label}`" for label in [*shared, *re.findall(r"`(\w+)`", named)])
    return found


def rest() -> Iterator[str]:
    """Every operation of both dialects."""
    app = FastAPI()
    app.include_router(workspaces.router)
    app.include_router(reverse_etl.router)
    paths = describe(app)["paths"]
    yield from ("# REST", "", EDIT, "")
    yield (
        "Every operation of the public port. `/docs` of a running pod has them with schemas and examples, to be tried; "
        "what all of them have in common (headers, pages, versions, problems) is in [REST API](../rest.md)."
    )
    yield from ("", "![The page /docs of an API pod](../pictures/api.png)")
    for title, base in (("Workspaces", "/api/v1/workspaces/{id}"), ("Reverse ETL", "/api/reverse-etl")):
        yield from ("", f"## {title}", "", f"Below `{base}`:", "")
        rows = [
            (f"`{method.upper()} {path.removeprefix(base)}`", *_operation(operation))
            for path, item in paths.items()
            for method, operation in item.items()
            if path.startswith(base) and isinstance(operation, dict)
        ]
        yield from table(("operation", "does", "query", "body"), rows)


def _operation(operation: Schema) -> tuple[str, str, str]:
    query = [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    required = content.get("required", ())
    body = [f"**`{name}`**" if name in required else f"`{name}`" for name in content.get("properties", ())]
    does = f"{operation['summary']}. {operation.get('description', '')}".strip()
    return _plain(does), ", ".join(f"`{name}`" for name in query), ", ".join(body)


def values() -> Iterator[str]:
    """The chart's values, as its own README lists them."""
    yield from ("# Chart values", "", EDIT, "")
    yield "What `helm install -f` may be given. A value that is not here, or of another type, is refused by the schema."
    tables = re.search(r"^\| value.*?(?=\n\n## )", (CHART / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    if tables is None:
        raise SystemExit(f"{CHART / 'README.md'}: there is no table of values; run: make docs")
    yield from ("", tables[0])


def _plain(text: str) -> str:
    """A program's text as Markdown: in one line, with nothing in it that would be read as a tag."""
    return re.sub(r"\s+", " ", text).replace("<", "&lt;").strip()


def _compact(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).replace("...", "").strip()


PAGES = {"kinds": kinds, "cli": cli, "metrics": metrics, "rest": rest, "values": values}


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` name those that are not current; the exit code."""
    return settle({DIRECTORY / f"{name}.md": "\n".join(lines()) + "\n" for name, lines in PAGES.items()}, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
