"""How errors of PostgreSQL are read, as the driver hands them on."""

import pytest

from retl.postgresql import server_error


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            'ERROR:  invalid input syntax for type integer: "hush\nhush"\n. SQLSTATE: 22P02',
            'invalid input syntax for type integer: "…"',
        ),
        (
            'ERROR:  malformed array literal: "hush\nhush"\nLINE 1: select \'hush\n   ^\nDETAIL:  …\n\nQuery was: x',
            'malformed array literal: "…"',
        ),
        (
            'ERROR:  invalid input syntax for type date: "hush\n\nQuery was: hush',
            'invalid input syntax for type date: "…"',
        ),
        (
            'ERROR:  invalid input value for enum mood: "hush\nHINT:  hush"\n. SQLSTATE: 22P02',
            'invalid input value for enum mood: "…"',
        ),
        (
            'ERROR:  value "9\nDETAIL: hush" is out of range for type integer\n. SQLSTATE: 22003',
            'value "…"',
        ),
        (
            'ERROR:  value "99999999999" is out of range for type integer\nLINE 1: hush\n. SQLSTATE: 22003',
            'value "…" is out of range for type integer',
        ),
        (
            'ERROR:  date/time field value out of range: "2020-13-13"\nHINT:  Another "DateStyle".\n. SQLSTATE: 22008',
            'date/time field value out of range: "…" (Another "DateStyle".)',
        ),
        ('ERROR:  column "nope" does not exist\nLINE 1: select nope', 'column "nope" does not exist'),
    ],
)
def test_values_are_in_no_message_however_many_lines_they_have(text: str, shown: str) -> None:
    assert server_error(f"INVALID_DATA: [libpq] Failed to execute query 'x': {text}", "22P02").words == shown
