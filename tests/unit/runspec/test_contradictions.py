"""What a sync cannot ask of its destination."""

from typing import Any

import pytest

from retl.runspec.capabilities import Capabilities
from retl.runspec.contradictions import problems
from retl.runspec.spec import RunSpec

KEY = {"source": "id", "destination": "id", "key": True}
PLAIN = {"source": "name", "destination": "name"}
TABLE = Capabilities(
    modes=frozenset({"upsert", "append", "mirror"}),
    default_batch=10,
    max_batch=10,
    payload="json",
    declared={"add": "insert"},
)


def spec(**changes: Any) -> RunSpec:
    connection = {"name": "c", "uid": "u", "connector": "tool"}
    whole = {
        "run": {"name": "run", "uid": "r"},
        "sync": {"namespace": "n", "name": "s", "uid": "u"},
        "source": connection,
        "query": {"table": "t"},
        "destination": connection,
        "object": "o",
        "mode": "upsert",
        "primaryKey": ["id"],
        "mappings": [KEY, PLAIN],
    }
    return RunSpec.model_validate(whole | changes)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"mode": "add"}, []),
        ({"mode": "append", "mappings": [PLAIN]}, []),
        ({"mappings": [], "allColumns": {}}, []),
        (
            {"mode": "delete"},
            ["mode: destination connector 'tool' does not support 'delete'; it supports: upsert, mirror, append, add"],
        ),
        (
            {"mode": "add", "mappings": [PLAIN]},
            ["mappings: mode add needs a key: mark at least one mapping with key: true"],
        ),
        ({"primaryKey": []}, ["primaryKey: name the columns that identify a row"]),
        (
            {"mode": "mirror", "changeDetection": {"strategy": "Cursor", "column": "at"}},
            ["changeDetection.strategy: mode mirror must read every row to know which are gone; use Snapshot"],
        ),
        (
            {"mappings": [KEY, PLAIN | {"onlyIfEmpty": True}]},
            ["mappings[1].onlyIfEmpty: connector 'tool' writes without looking; remove it"],
        ),
        (
            {"mappings": [KEY, PLAIN | {"lookup": {"object": "o", "matchField": "a", "returnField": "b"}}]},
            ["mappings[1].lookup: connector 'tool' cannot look up records; remove it"],
        ),
        (
            {"mappings": [{"metadata": "RunId", "destination": "id", "key": True}]},
            ["mappings[0].metadata: what the run says of itself differs from run to run, and cannot be a key"],
        ),
        (
            {"mappings": [KEY | {"skipNulls": True}]},
            ["mappings[0].skipNulls: a key is never NULL: such a row is invalid; remove it"],
        ),
        (
            {"mappings": [KEY, {"metadata": "RunId", "destination": "run", "cast": "integer"}]},
            ["mappings[1].cast: RunId cannot be cast to integer"],
        ),
        ({"mappings": [KEY, {"metadata": "Tick", "destination": "at", "cast": "date"}]}, []),
        (
            {"mappings": [KEY, PLAIN | {"destination": "id.first"}]},
            ["mappings[1].destination: 'id.first' and 'id' (mappings[0]) cannot be in one record"],
        ),
    ],
)
def test_a_contradiction_is_said_with_its_field(changes: dict[str, Any], found: list[str]) -> None:
    assert problems(spec(**changes), TABLE) == found
