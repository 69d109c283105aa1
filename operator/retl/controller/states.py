"""States as tables: what an object can be in, and what brings it from one to the next.

A decision asks the table before it changes a state, and the documentation is drawn from the same table: neither can say
what the other does not.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """One state: its name, and a sentence without a full stop on what it means."""

    name: str
    means: str


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from a state to another, and when it is taken."""

    before: str
    after: str
    when: str


class IllegalTransition(Exception):
    """A decision made a change that its table does not have: a mistake in this program."""


def step(edges: Iterable[Edge], before: str, after: str) -> None:
    """Raise IllegalTransition unless nothing changes or the table has this change."""
    if before != after and not any(edge.before == before and edge.after == after for edge in edges):
        raise IllegalTransition(f"there is no way from {before} to {after}")


def mermaid(states: Iterable[State], edges: Iterable[Edge]) -> str:
    """The table as a Mermaid state diagram; it begins in the first state, and ends where no way leads on.

    Colons and semicolons end a label in Mermaid, so a dash stands in their place.
    """
    states, edges = tuple(states), tuple(edges)
    left = {edge.before for edge in edges}
    lines = ["stateDiagram-v2", f"    [*] --> {states[0].name}"]
    lines += [f"    {edge.before} --> {edge.after}: {re.sub('[:;] ', ' – ', edge.when)}" for edge in edges]
    lines += [f"    {state.name} --> [*]" for state in states if state.name not in left]
    return "\n".join(lines) + "\n"
