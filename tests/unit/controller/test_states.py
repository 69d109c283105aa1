"""State tables: what is checked against them and what is drawn from them."""

import pytest

from retl.controller.states import Edge, IllegalTransition, State, mermaid, step
from retl.controller.syncs import states as syncs
from retl.controller.syncs.decide import decide
from retl.resources.sync import SyncStatus
from tests.unit.controller.views import NOON, at, held_by, sync_view

STATES = (State("Open", "it waits"), State("Shut", "it is over"))
EDGES = (Edge("Open", "Shut", "somebody shuts it"),)


def test_a_diagram_begins_in_the_first_state_and_ends_where_no_way_leads_on() -> None:
    assert mermaid(STATES, EDGES).splitlines() == [
        "stateDiagram-v2",
        "    [*] --> Open",
        "    Open --> Shut: somebody shuts it",
        "    Shut --> [*]",
    ]


@pytest.mark.parametrize(("before", "after"), [("Open", "Shut"), ("Open", "Open"), ("Shut", "Shut")])
def test_a_way_of_the_table_may_be_taken_and_nothing_may_stay_as_it_is(before: str, after: str) -> None:
    step(EDGES, before, after)


def test_a_way_that_the_table_does_not_have_is_a_mistake() -> None:
    with pytest.raises(IllegalTransition, match="from Shut to Open"):
        step(EDGES, "Shut", "Open")


@pytest.mark.parametrize(
    ("states", "edges"),
    [(syncs.TICK_STATES, syncs.TICK_EDGES), (syncs.SYNC_STATES, syncs.SYNC_EDGES)],
    ids=["tick", "sync"],
)
def test_a_table_leads_everywhere_from_its_first_state(states: tuple[State, ...], edges: tuple[Edge, ...]) -> None:
    names = [state.name for state in states]
    assert len(set(names)) == len(names)
    assert len({(edge.before, edge.after) for edge in edges}) == len(edges)
    reached = {names[0]}
    for _ in names:
        reached |= {edge.after for edge in edges if edge.before in reached}
    assert reached == set(names)
    assert {edge.before for edge in edges} <= set(names)


def test_a_decision_is_held_against_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = tuple(edge for edge in syncs.TICK_EDGES if (edge.before, edge.after) != ("Due", "Reserved"))
    monkeypatch.setattr(syncs, "TICK_EDGES", fewer)
    with pytest.raises(IllegalTransition, match="from Due to Reserved"):
        decide(sync_view(), NOON)
    busy = sync_view({"active_run": held_by("other")}, vanished=True)
    monkeypatch.setattr(syncs, "SYNC_EDGES", ())
    with pytest.raises(IllegalTransition, match="from Held to Resting"):
        decide(busy, at(-1))


def test_a_status_that_was_never_written_is_of_a_new_sync() -> None:
    assert syncs.sync_state(SyncStatus()) == syncs.SYNC_STATES[0].name
