"""What the PostgreSQL source and the PostgreSQL destination share: settings, login, and reading server errors.

No driver is imported here, so the operator image can validate a manifest with it.
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode

from pydantic import Field, SecretStr

from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

CONNECT_TIMEOUT = 10
"""Seconds to wait for a connection."""

UNKNOWN_STATE = "XX000"
"""SQLSTATE of an error about which no more is known."""

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class PostgresConnection(ConnectorConfig):
    """How to reach a PostgreSQL server."""

    host: str = Field(min_length=1, description="Host name, address, or directory of a Unix socket.")
    port: int = Field(default=5432, ge=1, le=65535, description="Where it listens.")
    database: str = Field(min_length=1, description="Name of the database.")
    ssl_mode: SslMode = Field(default="prefer", description="As libpq has it; verify-full also checks the host's name.")
    ssl_root_cert: str | None = Field(default=None, description="Path of the certificate authority's file.")


class PostgresLogin(ConnectorCredentials):
    """The login of a PostgreSQL server."""

    username: SecretStr = Field(description="Of the role.")
    password: SecretStr = Field(description="Of the role.")


def connection_uri(config: PostgresConnection, login: PostgresLogin, options: str = "") -> str:
    """The libpq URI. It holds the password: never show it.

    Args:
        options: server settings for the session, such as ``-c TimeZone=UTC``.
    """
    settings = {
        "host": config.host,
        "port": str(config.port),
        "user": login.username.get_secret_value(),
        "password": login.password.get_secret_value(),
        "sslmode": config.ssl_mode,
        "connect_timeout": str(CONNECT_TIMEOUT),
        "application_name": "retl",
    }
    if config.ssl_root_cert:
        settings["sslrootcert"] = config.ssl_root_cert
    if options:
        settings["options"] = options
    return f"postgresql:///{quote(config.database, safe='')}?{urlencode(settings, quote_via=quote)}"


def quoted(name: str) -> str:
    """A dotted name as SQL identifiers: ``crm.Account`` becomes ``"crm"."Account"``."""
    return ".".join(identifier(part) for part in name.split("."))


def identifier(name: str) -> str:
    """One name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class ServerError:
    """What the server said, fit to be shown.

    Attributes:
        sqlstate: five characters; empty if the server was never reached.
        words: the primary message with its hint, on one line, without row values.
    """

    sqlstate: str
    words: str

    @property
    def login_refused(self) -> bool:
        """The credentials, or what they may do, were refused."""
        return self.sqlstate[:2] == "28" or (not self.sqlstate and "authentication failed" in self.words)

    @property
    def missing_database(self) -> bool:
        """The server is there, the database is not."""
        return self.sqlstate == "3D000" or (
            not self.sqlstate and re.search(r'database ".*" does not exist', self.words) is not None
        )

    @property
    def transient(self) -> bool:
        """Trying again later may help: connection, shutdown, resources, serialization and deadlocks."""
        if self.sqlstate:
            return self.sqlstate[:2] in ("08", "40", "53", "57", "58") or self.sqlstate == "55P03"
        return not (self.login_refused or self.missing_database)

    @property
    def connection_lost(self) -> bool:
        """What the server did with the last statement cannot be known."""
        return not self.sqlstate or self.sqlstate[:2] == "08" or self.sqlstate in ("57P01", "57P02", "57P03")

    @property
    def about_rows(self) -> bool:
        """Some row's values were refused: bad data (22), a constraint (23, 21, 44), a limit (54), or a trigger (P0).

        A trigger may also raise a state of its own, in a class that begins with a letter and is none of the server's.
        """
        kind = self.sqlstate[:2]
        return kind in ("21", "22", "23", "44", "54") or (kind[:1].isalpha() and kind not in ("F0", "HV", "XX"))


_MESSAGE = re.compile(
    r"(ERROR|FATAL|PANIC):\s+(.+?)\s*"
    r"(?:\n(?:LINE \d+|DETAIL|HINT|CONTEXT|QUERY|WHERE|LOCATION):|\. SQLSTATE: \w{5}\s*$|\Z)",
    re.DOTALL,
)
"""The primary message, which has several lines where a value in it does."""


def server_error(text: str, sqlstate: str | None) -> ServerError:
    """Read an error of the ADBC driver, whose text carries the server's message amid its own.

    Values that data exceptions quote are replaced, because they are row data.
    """
    text, _, _ = text.partition("\n\nQuery was:")
    stated = re.search(r"SQLSTATE: (\w{5})\s*$", text)
    found = _MESSAGE.search(text)
    words = (
        " ".join(found[2].split())
        if found
        else re.sub(r"^\w+: \[libpq\] (Failed to connect: )?", "", " ".join(text.split()))
    )
    whole = words.count('"') % 2 == 0  # else it was cut short within a value that looks like the part after it
    words = re.sub(r': ".*$', ': "…"', words)
    words = re.sub(r'^value "(?:.*"(?= (?:is|for) )|.*$)', 'value "…"', words)
    if whole and (hint := re.search(r"^HINT:\s+(.+)", text, re.MULTILINE)):
        words += f" ({hint[1].strip()})"
    code = (sqlstate or "").strip("\0 ") or (stated[1] if stated else "")
    if not code and found and found[1] == "ERROR":
        code = UNKNOWN_STATE  # while rows stream in, the driver loses the state on the way
    return ServerError(sqlstate="" if code == "00000" else code, words=words[:500])
