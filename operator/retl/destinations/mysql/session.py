"""A connection to MySQL or MariaDB, set up so that values are taken as they are or refused, never bent."""

import ssl
from datetime import timedelta
from typing import Any

import pymysql

from retl.destinations.mysql.config import MysqlConfig, MysqlCredentials
from retl.destinations.mysql.errors import server_error
from retl.destinations.tables.steps import Refused

CONNECT_TIMEOUT = 10
"""Seconds to wait for a connection."""
MODE = "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
"""sql_mode; backslashes escape, quotes with two strokes hold texts."""


class MysqlSession:
    """A connection. Statements commit by themselves unless BEGIN was said.

    Attributes:
        packet: most bytes of one statement.
    """

    def __init__(self, config: MysqlConfig, credentials: MysqlCredentials, timeout: timedelta) -> None:
        seconds = max(1, int(timeout.total_seconds()))
        self._connection = pymysql.connect(
            host=config.host,
            port=config.port,
            user=credentials.username.get_secret_value(),
            password=credentials.password.get_secret_value().encode(),
            database=config.database,
            charset="utf8mb4",
            sql_mode=MODE,
            autocommit=True,
            program_name="retl",
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=seconds,
            write_timeout=seconds,
            ssl=tls(config),
            ssl_disabled=config.ssl_mode == "disabled" or None,
        )
        self.count("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.count(f"SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = {max(1, seconds - 1)}")
        [(packet,)] = self.rows("SELECT @@max_allowed_packet")
        self.packet = int(packet)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query returns (raises Refused)."""
        with self._connection.cursor() as cursor:
            _executed(cursor, sql)
            return list(cursor.fetchall())

    def count(self, sql: str) -> int:
        """How many rows a statement wrote (raises Refused)."""
        with self._connection.cursor() as cursor:
            return _executed(cursor, sql)

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        try:
            self._connection.close()
        except pymysql.err.Error:
            return  # it was closed already


def tls(config: MysqlConfig) -> ssl.SSLContext | None:
    """What the server's certificate must be; None if it need not have one."""
    if config.ssl_mode in ("disabled", "preferred"):
        return None
    context = ssl.create_default_context(cafile=config.ssl_ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # certificates that MySQL makes for itself do not pass it
    context.check_hostname = config.ssl_mode == "verify-identity"
    if config.ssl_mode == "required":
        context.verify_mode = ssl.CERT_NONE
    return context


def _executed(cursor: pymysql.cursors.Cursor, sql: str) -> int:
    try:
        return cursor.execute(sql)
    except pymysql.err.Error as raised:
        error = server_error(raised)
        if error.about_rows:
            raise Refused(error.code, error.words) from None
        raise
