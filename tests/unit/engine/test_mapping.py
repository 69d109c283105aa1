"""Mappings compiled: identity, hashes, records, and what is said of rows that cannot be mapped."""

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest

from retl.engine.mapping import NULL_KEY
from retl.errors import InvalidInput
from tests.unit.engine.mapped import BEGAN, mapped, spec

ID: dict[str, Any] = {"source": "id", "destination": "id", "key": True}
ROWS = "SELECT * FROM (VALUES (1, 'Ann', '10'), (2, NULL, 'ten'), (NULL, 'Bob', '30')) t(id, name, amount)"


def column(name: str, **more: Any) -> dict[str, Any]:
    return {"source": name, "destination": name, **more}


def test_the_primary_key_is_the_records_key_where_it_is_mapped_as_it_is() -> None:
    own = mapped(ROWS, spec([ID, column("name")]))
    assert own.projection.own_keys
    assert "p" not in own.staged[0]
    assert own.of("bad") == [None, None, NULL_KEY]
    assert own.staged[2]["k"] == own.staged[2]["r"]


@pytest.mark.parametrize(
    "key",
    [
        {"source": "id", "destination": "id", "key": True, "cast": "string"},
        {"expression": "id + 0", "destination": "id", "key": True},
        {"source": "id", "destination": "id", "key": True, "hash": {}},
        {"source": "name", "destination": "id", "key": True},
    ],
)
def test_a_key_that_is_made_otherwise_stands_beside_the_primary_key(key: dict[str, Any]) -> None:
    other = mapped(ROWS, spec([key]))
    assert not other.projection.own_keys
    assert other.staged[0]["p"] != other.staged[0]["k"]


def test_a_record_is_known_by_its_key_fields_however_they_are_made() -> None:
    plain = mapped("SELECT 7 AS id, '007' AS code", spec([ID]))
    for key in (
        {"source": "id", "destination": "id", "key": True, "cast": "string"},
        {"expression": "CAST(code AS INTEGER)", "destination": "id", "key": True},
        {"source": "code", "destination": "id", "key": True, "cast": "integer"},
        {"expression": "CAST(id AS DECIMAL(10,3))", "destination": "id", "key": True},
        {"expression": "CAST(id AS DOUBLE)", "destination": "id", "key": True},
    ):
        assert mapped("SELECT 7 AS id, '007' AS code", spec([key])).of("k") == plain.of("k"), key


def test_keys_of_several_fields_do_not_run_into_one_another_nor_depend_on_their_order() -> None:
    rows = """SELECT * FROM (VALUES ('x","y', 'z'), ('x', 'y","z'), ('x', 'y'), ('xy', ''), ('x,1:y', '')) t(a, b)"""
    a, b = column("a", key=True), column("b", key=True)
    there = mapped(rows, spec([a, b], primaryKey=["a", "b"]))
    back = mapped(rows, spec([b, a], primaryKey=["b", "a"]))
    assert there.of("k") == back.of("k")
    assert len(set(there.of("k"))) == 5


def test_a_key_that_cannot_be_made_leaves_the_row_known_by_its_primary_key() -> None:
    found = mapped(ROWS, spec([{"source": "amount", "destination": "id", "key": True, "cast": "integer"}]))
    assert found.of("bad") == [None, 0, NULL_KEY]
    assert [row["k"] == row["p"] for row in found.staged] == [False, True, True]
    assert found.staged[2]["k"] == found.staged[2]["r"]


def test_an_append_needs_no_key_at_the_destination() -> None:
    found = mapped(ROWS, spec([column("name")], mode="append"))
    assert found.projection.own_keys
    assert found.sent[0]["key_record"] is None


def test_a_row_that_cannot_be_mapped_says_which_mapping_which_column_and_which_value() -> None:
    run = spec([ID, column("amount", cast="number"), column("name", cast="boolean")])
    found = mapped(ROWS, run)
    assert [row["message"] for row in found.sent] == [
        "mappings[2] (name): column \"name\" is 'Ann', which cannot be cast to boolean",
        "mappings[1] (amount): column \"amount\" is 'ten', which cannot be cast to number",
        None,
    ]
    assert found.payloads[1] == '{"id":2,"amount":"ten","name":null}'
    assert found.payloads[0] == '{"id":1,"amount":10,"name":"Ann"}'


