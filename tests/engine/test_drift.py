"""What a plan says of fields that are gone."""

import pyarrow as pa
import pytest

from retl.destinations.base import FieldInfo
from retl.engine.plan import drift
from retl.runspec.capabilities import Capabilities
from retl.runspec.plan import Drift
from retl.runspec.spec import RunSpec

SPEC = RunSpec.model_validate(
    {
        "run": {"name": "r", "uid": "r"},
        "sync": {"namespace": "n", "name": "s", "uid": "s"},
        "source": {"name": "s", "uid": "s", "connector": "duckdb"},
        "query": {"table": "t"},
        "destination": {"name": "d", "uid": "d", "connector": "hubspot"},
        "object": "contacts",
        "mode": "upsert",
        "primaryKey": ["key"],
        "mappings": [
            {"source": "key", "destination": "email", "key": True},
            {"source": "a", "destination": "address.city"},
            {"source": "b", "destination": "address.zip"},
        ],
    }
)


@pytest.mark.parametrize(
    ("fields", "gone"), [(["email", "address"], []), (["email"], ["address"]), (["address"], ["email"])]
)
def test_of_a_path_the_field_is_its_first_step(fields: list[str], gone: list[str]) -> None:
    can = Capabilities(frozenset({"upsert"}), 1, 1, "json")
    found = drift({}, pa.schema([]), SPEC, [FieldInfo(name, "string") for name in fields], can)
    assert found == [Drift(kind="FieldGone", name=name) for name in gone]


def test_a_column_is_called_as_it_is() -> None:
    can = Capabilities(frozenset({"upsert"}), 1, 1, "arrow")
    known = [FieldInfo(name, "text") for name in ("email", "address.city", "address.zip")]
    assert drift({}, pa.schema([]), SPEC, known, can) == []
