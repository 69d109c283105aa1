"""What is asked of files in a bucket, beside what the kit asks of every connector: their own modes, and what fails."""

import gzip
import io
import uuid
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, ClassVar

import orjson
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from obstore.store import ObjectStore as Bucket

from retl.destinations.base import Batch, Destination, Outcome, Target
from retl.destinations.objects import destination
from retl.destinations.registry import DESTINATIONS
from retl.errors import DestinationError
from retl.testing import Conformance, Stage
from retl.testing.case import Row
from retl.testing.conformance import amid, begin, expect
from tests.destinations.simulators.base import Fault
from tests.destinations.simulators.case import SimulatedCase
from tests.destinations.simulators.objects import Gate
from tests.unit.state.object_stores import ObjectStore

OWN_MODES = ("replace", "changes")
MODES = ("append", *OWN_MODES)


class Files(SimulatedCase):
    """A folder of a bucket, a gate before it, and a way to look into it from behind."""

    server: ClassVar[ObjectStore]

    vendor: Gate

    def __init__(self) -> None:
        self.prefix = uuid.uuid4().hex

    @abstractmethod
    def gate(self) -> Gate:
        """Before the server."""

    @abstractmethod
    def behind(self) -> Bucket:
        """The bucket, as the server has it."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        self.vendor, self.bucket = self.gate(), self.behind()
        async with self.vendor.serving():
            yield

    async def refuse_for_rate(self, calls: int) -> None:
        self.vendor.faults.next.extend([Fault(503, {}, "<Code>SlowDown</Code>")] * calls)

    async def fall_silent(self) -> None:
        """The next call is carried out, and neither it nor the next questions are answered."""
        self.vendor.faults.next.extend([Fault(effect=True, drop=True), *[Fault(500)] * len(destination.ASK_AGAIN)])

    async def records(self) -> Mapping[str, str]:
        """What a reader has who takes the files in the order of their names."""
        held: dict[str, str] = {}
        gone = {(row["id"], path.rpartition("/")[2]) for path, row in self.rows_below("deleted")}
        for path, row in [*self.rows_below(""), *self.rows_below("changed")]:
            name = path.rpartition("/")[2]
            if not [at for key, at in gone if key == row["id"] and at > name[: len("20260101T000000000000Z")]]:
                held[row["id"]] = row["name"]
        return held

    async def events(self) -> Sequence[str]:
        return [row["id"] for _, row in self.rows_below("")]

    def paths(self) -> list[str]:
        """All objects of the sync."""
        return sorted(each["path"] for found in self.bucket.list(self.prefix) for each in found)

    def rows_below(self, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Rows of the files in a folder of the object's, each with its path."""
        within = "/".join(part for part in (self.prefix, self.object, folder) if part)
        for path in self.paths():
            if path.rpartition("/")[0] == within and not path.endswith(".json"):
                for row in read(path, bytes(self.bucket.get(path).bytes())):
                    yield path, row


def read(path: str, data: bytes) -> list[dict[str, Any]]:
    """The rows of a file."""
    if path.endswith(".gz"):
        path, data = path.removesuffix(".gz"), gzip.decompress(data)
    if path.endswith(".parquet"):
        return list(pq.read_table(io.BytesIO(data)).to_pylist())
    if path.endswith(".csv"):
        return list(pc.read_csv(io.BytesIO(data)).to_pylist())
    return [orjson.loads(line) for line in data.splitlines()]


