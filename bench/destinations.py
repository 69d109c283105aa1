"""`python -m bench destinations`: each connector against its vendor's API, without a limit and under it.

Each module tests/destinations/conformance/test_NAME.py says in BENCHES what is measured. The vendor is its simulator,
in the same process: rows per second are a floor, calls are exact. A database is a real one, and its calls are batches.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from retl.destinations.base import Batch, Destination, Outcome
from retl.state.sql import SqlStateStore
from retl.testing import ConnectorCase, Stage
from tests.destinations import conformance
from tests.destinations.simulators.base import Window
from tests.destinations.simulators.case import SimulatedCase

HEADER = """
| connector | mode | rows | rows/s | calls per 1,000 rows | documented limit | share of it used |
|---|---|---:|---:|---:|---|---:|"""


@dataclass(frozen=True)
class Bench:
    """What is measured of a connector.

    Attributes:
        documented: the vendor's limit, as it documents it; None if it has none.
        limited_rows: sent under it; enough for some windows.
    """

    name: str
    case: type[ConnectorCase]
    mode: str = "upsert"
    rows: int = 20_000
    documented: Window | None = None
    limited_rows: int = 5_000


def main(arguments: Sequence[str]) -> None:
    """Measure the connectors that were asked for, or all."""
    options = argparse.ArgumentParser(prog="python -m bench destinations", description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help="connectors; all if none")
    wanted = options.parse_args(arguments).names
    print(HEADER)
    for bench in found():
        if not wanted or bench.name in wanted:
            print(asyncio.run(_line(bench)), flush=True)


def found() -> Iterator[Bench]:
    """What the modules of the kit register."""
    for path in sorted(Path(conformance.__path__[0]).glob("test_*.py")):
        yield from getattr(import_module(f"{conformance.__name__}.{path.stem}"), "BENCHES", ())


async def _line(bench: Bench) -> str:
    seconds, calls = await _measure(bench, bench.rows, None)
    free = f"{bench.rows:,} | {bench.rows / seconds:,.0f} | {_few(calls * 1_000 / bench.rows)}"
    limit = share = "–"
    if (window := bench.documented) is not None:
        seconds, calls = await _measure(bench, bench.limited_rows, window)
        limit = f"{window.calls:,} calls in {window.seconds:g} s"
        used = calls / (window.calls * (seconds // window.seconds + 1))
        share = f"{used:.0%}" if used >= 0.01 else "< 1%"
    return f"| {bench.name} | {bench.mode} | {free} | {limit} | {share} |"


def _unlimited(stage: Stage) -> Mapping[str, Any]:
    """The sync's destination, with a limit that nobody reaches in place of the documented one."""
    connection = stage.spec("none", 1).destination.model_dump(by_alias=True, exclude_none=True)
    return {**connection, "rateLimit": {"requests": 1_000_000, "per": "1s"}}


def _few(number: float) -> str:
    """With as many digits as it takes to tell it from nothing."""
    return f"{number:,.1f}" if number >= 0.1 else f"{number:.1g}"


async def _measure(bench: Bench, rows: int, window: Window | None) -> tuple[float, int]:
    """Seconds, and the calls that the vendor took."""
    batches = 0

    def count(destination: Destination) -> None:
        written = destination.write

        async def counted(batch: Batch) -> Sequence[Outcome]:
            nonlocal batches
            batches += 1
            return await written(batch)

        setattr(destination, "write", counted)  # noqa: B010 - a method, as far as types know

    with TemporaryDirectory(prefix="retl-bench-") as directory:
        state = await SqlStateStore.open(f"sqlite:///{directory}/state.db", key=bytes(32))
        case = bench.case()
        case.more = {**case.more, "delivery": {"maxInFlight": 8}}
        try:
            async with case.serving():
                stage = Stage(case, state, Path(directory))
                stage.mode = bench.mode
                stage.rows([case.row(number) for number in range(rows)])
                if isinstance(case, SimulatedCase):
                    case.vendor.faults.window = window
                if window is None:
                    case.more = {**case.more, "destination": _unlimited(stage)}
                began = time.monotonic()
                result = await stage.run(prepare=count)
                took = time.monotonic() - began
                assert result.status == "Succeeded", result.message
                return took, case.bench_calls() if isinstance(case, SimulatedCase) else batches
        finally:
            await state.close()
