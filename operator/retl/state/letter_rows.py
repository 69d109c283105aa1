"""How a dead letter lies in its table: what is sealed of it, and how many are inserted at once."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Row

from retl.state.sealing import Sealer
from retl.state.store import NewDeadLetter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = {
    "id": "text",
    "key_hash": "bytea",
    "row_hash": "bytea",
    "record_hash": "bytea",
    "operation": "text",
    "code": "text",
    "attempts": "int4",
    "shown": "bytea",
    "payload": "bytea",
}
_SAME = {
    "sync_uid": "text",
    "namespace": "text",
    "run": "text",
    "run_uid": "text",
    "first_seen_at": "timestamptz",
    "last_seen_at": "timestamptz",
}


@dataclass(frozen=True, slots=True)
class SeenBy:
    """The run that saw entries."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class LetterSealer:
    """Seals what entries of one sync hold of rows: what is shown of them together, the payload apart."""

    sealer: Sealer
    sync_uid: str

    def shown(self, letter: NewDeadLetter) -> bytes:
        """Message and record keys."""
        text = orjson.dumps({"message": letter.message, "record_keys": letter.record_keys})
        return self.sealer.seal(text, f"dead letters of sync {self.sync_uid}")

    def read_shown(self, stored: bytes | None) -> tuple[str, dict[str, str | None]]:
        """Message and record keys; nothing of an entry that was forgotten."""
        if stored is None:
            return "", {}
        found = orjson.loads(self.sealer.open(stored, f"dead letters of sync {self.sync_uid}"))
        return found["message"], found["record_keys"]

    def payload(self, letter: NewDeadLetter) -> bytes | None:
        """The payload, if there is one."""
        if letter.payload is None:
            return None
        return self.sealer.seal(letter.payload, f"payloads of sync {self.sync_uid}")

    def read_payload(self, stored: bytes | None) -> bytes | None:
        """The payload, if one was kept."""
        return None if stored is None else self.sealer.open(stored, f"payloads of sync {self.sync_uid}")


def insert(
    connection: Connection,
    sync: Row[Any],
    run: SeenBy,
    letters: Sequence[NewDeadLetter],
    now: datetime,
    sealer: LetterSealer,
) -> None:
    """Add entries.

    By the drivers' own means: through the ORM's types and parameters, ten thousand would take several times as long.
    """
    if not letters:
        return
    now = now.astimezone(UTC).replace(microsecond=now.microsecond // 1000 * 1000)  # as exact as the ids
    rows = [
        (
            id,
            letter.key,
            letter.row,
            letter.record,
            letter.operation,
            letter.code,
            letter.attempts,
            sealer.shown(letter),
            sealer.payload(letter),
        )
        for id, letter in zip(_new_ids(now, len(letters)), letters, strict=True)
    ]
    names = ", ".join((*_SAME, *_COLUMNS))
    if connection.dialect.name == "postgresql":
        same = ", ".join(f"%s::{kind}" for kind in _SAME.values())
        arrays = ", ".join(f"%b::{kind}[]" for kind in _COLUMNS.values())
        statement = f"INSERT INTO retl_dead_letters ({names}) SELECT {same}, * FROM unnest({arrays})"  # noqa: S608
        columns = [list(column) for column in zip(*rows, strict=True)]
        connection.exec_driver_sql(statement, (sync.uid, sync.namespace, run.name, run.uid, now, now, *columns))
    else:
        marks = ", ".join("?" * (len(_SAME) + len(_COLUMNS)))
        statement = f"INSERT INTO retl_dead_letters ({names}) VALUES ({marks})"  # noqa: S608
        moment = now.strftime("%Y-%m-%d %H:%M:%S.%f")  # as SQLAlchemy writes it
        same_values = (sync.uid, sync.namespace, run.name, run.uid, moment, moment)
        connection.exec_driver_sql(statement, [same_values + row for row in rows])


def moment_of(id: str) -> datetime:
    """When an entry was first seen: its id says so."""
    return _EPOCH + timedelta(milliseconds=UUID(id).int >> 80)


def _new_ids(moment: datetime, count: int) -> Iterator[str]:
    """UUIDv7 (RFC 9562): in the order of time, so that entries lie side by side in the order in which they came."""
    milliseconds = f"{(moment - _EPOCH) // timedelta(milliseconds=1):012x}"
    random = secrets.token_hex(10 * count)
    for start in range(0, len(random), 20):
        r = random[start : start + 20]
        yield f"{milliseconds[:8]}-{milliseconds[8:]}-7{r[:3]}-{'89ab'[int(r[3], 16) % 4]}{r[4:7]}-{r[7:19]}"
