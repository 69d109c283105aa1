"""State tables: what is checked against them and what is drawn from them."""

import pytest

from retl.controller.states import Edge, IllegalTransition, State, mermaid, step

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
