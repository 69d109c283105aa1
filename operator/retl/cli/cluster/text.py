"""What commands on a cluster print: tables and pages for people, the objects themselves for programs."""

import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import typer

from retl.cli.options import ClusterOutput
from retl.resources import GROUP
from retl.resources.kinds import Manifest

Form = ClusterOutput
MACHINE = (Form.json, Form.yaml, Form.name)
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60
_COLOURS = {
    "green": "Succeeded Ran True",
    "red": "Failed Stalled Missed False problem:",
    "yellow": "AwaitingApproval Skipped Paused Draft Cancelled Pending Unknown waits:",
    "cyan": "Running",
    "bold": "Recent",
}


def say(text: str, *, err: bool = False) -> None:
    """Print lines for a person; words that say how things stand are coloured where a terminal shows them."""
    stream = sys.stderr if err else sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        typer.echo(text, err=err)
        return
    from rich.console import Console
    from rich.text import Text

    painted = Text(text)
    for colour, words in _COLOURS.items():
        painted.highlight_regex(rf"(?<![\w/-])({'|'.join(map(re.escape, words.split()))})(?![\w/-])", colour)
    Console(file=stream, highlight=False).print(painted, soft_wrap=True)


def machine(form: Form, found: Manifest | Sequence[Manifest]) -> str:
    """Objects as programs want them: several as a List and without managedFields, as kubectl does."""
    objects = [_unmanaged(each) for each in ([found] if isinstance(found, dict) else found)]
    if form is Form.name:
        return "\n".join(f"{each['kind'].lower()}.{GROUP}/{each['metadata']['name']}" for each in objects)
    whole = objects[0] if isinstance(found, dict) else {"apiVersion": "v1", "kind": "List", "items": objects}
    if form is Form.yaml:
        import yaml

        return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True).rstrip()
    import orjson

    return orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode()


def _unmanaged(manifest: Manifest) -> Manifest:
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "managedFields"}
    return {**manifest, "metadata": metadata}


def span(seconds: float) -> str:
    """`45s`, `3m20s`, `2h5m`, `4d2h`: the two largest units."""
    whole = max(0, round(seconds))
    for size, name, less, lesser in ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "m"), (_MINUTE, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // less
            return f"{whole // size}{name}" + (f"{rest}{lesser}" if rest else "")
    return f"{whole}s"


def when(moment: datetime | None, now: datetime) -> str | None:
    """`3m20s ago`, `in 2h5m`; None stays None."""
    if moment is None:
        return None
    away = (moment - now).total_seconds()
    return f"in {span(away)}" if away > 0 else f"{span(-away)} ago"


def exact(moment: datetime | None) -> str | None:
    """`2026-01-31T23:59:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def now() -> datetime:
    """The present."""
    return datetime.now(UTC)