class FilesConformance(Conformance):
    """The kit, and what it asks of standard modes asked of `replace` and `changes`."""

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Questions about a file are asked again at once."""
        monkeypatch.setattr(destination, "ASK_AGAIN", (0.0, 0.0, 0.0))

    @pytest.mark.parametrize("mode", OWN_MODES)
    async def test_every_row_arrives_in_a_mode_of_its_own(self, stage: Stage, mode: str) -> None:
        rows = await own(stage, mode)
        result = await stage.run()
        assert (result.status, result.counts.created) == ("Succeeded", len(rows)), result.message
        await expect(stage, rows)

    @pytest.mark.parametrize("mode", OWN_MODES)
    async def test_a_reader_sees_what_changed_and_what_is_gone(self, stage: Stage, mode: str) -> None:
        rows = await own(stage, mode)
        await stage.run()
        rows[3] = stage.case.row(3, version=1)
        stage.rows(rows[:-2])
        counts = (await stage.run()).counts
        sent = len(rows) - 2 if mode == "replace" else 1
        assert (counts.updated, counts.deleted) == (sent, 2)
        await expect(stage, rows[:-2])

    async def test_a_change_is_a_file_of_what_changed_and_one_of_the_keys_that_are_gone(self, stage: Stage) -> None:
        rows = await own(stage, "changes")
        await stage.run()
        stage.rows(rows[:-1])
        await stage.run()
        assert isinstance(stage.case, Files)
        assert [row for _, row in stage.case.rows_below("deleted")] == [{"id": rows[-1].key}]

    async def test_a_replacement_drops_the_files_of_earlier_runs_and_no_others(self, stage: Stage) -> None:
        rows = await own(stage, "replace")
        case = stage.case
        assert isinstance(case, Files)
        folder = f"{case.prefix}/{case.object}"
        strangers = [f"{folder}/notes.txt", f"{folder}/below/20260101T000000000000Z-{'0' * 32}.parquet"]
        for path in strangers:
            case.bucket.put(path, b"mine")
        await stage.run()
        before = {path for path in case.paths() if path not in strangers}
        stage.rows(rows[:-2])
        await stage.run()
        manifest = f"{folder}/_manifest.json"
        now = {*case.paths()} - {*strangers, manifest}
        assert not now & before
        said = orjson.loads(bytes(case.bucket.get(manifest).bytes()))
        assert (said["files"], said["rows"]) == (sorted(now), len(rows) - 2)

    async def test_nothing_is_dropped_before_the_manifest_names_what_replaces_it(self, stage: Stage) -> None:
        rows = await own(stage, "replace")
        await stage.run()
        case = stage.case
        assert isinstance(case, Files)
        case.more = {"delivery": {"batchSize": 100, "maxAttempts": 1}}
        before = {*case.paths()}
        stage.rows(rows[:-1])
        result = await stage.run(prepare=lambda destination: fail_after_first(destination, case))
        assert result.status == "Failed"
        assert before < {*case.paths()}

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("trouble", ["refuse_for_rate", "fail"])
    async def test_no_row_suffers_for_the_stores_sake(self, stage: Stage, mode: str, trouble: str) -> None:
        rows = await own(stage, mode)
        result = await amid(stage, lambda: getattr(stage.case, trouble)(2))
        assert (result.status, result.counts.rejected, result.counts.unknown) == ("Succeeded", 0, 0), result.message
        await expect(stage, rows)

    @pytest.mark.parametrize("mode", MODES)
    async def test_a_file_whose_reply_is_lost_is_there_once(self, stage: Stage, mode: str) -> None:
        rows = await own(stage, mode)
        result = await amid(stage, stage.case.drop_reply)
        assert (result.status, result.counts.unknown) == ("Succeeded", 0), result.message
        await expect(stage, rows)

    async def test_a_file_of_which_the_store_no_longer_speaks_is_in_doubt(self, stage: Stage) -> None:
        await own(stage, "append")
        assert isinstance(stage.case, Files)
        stage.case.more = {"delivery": {"batchSize": 100}}
        result = await amid(stage, stage.case.fall_silent)
        assert result.counts.unknown == stage.case.rows
        assert {letter.code for letter in await stage.letters()} == {"OUTCOME_UNKNOWN"}

    async def test_a_login_that_is_refused_ends_the_run(self, stage: Stage) -> None:
        await own(stage, "append")
        stage.login = dict(stage.case.wrong_login())
        result = await stage.run()
        assert (result.status, result.reason) == ("Failed", "DestinationAuth"), result.message
        assert not [value for value in stage.login.values() if value in result.message]

    @pytest.mark.parametrize("mode", OWN_MODES)
    async def test_a_run_that_was_killed_is_made_good(self, stage: Stage, mode: str) -> None:
        rows = await own(stage, mode)
        uid = str(uuid.uuid4())
        await stage.killed(uid)
        result = await stage.run(uid=uid, attempt=2)
        assert result.status == "Succeeded", result.message
        await expect(stage, rows)
        if mode == "replace":
            assert isinstance(stage.case, Files)
            assert len([*stage.case.rows_below("")]) == len(rows)

    async def test_no_record_is_written_twice_because_a_run_was_killed(self, stage: Stage) -> None:
        rows = await own(stage, "append")
        uid = str(uuid.uuid4())
        await stage.killed(uid)
        result = await stage.run(uid=uid, attempt=2)
        written = await stage.case.events()
        assert len(written) == len({*written})
        assert len(written) + result.counts.unknown >= len(rows)
        assert result.counts.unknown <= 2 * stage.case.batch_size, "more than was in flight"

    async def test_a_check_asks_for_the_bucket_and_writes_nothing(self, stage: Stage) -> None:
        connector = stage.connector()
        await connector.server()
        assert isinstance(stage.case, Files)
        assert {call.method for call in stage.case.vendor.calls} == {"GET"}
        assert await connector.objects() is None
        await connector.close()

    async def test_a_bucket_that_is_not_there_is_named_before_rows_are_read(self, stage: Stage) -> None:
        name, config = stage.case.connector, stage.case.config()
        elsewhere = {each: "no-such-place" for each in ("bucket", "container") if each in config}
        code, login = DESTINATIONS.code(name), DESTINATIONS.login(name, "login", stage.case.login())
        connector = code(DESTINATIONS.check(name, {**config, **elsewhere}), login)
        with pytest.raises(DestinationError, match=r"'no-such-place'.* there is no such bucket"):
            await connector.open(Target("accounts", "append", (), ("id",), timedelta(seconds=5)))

    @pytest.mark.parametrize("mode", OWN_MODES)
    async def test_every_row_is_sent_again_when_that_is_asked_for(self, stage: Stage, mode: str) -> None:
        rows = await own(stage, mode)
        await stage.run()
        counts = (await stage.run(full_refresh=True)).counts
        assert counts.updated + counts.created == len(rows)
        await expect(stage, rows)


async def own(stage: Stage, mode: str) -> list[Row]:
    """Rows for a sync in a mode that is not a standard one."""
    rows = await begin(stage, "append")
    stage.mode = mode
    return rows


def fail_after_first(connector: Destination, case: Files) -> None:
    """Let the store fail once a file was written."""
    write = connector.write

    async def then_failing(batch: Batch) -> Sequence[Outcome]:
        outcomes = await write(batch)
        await case.fail(1)
        return outcomes

    setattr(connector, "write", then_failing)  # noqa: B010 - a method, as far as types know
