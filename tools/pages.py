"""Draws the pages of docs/states from the tables that the controller itself goes by.

`python -m tools.pages` writes them; with `--check` it writes nothing, and fails if one is not what the tables say.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from retl.controller.runs.states import RUN_EDGES, RUN_STATES
from retl.controller.states import Edge, State, mermaid
from retl.controller.syncs.states import SYNC_EDGES, SYNC_STATES, TICK_EDGES, TICK_STATES
from retl.resources.reasons import RUN_REASONS, TICK_REASONS, Meaning
from tools.generated import PROJECT, settle, table

DIRECTORY = PROJECT / "docs" / "states"


@dataclass(frozen=True, slots=True)
class Page:
    """One state machine.

    Attributes:
        opening: what the thing is and where its state can be read, in Markdown.
    """

    title: str
    opening: str
    states: Sequence[State]
    edges: Sequence[Edge]
    reasons: Mapping[str, Meaning]


PAGES = {
    "sync.md": Page(
        "A sync",
        "A `ReverseETLSync` is never done: it goes back and forth between these states for as long as it exists. "
        "`retl status` and the conditions `Ready` and `Stalled` show them.",
        SYNC_STATES,
        SYNC_EDGES,
        {},
    ),
    "tick.md": Page(
        "A tick",
        "A tick is a moment at which a sync's schedule fires. Each ends in exactly one verdict: Ran, Skipped or "
        "Missed. `status.recentTicks` keeps the last twenty with their reasons; `retl why SYNC` explains them; "
        "[schedules](../schedules.md) has the rules.",
        TICK_STATES,
        TICK_EDGES,
        TICK_REASONS,
    ),
    "run.md": Page(
        "A run",
        "A `SyncRun` is one execution: `status.phase` is its state, and the reason and message of its condition "
        "`Succeeded` say why. Succeeded, Failed and Cancelled are final: to try once more, create another SyncRun.",
        RUN_STATES,
        RUN_EDGES,
        RUN_REASONS,
    ),
}


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` name those that are out of date; the exit code."""
    return settle({DIRECTORY / name: "\n".join(_lines(page)) + "\n" for name, page in PAGES.items()}, arguments)


def _lines(page: Page) -> Iterator[str]:
    yield from (f"# {page.title}", "", "<!-- Drawn from the controller's tables by `make docs`; do not edit. -->", "")
    yield from (page.opening, "", "```mermaid", mermaid(page.states, page.edges).rstrip(), "```", "")
    yield from table(("state", "means"), [(f"`{state.name}`", state.means) for state in page.states])
    yield ""
    yield from table(("from", "to", "when"), [(f"`{e.before}`", f"`{e.after}`", e.when) for e in page.edges])
    if page.reasons:
        yield from ("", "## Reasons", "")
        rows = [(f"`{reason}`", meaning.means, meaning.do) for reason, meaning in sorted(page.reasons.items())]
        yield from table(("reason", "means", "what to do"), rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
