"""How errors of MySQL and MariaDB are read: messages as their error references have them."""

import pymysql
import pytest

from retl.destinations.mysql.errors import server_error


@pytest.mark.parametrize(
    ("number", "message", "shown"),
    [
        (1062, "Duplicate entry 'a@b.c' for key 'accounts.email'", "Duplicate entry '…' for key 'accounts.email'"),
        (1062, "Duplicate entry 'it's for key' for key 'k'", "Duplicate entry '…' for key 'k'"),
        (
            1366,
            "Incorrect integer value: 'it's' for column 'seats' at row 3",
            "Incorrect integer value: '…' for column 'seats'",
        ),
        (
            1292,
            "Incorrect datetime value: '2024-13-13' for column `crm`.`t`.`d` at row 12",
            "Incorrect datetime value: '…' for column `crm`.`t`.`d`",
        ),
        (1292, "Truncated incorrect DOUBLE value: 'secret'", "Truncated incorrect DOUBLE value: '…'"),
        (
            1366,
            "Incorrect string value: '\\xF0\\x9F' for column 'n' at row 1",
            "Incorrect string value: '…' for column 'n'",
        ),
        (1690, "BIGINT UNSIGNED value is out of range in '(5 - 7)'", "BIGINT UNSIGNED value is out of range in '…'"),
        (1526, "Table has no partition for value 2024", "Table has no partition for value '…'"),
        (1406, "Data too long for column 'name' at row 2", "Data too long for column 'name'"),
        (3819, "Check constraint 'accounts_chk_1' is violated.", "Check constraint 'accounts_chk_1' is violated."),
    ],
)
def test_a_refusal_is_of_its_row_and_shows_no_value(number: int, message: str, shown: str) -> None:
    error = server_error(pymysql.err.OperationalError(number, message))
    assert error.about_rows
    assert error.words == shown


@pytest.mark.parametrize("number", [1040, 1205, 1213, 1290, 1317, 2003, 2006, 2013, 3024])
def test_what_passes_is_tried_again(number: int) -> None:
    error = server_error(pymysql.err.OperationalError(number, "for now"))
    assert (error.transient, error.about_rows) == (True, False)


@pytest.mark.parametrize("number", [1142, 1146, 1064, 1054])
def test_what_is_wrong_for_all_rows_is_neither(number: int) -> None:
    error = server_error(pymysql.err.ProgrammingError(number, "for all"))
    assert (error.transient, error.about_rows, error.login_refused) == (False, False, False)


def test_an_error_without_words_is_a_broken_connection() -> None:
    error = server_error(pymysql.err.InterfaceError(0, ""))
    assert error.transient
    assert error.words == "the connection is broken"
    assert server_error(OSError("no route")).words == "no route"
