"""allColumns written out, and the limits of columns and fields."""

from typing import Any

import pytest

from retl.engine.selection import expand
from retl.errors import InvalidInput
from tests.unit.engine.mapped import spec

KEY = {"source": "id", "destination": "Id", "key": True}


def fields(mappings: list[dict[str, Any]], names: list[str], payload: Any = "json", **more: Any) -> list[str]:
    run = spec(mappings, **{"allColumns": {}, **more})
    return [f"{m.source}>{m.destination}{'*' * m.key}" for m in expand(run, names, payload)]


@pytest.mark.parametrize(
    ("mappings", "more", "expected"),
    [
        ([], {}, ["id>id*", "a>a", "b.c>b\\.c"]),
        ([], {"allColumns": {"exclude": ["a"]}}, ["id>id*", "b.c>b\\.c"]),
        ([KEY], {}, ["id>Id*", "a>a", "b.c>b\\.c"]),
        ([{"source": "id", "destination": "Id"}], {}, ["id>Id*", "a>a", "b.c>b\\.c"]),
        ([{"source": "a", "destination": "A", "key": True}], {}, ["a>A*", "id>id", "b.c>b\\.c"]),
        ([{"value": "x", "destination": "a"}], {}, ["None>a", "id>id*", "b.c>b\\.c"]),
        ([], {"mode": "append"}, ["id>id", "a>a", "b.c>b\\.c"]),
    ],
)
def test_every_other_column_goes_to_the_field_of_its_name(
    mappings: list[dict[str, Any]], more: dict[str, Any], expected: list[str]
) -> None:
    assert fields(mappings, ["id", "a", "b.c"], **more) == expected


def test_for_columns_a_name_is_no_path() -> None:
    assert fields([], ["id", "b.c"], "arrow") == ["id>id*", "b.c>b.c"]


@pytest.mark.parametrize(
    ("names", "more", "words"),
    [
        (["id", *(f"c{i}" for i in range(9999))], {}, "the query returns 10000 columns; at most 2000 can be read"),
        (["id", *(f"c{i}" for i in range(9999))], {"allColumns": None, "mappings": [KEY]}, "returns 10000 columns"),
        (["id", *(f"c{i}" for i in range(500))], {}, "501 fields would be written, and 500 is the most: exclude"),
        (["id", "a"], {"allColumns": {"exclude": ["A"]}}, 'exclude[0]: unknown column "A"; did you mean "a"?'),
        (["id", "a"], {"allColumns": {"exclude": ["id"]}}, 'column "id" of the primary key is mapped to no field'),
    ],
)  # fmt: skip
def test_what_cannot_be_mapped_is_refused_with_what_to_do(names: list[str], more: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        fields(more.pop("mappings", []), names, **more)
    assert words in str(refused.value)
