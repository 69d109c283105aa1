"""A sync into a simulated org, and the org on its own."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_asyncio import fixture

from retl.destinations.salesforce import collections
from retl.engine import pauses
from retl.state.sql import SqlStateStore
from retl.testing import Row, Stage
from tests.destinations.conformance.test_salesforce import Collections
from tests.destinations.simulators.salesforce import SalesforceOrg
from tests.destinations.simulators.salesforce_records import KEY

Made = Callable[..., Any]
ROWS = 12


class Sync(Collections):
    """A sync with mappings and settings of its own."""

    def __init__(self, org: SalesforceOrg, mappings: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> None:
        self.vendor = org
        self.chosen = settings
        key = {"source": "key", "destination": KEY, "key": True}
        self.more = {"mappings": [key, *mappings]} if mappings else {}

    def config(self) -> Mapping[str, Any]:
        return {**super().config(), **self.chosen}


@fixture
async def org() -> AsyncIterator[SalesforceOrg]:
    async with SalesforceOrg().serving() as served:
        yield served


@fixture
async def sync(org: SalesforceOrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Made]:
    """Makes a sync: `sync(mode, *mappings, **settings)`."""
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(collections, "LOCK_PAUSE", 0.01)
    async with AsyncExitStack() as stack:

        async def made(mode: str, *mappings: Mapping[str, Any], **settings: Any) -> Stage:
            state = await SqlStateStore.open(f"sqlite:///{tmp_path}/state.db", key=bytes(32))
            stack.push_async_callback(state.close)
            stage = Stage(Sync(org, mappings, settings), state, tmp_path)
            stage.mode = mode
            stage.rows([stage.case.row(number) for number in range(ROWS)])
            return stage

        yield made


def rows(values: Sequence[str]) -> list[Row]:
    """Rows with these values, under keys of their own."""
    return [Row(f"k{number:05}", value) for number, value in enumerate(values)]