def test_a_message_shows_eighty_characters_of_a_value_and_none_of_a_sensitive_one() -> None:
    rows = f"SELECT 1 AS id, '{'x' * 100}' AS a"
    shown = mapped(rows, spec([ID, column("a", cast="integer")])).sent[0]["message"]
    assert f"'{'x' * 80}…'" in shown
    hidden = mapped(rows, spec([ID, column("a", cast="integer", sensitive=True)])).sent[0]
    assert hidden["message"] == 'mappings[1] (a): column "a" is ‹redacted›, which cannot be cast to integer'
    assert "x" * 100 in hidden["payload"]


def test_a_column_that_is_sensitive_anywhere_is_shown_nowhere() -> None:
    run = spec([ID, column("a", sensitive=True), {"expression": "CAST(a AS INT) + id", "destination": "b"}])
    assert mapped("SELECT 1 AS id, 'secret' AS a", run).sent[0]["message"] == (
        "mappings[2] (b): the expression cannot be computed for a = ‹redacted›, id = '1'"
    )


def test_an_expression_that_fails_says_for_which_values() -> None:
    run = spec([ID, {"expression": "CAST(amount AS INT) + id", "destination": "sum"}])
    found = mapped(ROWS, run)
    assert found.of("bad") == [None, 1, NULL_KEY]
    assert found.sent[1]["message"] == (
        "mappings[1] (sum): the expression cannot be computed for amount = 'ten', id = '2'"
    )


def test_the_result_of_an_expression_is_cast_like_a_column() -> None:
    run = spec([ID, {"expression": "name || '!'", "destination": "n", "cast": "integer"}])
    assert mapped(ROWS, run).sent[0]["message"] == (
        "mappings[1] (n): the expression's result is 'Ann!', which cannot be cast to integer"
    )


def test_an_invalid_row_changes_when_what_is_wrong_with_it_changes() -> None:
    run = spec([ID, column("amount", cast="integer"), {"metadata": "RunTime", "destination": "at"}])
    one, same = mapped("SELECT 1 AS id, 'a' AS amount", run), mapped("SELECT 1 AS id, 'a' AS amount", run)
    other = mapped("SELECT 1 AS id, 'b' AS amount", run)
    later = mapped("SELECT 1 AS id, 'a' AS amount", run, began=BEGAN + timedelta(hours=1))
    assert one.of("r") == same.of("r") == later.of("r")
    assert one.of("r") != other.of("r")


def test_what_the_run_says_of_itself_is_sent_and_makes_no_change() -> None:
    facts = ("RunId", "RunName", "RunTime", "Tick", "Sync")
    mappings = [ID, *({"metadata": fact, "destination": fact} for fact in facts)]
    first = mapped(ROWS, spec(mappings))
    assert json.loads(first.payloads[0]) == {
        "id": 1,
        "RunId": "run-uid",
        "RunName": "sync-202603011200",
        "RunTime": "2026-03-01T12:00:00Z",
        "Tick": "2026-03-01T12:00:00Z",
        "Sync": "sync",
    }
    later = mapped(ROWS, spec(mappings, run={"uid": "another", "tick": None}), began=BEGAN + timedelta(hours=1))
    assert later.of("r") == first.of("r")
    assert json.loads(later.payloads[0])["Tick"] is None
    assert mapped(ROWS, spec([*mappings, {"metadata": "RunTime", "destination": "x"}])).of("r") != first.of("r")


def test_what_the_run_says_of_itself_can_be_cast() -> None:
    run = spec([ID, {"metadata": "RunTime", "destination": "day", "cast": "date"}])
    assert mapped(ROWS, run).payloads[0] == '{"id":1,"day":"2026-03-01"}'


