"""Files that tools write out of others: written where they are stale, or with `--check` only named."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def settle(
    wanted: Mapping[Path, str], arguments: Sequence[str], there: Iterable[Path] = (), by: str = "make docs"
) -> int:
    """Write the files, or with `--check` name those that are not as wanted; the exit code.

    Args:
        there: files that are there; what of them is not wanted goes.
        by: the command that writes them.
    """
    gone = [path for path in there if path not in wanted]
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in sorted(gone + stale):
            print(f"{path.relative_to(PROJECT)}: not as what it is written from; run: {by}", file=sys.stderr)
        return 1 if gone or stale else 0
    for path in gone:
        path.unlink()
    for path in stale:
        path.write_text(wanted[path])
    return 0


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a table in Markdown."""
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
