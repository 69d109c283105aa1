"""Rows through the whole engine: looked up, wrapped, partly refused, in the words of an endpoint of its own."""

from pathlib import Path

import pytest

from retl.engine import pauses
from retl.state.sql import SqlStateStore
from retl.testing import Row, Stage
from tests.destinations.conformance.test_http import Lists
from tests.destinations.simulators.base import Fault


async def test_rows_are_looked_up_wrapped_and_refused_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.02)
    state = await SqlStateStore.open(f"sqlite:///{tmp_path}/state.db", key=bytes(range(32)))
    case = Looked()
    case.vendor.records["owners"] = {f"o{n}": {"id": f"o{n}", "code": f"c{n}"} for n in range(3)}
    try:
        async with case.serving():
            stage = Stage(case, state, tmp_path)
            stage.rows([Row("a", "c0"), Row("b", "c2"), Row("c", "nobody"), Row("d", "refused")])
            case.vendor.faults.next.append(Fault(429, {"Retry-After": "0"}))
            case.vendor.records["owners"]["bad"] = {"id": "refused", "code": "refused"}
            result = await stage.run()
            letters = {letter.message: letter.code for letter in await stage.letters()}
    finally:
        await state.close()
    assert (result.status, result.counts.created, result.counts.rejected) == ("Succeeded", 2, 2), result.message
    assert case.vendor.records["accounts"] == {"a": {"id": "a", "name": "o0"}, "b": {"id": "b", "name": "o2"}}
    assert letters == {
        "NAME_INVALID: name is refused": "DESTINATION_VALIDATION",
        "name: no record of owners has this value in code": "NOT_FOUND",
    }


class Looked(Lists):
    """Names are looked up, and pages have two records."""

    def __init__(self) -> None:
        super().__init__()
        looked_up = {"object": "owners", "matchField": "code", "returnField": "id", "onMiss": "Fail"}
        self.more = {
            "mappings": [
                {"source": "key", "destination": "id", "key": True},
                {"source": "name", "destination": "name", "lookup": looked_up},
            ]
        }

    def config(self) -> dict[str, object]:
        lookup = {
            "url": f"{self.vendor.url}/{{object}}/find",
            "query": {"field": "{matchField}", "values": "{values}"},
            "pages": {"by": "link"},
        }
        return {**super().config(), "lookup": lookup}