@pytest.mark.parametrize(
    "change",
    [
        {"destination": "b"},
        {"skipNulls": True},
        {"cast": "json"},
        {"lookup": {"object": "o", "matchField": "a", "returnField": "b"}},
        {"onlyIfEmpty": True},
    ],
)
def test_another_mapping_makes_every_row_a_changed_one(change: dict[str, Any]) -> None:
    rows = "SELECT 1 AS id, '1' AS a"
    before, after = mapped(rows, spec([ID, column("a")])), mapped(rows, spec([ID, column("a") | change]))
    assert before.of("r") != after.of("r")
    assert before.of("k") == after.of("k")


def test_another_constant_makes_every_row_a_changed_one() -> None:
    values = [mapped(ROWS, spec([ID, {"value": v, "destination": "c", **more}])).of("r")[0] for v, more in
              (("1", {}), ("2", {}), ("1", {"cast": "integer"}))]  # fmt: skip
    assert len(set(values)) == 3


def test_hashes_are_salted() -> None:
    one, other = (mapped(ROWS, spec([ID, column("name")]), salt=salt) for salt in (b"a", b"b"))
    assert not {*one.of("k"), *one.of("r")} & {*other.of("k"), *other.of("r")}


def test_values_do_not_run_into_one_another_in_the_row_hash() -> None:
    rows = """SELECT 1 AS id, * FROM (VALUES ('a', 'b'), ('a,1:b', ''), ('', 'a,1:b'), (NULL, 'b'), ('', 'b'),
        ('b', NULL), ('b', ''), ('NULL', 'b'), (':', ','), (',', ':')) t(a, b)"""
    found = mapped(rows, spec([ID, column("a"), column("b")]))
    assert len(set(found.of("r"))) == len(found.staged) == 10


def test_a_key_is_the_md5_of_salt_and_value_on_every_platform_and_version() -> None:
    (row,) = mapped("SELECT 7 AS id", spec([ID])).staged
    assert row["k"].bytes[::-1] == hashlib.md5(b"salt".hex().encode() + b"k1:7,").digest()


@pytest.mark.parametrize("payload", ["json", "arrow"])
def test_the_row_hash_stays_what_it_was_when_this_was_written(payload: Any) -> None:
    rows = """SELECT 1 AS id, 'é' AS t, 0.1::DOUBLE AS f, 1.50::DECIMAL(9,2) AS n, DATE '2024-02-29' AS d,
        TIMESTAMPTZ '2024-02-29 12:00:00.5Z' AS z, true AS b, [1, 2] AS l, {'a': 'x'} AS s"""
    fields = [column(name) for name in "tfndzbls"]
    (row,) = mapped(rows, spec([ID, *fields]), payload).staged
    assert (str(row["k"]), str(row["r"])) == {
        "json": ("83f62d15-bf39-d155-82d4-2601dce632c3", "3ba813b3-31bc-e1e9-2f5d-9e7c599377f8"),
        "arrow": ("83f62d15-bf39-d155-82d4-2601dce632c3", "98595e26-3389-c506-65e4-35a232da6e8e"),
    }[payload]


NESTED = [
    ID,
    column("name") | {"destination": "person.name"},
    {"expression": "'a'", "destination": "tags[1]"},
    {"value": "work", "destination": "emails[0].type"},
    column("amount") | {"destination": "emails[0].address"},
    column("amount") | {"destination": r"a\.b"},
]


def test_paths_make_objects_and_arrays_and_missing_places_are_null() -> None:
    assert mapped(ROWS, spec(NESTED)).payloads[1] == (
        '{"id":2,"person":{"name":null},"tags":[null,"a"],"emails":[{"type":"work","address":"ten"}],"a.b":"ten"}'
    )


def test_for_columns_a_path_is_a_name() -> None:
    found = mapped(ROWS, spec(NESTED), "arrow")
    assert found.payloads[1] == (
        r'{"id":2,"person.name":null,"tags[1]":"a","emails[0].type":"work","emails[0].address":"ten","a\\.b":"ten"}'
    )
    assert [found.sent[1][f"v{i}"] for i in range(6)] == [2, None, "a", "work", "ten", "ten"]


def field(path: str) -> dict[str, Any]:
    return {"source": "b", "destination": path}


