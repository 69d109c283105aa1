"""What was looked up takes its place in a record that is otherwise exactly as it was."""

import json

import pytest

from retl.engine.lookups import fill
from retl.engine.mapping import LOOKUP

MARK = LOOKUP.format(0).encode()


def record(text: str) -> bytes:
    """The record, with the mark for each #."""
    return text.encode().replace(b"#", MARK)


@pytest.mark.parametrize(
    ("text", "result", "filled"),
    [
        ('{"id":1,"owner":#}', '"a"', '{"id":1,"owner":"a"}'),
        ('{"id":1.10,"owner":#}', "90071992547409931", '{"id":1.10,"owner":90071992547409931}'),
        ('{"owner":{"id":#},"tags":[#]}', "7", '{"owner":{"id":7},"tags":[7]}'),
        ('{"owner":#}', "null", '{"owner":null}'),
    ],
)
def test_results_are_put_in_as_they_are(text: str, result: str, filled: str) -> None:
    assert fill(record(text), MARK, result.encode(), skip_null=False).decode() == filled


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ('{"owner":#,"id":1}', '{"id":1}'),
        ('{"id":1,"owner":#}', '{"id":1}'),
        ('{"id":1,"owner":#,"name":"x"}', '{"id":1,"name":"x"}'),
        ('{"owner":#}', "{}"),
        ('{"a":{"owner":#},"b":2}', '{"a":{},"b":2}'),
        (r'{"name":"\"quoted\",","owner":#}', r'{"name":"\"quoted\","}'),
        (r'{"a\"b":#,"c":1}', '{"c":1}'),
        ('{"name":"line\\u2028 ,\\"x\\":","owner":#}', '{"name":"line\\u2028 ,\\"x\\":"}'),
    ],
)
def test_a_null_that_is_skipped_takes_its_field_along(text: str, without: str) -> None:
    filled = fill(record(text), MARK, b"null", skip_null=True).decode()
    assert filled == without
    json.loads(filled)
