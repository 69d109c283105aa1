"""`python -m tests.faults`: many seeds, or one with its trace; the code as it is, or with a known bug put back."""

import argparse
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext

from tests.faults.mutations import MUTATIONS, broken
from tests.faults.simulation import Outcome, run

_SHOWN = 12
"""Lines of the trace that are shown before a violation."""
_EVERY = 10.0
"""Seconds between lines of progress."""


def main() -> int:
    """The command; 1 if anything was violated."""
    asked = _arguments()
    if asked.seed is not None:
        return _replay(asked.seed, asked.break_, trace=asked.trace)
    seeds = range(asked.first, asked.first + asked.seeds)
    failed, began, told = 0, time.monotonic(), time.monotonic()
    with ProcessPoolExecutor(asked.jobs) as pool:
        outcomes = pool.map(_quietly, seeds, [asked.break_] * len(seeds), chunksize=8)
        for count, outcome in enumerate(outcomes, 1):
            if outcome.violations:
                failed += 1
                _show(outcome)
            if time.monotonic() - told > _EVERY:
                told = time.monotonic()
                print(f"{count} of {len(seeds)} seeds, {failed} failed, {told - began:.0f} s", flush=True)
    print(f"{len(seeds)} seeds, {failed} failed, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many (default 300)")
    parser.add_argument("--from", type=int, default=1, dest="first", metavar="N", help="the first seed (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: show everything that happened")
    parser.add_argument("--break", choices=sorted(MUTATIONS), dest="break_", help="put a known bug back")
    return parser.parse_args()


def _quietly(seed: int, mutation: str | None) -> Outcome:
    """One seed; its trace only if it failed, because it travels between processes."""
    with broken(mutation) if mutation else nullcontext():
        outcome = run(seed)
    return outcome if outcome.violations else Outcome(seed, (), ())


def _replay(seed: int, mutation: str | None, *, trace: bool) -> int:
    with broken(mutation) if mutation else nullcontext():
        outcome = run(seed)
    if trace:
        print(*outcome.trace, sep="\n")
    _show(outcome, around=not trace)
    return 1 if outcome.violations else 0


def _show(outcome: Outcome, *, around: bool = True) -> None:
    print(f"seed {outcome.seed}: " + (f"{len(outcome.violations)} violations" if outcome.violations else "all holds"))
    for violation in outcome.violations[:5]:
        print(f"  {violation}")
    if outcome.violations and around:
        print(*(f"    {line}" for line in _before_first_violation(outcome.trace)), sep="\n", flush=True)


def _before_first_violation(trace: tuple[str, ...]) -> Iterable[str]:
    at = next((n for n, line in enumerate(trace) if "VIOLATED" in line), len(trace) - 1)
    return trace[max(0, at - _SHOWN) : at + 1]


if __name__ == "__main__":
    sys.exit(main())
