"""What the numbers of MySQL's and MariaDB's errors mean to a sync.

Pure. They stand in MySQL's and MariaDB's error references under the same numbers, with few exceptions.
"""

import re
from dataclasses import dataclass

from retl.destinations.base import Code

DUPLICATE = frozenset({1022, 1062, 1586})
_OF_ROWS = frozenset(
    # NULL, range, truncation, form, length, foreign key
    {1048, 1216, 1217, 1264, 1265, 1292, 1406, 1411, 1425, 1451, 1452, 1557}
    # no default, wrong value, view's check, partition, row too large, signal of a trigger, JSON, CHECK
    | {1118, 1364, 1365, 1366, 1369, 1441, 1525, 1526, 1644, 1690, 1748, 3140, 3141, 3819, 4025}
)
_LOGIN = frozenset({1045, 1251, 1275, 1698, 1820, 1862, 2059, 2061, 3118, 3159, 3955, 4151})
_DATABASE = frozenset({1049})
_LOST = frozenset({0, 1053, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 2002, 2003, 2005, 2006, 2013, 2014, 2055, 4031})
_TRANSIENT = frozenset(
    # disk or memory full, too many connections, lock wait, deadlock, interrupted, time over, read-only, changed
    {1020, 1021, 1037, 1038, 1040, 1041, 1114, 1180, 1203, 1205, 1213, 1226, 1290, 1317, 1412, 1637, 1792, 1836, 1969}
    | {3024, 3572}
)
_VALUES = (
    (re.compile(r" at row \d+$"), ""),
    (re.compile(r"(Duplicate entry )'.*'( for key)"), r"\1'…'\2"),
    (re.compile(r"((?:value|string): |out of range in |partition for value )'?.*?'?( for column .*)?$"), r"\1'…'\2"),
)
"""Where messages quote values of rows."""


@dataclass(frozen=True, slots=True)
class ServerError:
    """What the server or the driver said, fit to be shown.

    Attributes:
        sqlstate: empty if the driver does not tell it.
        words: its message, without row values, but for those that a trigger puts there.
    """

    number: int
    sqlstate: str
    words: str

    @property
    def about_rows(self) -> bool:
        """Some row's values were refused: by type, range, length, constraint or trigger."""
        return self.number in _OF_ROWS | DUPLICATE or (
            self.sqlstate[:2] in ("21", "22", "23", "44", "45") and self.number not in _LOST | _TRANSIENT
        )

    @property
    def code(self) -> Code:
        """What a refusal for a row's sake is called."""
        return "CONFLICT" if self.number in DUPLICATE else "DESTINATION_VALIDATION"

    @property
    def login_refused(self) -> bool:
        """The credentials, or the way in which they were shown, were refused."""
        return self.number in _LOGIN

    @property
    def missing_database(self) -> bool:
        """The server is there, the database is not."""
        return self.number in _DATABASE

    @property
    def transient(self) -> bool:
        """Trying again later may help."""
        return self.number in _LOST | _TRANSIENT


def server_error(error: Exception) -> ServerError:
    """Read an exception of the driver."""
    number, words = 0, ""
    match error.args:
        case (int(number), words, *_):
            pass
        case (words, *_):
            pass
    text = " ".join(str(words).split()) or "the connection is broken"
    for pattern, shown in _VALUES:
        text = pattern.sub(shown, text)
    return ServerError(number, getattr(error, "sqlstate", None) or "", text[:500])