@pytest.mark.parametrize(
    ("mappings", "record"),
    [
        ([column("a", skipNulls=True), column("b")], '{"b":null}'),
        ([column("b"), column("a", skipNulls=True)], '{"b":null}'),
        ([column("a", skipNulls=True)], "{}"),
        ([column("a", skipNulls=True) | {"destination": "o.a"}, column("b")], '{"b":null}'),
        ([column("a", skipNulls=True) | {"destination": "o.a"}, field("o.b")], '{"o":{"b":null}}'),
        ([column("a", skipNulls=True) | {"destination": "o.p.a"}, column("b")], '{"b":null}'),
        ([column("a", skipNulls=True) | {"destination": "l[1]"}, column("b")], '{"b":null}'),
        ([column("a", skipNulls=True) | {"destination": "l[0]"}, field("l[1]")], '{"l":[null,null]}'),
        ([column("a", skipNulls=True) | {"destination": "l[0].a"}, column("b")], '{"b":null}'),
        ([column("c", skipNulls=True), column("b", skipNulls=True)], '{"c":"x,{}"}'),
    ],
)  # fmt: skip
def test_a_null_that_is_skipped_leaves_its_field_out(mappings: list[dict[str, Any]], record: str) -> None:
    rows = "SELECT 1 AS id, NULL::VARCHAR AS a, NULL::INT AS b, 'x,{}' AS c"
    assert mapped(rows, spec(mappings, mode="append")).payloads == [record]


def test_the_key_fields_make_a_record_of_their_own() -> None:
    run = spec(
        [ID | {"destination": "ref.id"}, column("name"), column("amount", key=True)], primaryKey=["id", "amount"]
    )
    assert mapped(ROWS, run).sent[0]["key_record"] == '{"ref":{"id":1},"amount":"10"}'


def test_a_lookup_leaves_its_place_marked_and_its_value_beside() -> None:
    lookup = {"object": "User", "matchField": "Email", "returnField": "Id"}
    run = spec(
        [ID, column("name", lookup=lookup), column("amount", lookup=lookup), column("id") | {"destination": "n"}]
    )
    found = mapped(ROWS, run)
    assert found.projection.lookups == (1, 2)
    assert found.payloads[:2] == [
        '{"id":1,"name":\x010\x01,"amount":\x011\x01,"n":1}',
        '{"id":2,"name":null,"amount":\x011\x01,"n":2}',
    ]
    assert [(row["l0"], row["l1"]) for row in found.sent[:2]] == [('"Ann"', '"10"'), (None, '"ten"')]
    assert "\x01" not in found.payloads[2]
    assert mapped("SELECT 1 AS id, chr(1) || '0' || chr(1) AS t", spec([ID, column("t")])).payloads == [
        r'{"id":1,"t":"\u00010\u0001"}'
    ]


@pytest.mark.parametrize(
    ("rows", "cursor"),
    [
        ("SELECT 1 AS id, 5 AS at", 5),
        ("SELECT 1 AS id, NULL::INT AS at", None),
        ("SELECT 1 AS id, 'infinity'::TIMESTAMP AS at", None),
        ("SELECT 1 AS id, '-infinity'::DATE AS at", None),
        ("SELECT 1 AS id, TIMESTAMPTZ '2026-03-01 12:00:00Z' AS at", BEGAN),
    ],
)
def test_the_cursors_value_is_staged_in_a_form_that_has_an_order(rows: str, cursor: Any) -> None:
    run = spec([ID], changeDetection={"strategy": "Cursor", "column": "at"})
    found = mapped(rows, run)
    assert found.of("cursor") == [cursor]
    assert found.sent[0]["cursor"] == cursor


@pytest.mark.parametrize(
    ("mappings", "words"),
    [
        ([ID, column("nam")], 'mappings[1].source: unknown column "nam"; did you mean "name"?'),
        (
            [ID, {"expression": "upper(nam)", "destination": "n"}],
            'mappings[1].expression: unknown column "nam"; did you mean "name"? the query returns: id, name, amount',
        ),
        ([ID, {"expression": "now()", "destination": "n"}], "mappings[1].expression: now gives another value"),
    ],
)
def test_what_is_wrong_with_a_mapping_names_its_place(mappings: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        mapped(ROWS, spec(mappings))
    assert words in str(refused.value)
