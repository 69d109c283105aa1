"""Text for a terminal: columns, wrapped and cut lines, numbers, times. Pure.

What comes from a source or a destination is a stranger's text: before it is shown, whatever a terminal would obey
instead of print (escape sequences, line breaks, changes of direction) is written out as an escape.
"""

import shutil
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

WIDTH = 100
"""Columns, where no terminal says how many it has."""
_MINUTE, _HOUR = 60, 3600


def terminal_width() -> int:
    """Columns of the terminal that stdout is, or of one that may show it later."""
    return max(40, shutil.get_terminal_size((WIDTH, 0)).columns)


def plain(value: str) -> str:
    """A stranger's text on one line, printable."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(value.split()))


def cut(value: str, width: int) -> str:
    """The text in at most so many columns."""
    if columns(value) <= width:
        return value
    while columns(value) > width - 1:
        value = value[:-1]
    return value.rstrip() + "…"


def columns(value: str) -> int:
    """How many columns of a terminal the text takes."""
    if value.isascii():
        return len(value)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in value)


def wrapped(value: str, width: int, indent: str = "", hanging: str | None = None) -> str:
    """The text in lines of at most so many columns, long words whole (a command must stay in one piece)."""
    return textwrap.fill(
        value,
        width,
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str | int | None]]) -> str:
    """Columns two spaces apart, numbers to the right."""
    cells = [[cell(value) for value in row] for row in rows]
    widths = [max(columns(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    numeric = [bool(rows) and all(isinstance(row[i], int) for row in rows) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            " " * (width - columns(text)) + text if right else text + " " * (width - columns(text))
            for text, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in [[name.upper() for name in header], *cells]
    )


def cell(value: str | int | None) -> str:
    """A value as it stands in a table."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else plain(value)


def indented(block: str) -> str:
    """The lines two columns to the right."""
    return "\n".join(f"  {line}" for line in block.splitlines())


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 dead letter`, `1,000 dead letters`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def keys(record_keys: Mapping[str, object]) -> str:
    """Key fields of a record: `tenant=7, id=12`."""
    return ", ".join(f"{plain(field)}={plain(str(value))}" for field, value in record_keys.items()) or "no key"


def seconds(length: float) -> str:
    """`0.4 s`, `3 min 20 s`, `2 h 5 min`."""
    if length < _MINUTE:
        return f"{length:.1f} s"
    whole = round(length)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR:,} h {whole % _HOUR // _MINUTE} min"


def minute(moment: datetime) -> str:
    """A moment for people, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


def iso(moment: datetime | None) -> str | None:
    """A moment for programs, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None
