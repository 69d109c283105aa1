"""Destination paths: what they name, and which of them cannot be in one record."""

import pytest

from retl.engine.records import REDACTED, record_keys
from retl.errors import InvalidInput
from retl.runspec.paths import escaped, parse, problems


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        ("a[0].b", ("a", 0, "b")),
        ("a[1][2]", ("a", 1, 2)),
        (r"a\.b", ("a.b",)),
        (r"a\[0\]", ("a[0]",)),
        (r"a\\.b", ("a\\", "b")),
        ("First Name.é", ("First Name", "é")),
        ('"', ('"',)),
    ],
)
def test_a_path_names_members_and_places(text: str, path: tuple[str | int, ...]) -> None:
    assert parse(text) == path


@pytest.mark.parametrize(
    "text", [".a", "a.", "a..b", "a[", "a]", "a[x]", "a[]", "[0]", "a[0]b", "a.[0]", "a[-1]", "a\\"]
)
def test_a_text_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no path"):
        parse(text)


def test_an_array_has_a_hundred_places_at_most() -> None:
    assert parse("a[99]") == ("a", 99)
    with pytest.raises(InvalidInput, match="at most 100 places"):
        parse("a[100]")


@pytest.mark.parametrize("name", ["a", "a.b", "a[0]", "\\", "a\\.b", "[]", "."])
def test_every_name_can_be_written_as_a_path(name: str) -> None:
    assert parse(escaped(name)) == (name,)


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["a", "b.c", "b.d", "e[0]", "e[1].x"], []),
        (["a", "a.b"], [(1, "'a.b' and 'a' (mappings[0]) cannot be in one record")]),
        (["a.b", "a"], [(1, "'a' and 'a.b' (mappings[0]) cannot be in one record")]),
        (["x", "a.b.c", "a.b"], [(2, "'a.b' and 'a.b.c' (mappings[1]) cannot be in one record")]),
        (["a[0]", "a.b"], [(1, "'a.b' and 'a[0]' (mappings[0]) cannot be in one record")]),
        (["a.b", "a[0]"], [(1, "'a[0]' and 'a.b' (mappings[0]) cannot be in one record")]),
        (["a", r"\a"], [(1, r"'\\a' and 'a' (mappings[0]) cannot be in one record")]),
        (["a[0].b", "a[0]"], [(1, "'a[0]' and 'a[0].b' (mappings[0]) cannot be in one record")]),
    ],
)
def test_paths_that_cannot_be_in_one_record_are_named_together(paths: list[str], found: list[tuple[int, str]]) -> None:
    assert list(problems(paths)) == found


RECORD = rb'{"id":7,"a":{"b":"x\"}{","n":null},"l":[{"x":1.50},"\ud83d\ude00"],"a.b":"dot","s":"\ud800"}'


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("id", "7"),
        ("a.b", 'x"}{'),
        ("a.n", None),
        ("a.nothing", None),
        ("l[0].x", "1.50"),
        ("l[1]", "😀"),
        ("l[2]", None),
        (r"a\.b", "dot"),
        ("s", "?"),
        ("a", r'{"b":"x\"}{","n":null}'),
    ],
)
def test_a_key_field_is_found_in_the_record_by_its_path(path: str, text: str | None) -> None:
    assert record_keys(RECORD, [path], [], nested=True) == {path: text}


def test_a_sensitive_key_is_not_shown() -> None:
    assert record_keys(RECORD, ["id", "a.b"], ["id"], nested=False) == {"id": REDACTED, "a.b": "dot"}
