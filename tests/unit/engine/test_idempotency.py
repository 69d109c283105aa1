"""An idempotency key is the same for the same change, and for nothing else."""

import uuid
from typing import Any

import pytest

from retl.engine.idempotency import RecordIds, id_scope
from retl.runspec.spec import RunSpec

KEYS, ROWS = bytes(range(48)), bytes(range(48, 96))


def spec(uid: str, **more: Any) -> RunSpec:
    return RunSpec.model_validate(
        {
            "run": {"name": "run", "uid": uid},
            "sync": {"namespace": "n", "name": "s", "uid": "u"},
            "source": {"name": "w", "uid": "w", "connector": "duckdb"},
            "query": {"table": "t"},
            "destination": {"name": "d", "uid": "d", "connector": "http"},
            "object": "o",
            "mode": "upsert",
            "primaryKey": ["id"],
            "mappings": [{"source": "id", "destination": "id", "key": True}],
            **more,
        }
    )


def test_they_are_uuids_one_a_record_and_do_not_depend_on_the_batch() -> None:
    whole = RecordIds(KEYS, ROWS, b"run")
    halves = [*RecordIds(KEYS[:16], ROWS[:16], b"run"), *RecordIds(KEYS[16:], ROWS[16:], b"run")]
    assert list(whole) == halves == whole[:]
    assert len(set(whole)) == len(whole) == 3
    assert all(str(uuid.UUID(each)) == each for each in whole)
    assert whole[-1] == halves[2]


def test_another_key_row_or_scope_makes_another() -> None:
    ids = {
        RecordIds(KEYS[:16], ROWS[:16], b"")[0],
        RecordIds(KEYS[16:32], ROWS[:16], b"")[0],
        RecordIds(KEYS[:16], ROWS[16:32], b"")[0],
        RecordIds(KEYS[:16], ROWS[:16], b"run")[0],
    }
    assert len(ids) == 4


CURSOR = {"changeDetection": {"strategy": "Cursor", "column": "at"}}


@pytest.mark.parametrize(
    ("semantics", "more", "same"),
    [
        ("insert", {}, True),
        ("append", CURSOR, True),
        ("append", {}, False),
        ("upsert", {}, False),
        ("upsert", CURSOR, False),
        ("mirror", {}, False),
    ],
)
def test_only_what_can_happen_once_keeps_its_key_in_another_run(
    semantics: str, more: dict[str, Any], same: bool
) -> None:
    first, second = id_scope(spec("run-1", **more), semantics), id_scope(spec("run-2", **more), semantics)
    assert (first == second) is same
    assert id_scope(spec("run-1", **more), semantics) == first, "the same in a further attempt of the run"
