"""Requests to the API that came with a key: the same key must come with the same body, or it is a mistake.

What a request has made tells whether it came before. This tells it of one that made nothing, or whose work is gone, or
that asks for something else than the first.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from retl.state.tables import requests

KEPT = timedelta(days=30)


def body(connection: Connection, key: str) -> str | None:
    """Digest of the body that a key came with first; None if it never came, or long ago."""
    return connection.execute(select(requests.c.body).where(requests.c.key == key)).scalar_one_or_none()


def note(connection: Connection, key: str, body: str, now: datetime) -> None:
    """Remember a key for a while, unless it is known."""
    connection.execute(delete(requests).where(requests.c.made_at < now - KEPT))
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = {"key": key, "body": body, "made_at": now}
    connection.execute(dialect.insert(requests).values(values).on_conflict_do_nothing())
