"""The tests that every destination connector passes. What it does not declare, or its receiver has not, is skipped."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
import pytest_asyncio

from retl.destinations.base import Destination, Target
from retl.engine import pauses
from retl.runspec.capabilities import STANDARD_MODES
from retl.runspec.result import RunResult
from retl.state.sql import SqlStateStore
from retl.testing.case import ConnectorCase, NotPossible, Row
from retl.testing.stage import Stage

T = TypeVar("T")


@pytest.mark.asyncio
class Conformance:
    """Subclass it, set `case`, and pytest runs all of it."""

    case: ClassVar[type[ConnectorCase]]

    @pytest_asyncio.fixture
    async def stage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
        """A sync whose receiver is there, and empty."""
        monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.02)
        state = await SqlStateStore.open(f"sqlite:///{tmp_path}/state.db", key=bytes(range(32)))
        case = self.case()
        try:
            async with case.serving():
                yield Stage(case, state, tmp_path)
        finally:
            await state.close()

    @pytest.mark.parametrize("mode", STANDARD_MODES)
    async def test_first_run(self, stage: Stage, mode: str) -> None:
        """Every row arrives, and is counted."""
        rows = await begin(stage, mode)
        result = await stage.run()
        assert result.status == "Succeeded", result.message
        counts = result.counts
        assert counts.created + counts.updated + counts.deleted == len(rows)
        await expect(stage, rows)

    @pytest.mark.parametrize("mode", ["upsert", "insert", "update", "mirror"])
    async def test_nothing_is_sent_that_did_not_change(self, stage: Stage, mode: str) -> None:
        """A second run of the same rows finds them unchanged."""
        rows = await begin(stage, mode)
        await stage.run()
        counts = (await stage.run()).counts
        assert counts.unchanged == len(rows)

    @pytest.mark.parametrize("mode", ["upsert", "update", "mirror"])
    async def test_change(self, stage: Stage, mode: str) -> None:
        """Of all rows, the one that changed is sent."""
        if stage.case.name_field is None:
            pytest.skip("a record is its key alone, so none can change")
        rows = await begin(stage, mode)
        await stage.run()
        rows[3] = stage.case.row(3, version=1)
        stage.rows(rows)
        counts = (await stage.run()).counts
        assert (counts.updated, counts.unchanged) == (1, len(rows) - 1)
        await expect(stage, rows)

    async def test_mirror_deletes_what_it_wrote_and_nothing_else(self, stage: Stage) -> None:
        """Rows that are gone are deleted; records of others stay."""
        rows = await begin(stage, "mirror")
        stranger = stage.case.row(len(rows) + 1_000)
        try:
            await stage.case.seed([stranger])
        except NotPossible:
            stranger = rows[0]
        await stage.run()
        stage.rows(rows[:-2])
        counts = (await stage.run()).counts
        assert counts.deleted == 2
        held = await stage.case.records()
        assert rows[-1].key not in held
        assert stranger.key in held

    @pytest.mark.parametrize("mode", ["upsert", "mirror", "append"])
    async def test_partial_rejection(self, stage: Stage, mode: str) -> None:
        """One bad record is a dead letter under its key, with the receiver's words; all others arrive."""
        rows = await begin(stage, mode)
        rows[5] = possible(lambda: stage.case.refused(5))
        stage.rows(rows)
        result = await stage.run()
        assert (result.status, result.counts.rejected) == ("Succeeded", 1), result.message
        [letter] = await stage.letters()
        assert letter.code in ("DESTINATION_VALIDATION", "CONFLICT", "NOT_FOUND"), letter.code
        assert letter.message
        assert list(letter.record_keys.values()) == [rows[5].key], "outcomes are not in the order of the records"
        await expect(stage, [*rows[:5], *rows[6:]])

    async def test_rate_limit(self, stage: Stage) -> None:
        """Calls that are refused for the rate are made again; no record suffers for it."""
        rows = await begin(stage, "upsert")
        result = await amid(stage, lambda: stage.case.refuse_for_rate(2))
        assert result.status == "Succeeded", result.message
        assert result.counts.rejected == result.counts.unknown == 0
        await expect(stage, rows)

    async def test_outage(self, stage: Stage) -> None:
        """Calls that fail for the receiver's sake are made again."""
        rows = await begin(stage, "upsert")
        result = await amid(stage, lambda: stage.case.fail(2))
        assert result.status == "Succeeded", result.message
        await expect(stage, rows)

    @pytest.mark.parametrize("mode", ["upsert", "append"])
    async def test_lost_reply(self, stage: Stage, mode: str) -> None:
        """A call whose reply is lost is made again where that does no harm, and else its records are unknown."""
        rows = await begin(stage, mode)
        result = await amid(stage, stage.case.drop_reply)
        if mode == "append":
            events = await stage.case.events()
            assert len(events) == len(set(events)), "an event is there twice"
        if mode in stage.capabilities.repeatable:
            assert (result.status, result.counts.unknown) == ("Succeeded", 0), result.message
            await expect(stage, rows)
        elif result.counts.unknown:
            assert {letter.code for letter in await stage.letters()} == {"OUTCOME_UNKNOWN"}
        else:
            assert not result.counts.rejected, "a lost reply is no refusal"

    async def test_login_that_expires(self, stage: Stage) -> None:
        """A token that expires in mid-run is renewed, and no record suffers for it."""
        rows = await begin(stage, "upsert")
        await stage.run()
        rows = [stage.case.row(number, version=1) for number in range(len(rows))]
        stage.rows(rows)
        await attempt(stage.case.expire_login())
        result = await stage.run(prepare=lambda destination: expire_after_first_call(destination, stage.case))
        assert result.status == "Succeeded", result.message
        assert result.counts.rejected == result.counts.unknown == 0
        await expect(stage, rows)

    async def test_wrong_login(self, stage: Stage) -> None:
        """A login that is refused ends the run, says so, and tells no secret."""
        await begin(stage, "upsert")
        stage.login = dict(possible(stage.case.wrong_login))
        result = await stage.run()
        assert (result.status, result.reason) == ("Failed", "DestinationAuth"), result.message
        right = stage.case.login()
        assert not [value for key, value in stage.login.items() if value != right.get(key) and value in result.message]

    @pytest.mark.parametrize("mode", ["upsert", "insert", "mirror"])
    async def test_crash_and_resume(self, stage: Stage, mode: str) -> None:
        """After a run that was killed, the next attempt brings every row there."""
        rows = await begin(stage, mode)
        uid = str(uuid.uuid4())
        await stage.killed(uid)
        result = await stage.run(uid=uid, attempt=2)
        assert result.status == "Succeeded", result.message
        assert result.counts.rejected == result.counts.unknown == 0
        await expect(stage, rows)

    @pytest.mark.parametrize("mode", ["upsert", "mirror"])
    async def test_full_refresh(self, stage: Stage, mode: str) -> None:
        """Every row is sent again when that is asked for."""
        rows = await begin(stage, mode)
        await stage.run()
        counts = (await stage.run(full_refresh=True)).counts
        assert counts.updated + counts.created == len(rows)
        await expect(stage, rows)

    async def test_catalog(self, stage: Stage) -> None:
        """A connector that describes its destination finds the object and the fields of the case in it."""
        if not stage.capabilities.describes:
            pytest.skip("the connector does not declare that it describes objects and fields")
        connector = stage.connector()
        try:
            await connector.server()
            listed = await connector.objects()
            assert listed is not None
            assert stage.case.object in {each.name for each in listed}
            fields = await connector.describe(stage.case.object, "upsert")
            assert fields is not None
            wanted = {stage.case.key_field, stage.case.name_field} - {None}
            assert wanted <= {field.name for field in fields}
        finally:
            await connector.close()


