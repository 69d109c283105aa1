"""What a sync remembers beside its snapshot: sealed, because a watermark is a value of the source."""

from dataclasses import asdict
from typing import Any

import orjson
from sqlalchemy import Connection, Row, update

from retl.state.sealing import Sealer
from retl.state.store import Notes
from retl.state.tables import syncs


def read(sync: Row[Any], sealer: Sealer) -> Notes:
    """The notes in a sync's row."""
    return Notes() if sync.notes is None else Notes(**orjson.loads(sealer.open(sync.notes, _place(sync.uid))))


def write(connection: Connection, sync_uid: str, notes: Notes, sealer: Sealer) -> None:
    """Remember these from now on."""
    sealed = sealer.seal(orjson.dumps(asdict(notes)), _place(sync_uid))
    connection.execute(update(syncs).where(syncs.c.uid == sync_uid).values(notes=sealed))


def _place(sync_uid: str) -> str:
    return f"notes of sync {sync_uid}"