async def begin(stage: Stage, mode: str) -> list[Row]:
    """Rows for a sync in that mode, and at the receiver what the mode needs there; skips what is not declared."""
    if mode not in stage.capabilities.modes:
        pytest.skip(f"connector {stage.case.connector!r} does not declare mode {mode}")
    rows = [stage.case.row(number) for number in range(stage.case.rows)]
    stage.mode = mode
    stage.rows(rows)
    if mode in ("update", "delete"):
        await attempt(stage.case.seed([stage.case.row(number, version=9) for number in range(stage.case.rows)]))
    return rows


async def expect(stage: Stage, rows: list[Row]) -> None:
    """Compare what the receiver holds with the rows."""
    if stage.mode == "append":
        assert sorted(await stage.case.events()) == sorted(row.key for row in rows)
        return
    held = await stage.case.records()
    if stage.mode == "delete":
        assert not {row.key for row in rows} & held.keys()
        return
    named = stage.case.name_field is not None
    assert dict(held) == {row.key: row.name if named else row.key for row in rows}


def expire_after_first_call(destination: Destination, case: ConnectorCase) -> None:
    """Let the login expire while a run is under way."""
    for name in ("write", "submit"):
        carried_out = getattr(destination, name)

        async def then_expired(*arguments: Any, call: Any = carried_out) -> Any:
            answer = await call(*arguments)
            await case.expire_login()
            return answer

        setattr(destination, name, then_expired)


async def amid(stage: Stage, provoke: Callable[[], Awaitable[None]]) -> RunResult:
    """A run to which something happens between `open` and its first record."""

    def prepare(destination: Destination) -> None:
        opened = destination.open

        async def then_provoked(target: Target) -> None:
            await opened(target)
            await provoke()

        setattr(destination, "open", then_provoked)  # noqa: B010 - a method, as far as types know

    try:
        return await stage.run(prepare=prepare)
    except NotPossible as reason:
        pytest.skip(str(reason))


def possible(ask: Callable[[], T]) -> T:
    """What the case says, or skip the test with the reason why it has no answer."""
    try:
        return ask()
    except NotPossible as reason:
        pytest.skip(str(reason))


async def attempt(work: Awaitable[None]) -> None:
    """Do something to the receiver, or skip the test with the reason why not."""
    try:
        await work
    except NotPossible as reason:
        pytest.skip(str(reason))
