"""The dead letter queue: one open entry for each row of a sync, and how entries open, change and are resolved.

Every function that writes runs under the lock of the sync's row.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import Connection, Row, TextClause, bindparam, delete, literal, select, tuple_, update

from retl.resources.ids import uid_of
from retl.resources.run import Replay
from retl.state import letter_counts
from retl.state.letter_rows import LetterSealer, SeenBy, insert, moment_of
from retl.state.store import HASH_BYTES, KeptLetter, NewDeadLetter, Waiting
from retl.state.tables import DISMISSED, OPEN, UtcDateTime, dead_letters, syncs

Resolution = Literal["superseded", "rebaselined", "dismissed"]

KEYS_A_STATEMENT = 5_000
KEPT_PAGE = 500
"""Entries read at once for a replay."""
FORGOTTEN_AT_ONCE = 20_000
"""Most entries that one claim deletes; the rest is for the next one, so that no claim is slow."""

T = TypeVar("T")
_d = dead_letters.c


class Said(NamedTuple):
    """What a person said of entries, as it lies beside them.

    Attributes:
        resolved_by: id of that person.
    """

    reason: str | None
    resolved_by: str | None


NOTHING = Said(None, None)


def lock(connection: Connection, sync_uid: str) -> None:
    """Wait for whatever else writes for the sync, and have it wait."""
    connection.execute(select(syncs.c.uid).where(syncs.c.uid == sync_uid).with_for_update())


def put(
    connection: Connection,
    sync: Row[Any],
    run: SeenBy,
    letters: Sequence[NewDeadLetter],
    now: datetime,
    sealer: LetterSealer,
) -> None:
    """Open an entry for each row, or bring the open one up to date; what is too many is counted and not kept.

    Args:
        sync: row of the sync.
    """
    merged = _merged(letters)
    there = letter_counts.count_open(connection, sync.uid)
    known = {bytes(e.key_hash): e for e in _with_keys(connection, sync.uid, merged, OPEN)} if there else {}
    room = max(0, sync.claim_max_letters - there)
    new = [letter for key, letter in merged.items() if key not in known]
    again = [(known[key], letter) for key, letter in merged.items() if key in known]
    insert(connection, sync, run, new[:room], now, sealer)
    _renew(connection, run, again, now, sealer)
    _end_dismissals(connection, sync.uid, merged)
    letter_counts.opened(connection, sync.uid, [letter.code for letter in new[:room]])
    letter_counts.recoded(connection, sync.uid, [(entry.code, letter.code) for entry, letter in again])
    if len(new) > room:
        dropped = syncs.c.dropped + (len(new) - room)
        connection.execute(update(syncs).where(syncs.c.uid == sync.uid).values(dropped=dropped))


def _merged(letters: Sequence[NewDeadLetter]) -> dict[bytes, NewDeadLetter]:
    """One letter a key: the newest, with the attempts of all."""
    merged: dict[bytes, NewDeadLetter] = {}
    for letter in letters:
        before = merged.get(letter.key)
        merged[letter.key] = replace(letter, attempts=letter.attempts + before.attempts) if before else letter
    return merged


def _renew(
    connection: Connection,
    run: SeenBy,
    again: Sequence[tuple[Row[Any], NewDeadLetter]],
    now: datetime,
    sealer: LetterSealer,
) -> None:
    if not again:
        return
    names = ("row_hash", "record_hash", "operation", "code", "attempts", "shown", "payload")
    changed = update(dead_letters).where(_d.id == bindparam("entry"))
    new_values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names if name != "attempts"}
    seen = {"run": run.name, "run_uid": run.uid, "last_seen_at": now, "attempts": _d.attempts + bindparam("more")}
    connection.execute(
        changed.values(new_values | seen),
        [
            {
                "entry": entry.id,
                "new_row_hash": letter.row,
                "new_record_hash": letter.record,
                "new_operation": letter.operation,
                "new_code": letter.code,
                "more": letter.attempts,
                "new_shown": sealer.shown(letter),
                "new_payload": sealer.payload(letter),
            }
            for entry, letter in again
        ],
    )


def supersede(connection: Connection, sync_uid: str, keys: bytes, now: datetime) -> None:
    """Resolve the open entries of these keys, and end that dismissed ones are left out: a later row was written."""
    wanted = split(keys)
    if letter_counts.count_open(connection, sync_uid):
        ended = _with_keys(connection, sync_uid, wanted, OPEN)
        _resolve(connection, [entry.id for entry in ended], "superseded", now)
        letter_counts.resolved(connection, sync_uid, [entry.code for entry in ended])
    _end_dismissals(connection, sync_uid, wanted)


def rebaseline(connection: Connection, sync_uid: str, now: datetime) -> None:
    """Resolve all open entries: they speak of another destination, object or key."""
    mine = _d.sync_uid == sync_uid
    connection.execute(update(dead_letters).where(mine, OPEN).values(_resolved("rebaselined", now)))
    connection.execute(update(dead_letters).where(mine, DISMISSED).values(resolution="rebaselined"))
    letter_counts.resolved_all(connection, sync_uid)


def dismiss(connection: Connection, sync_uid: str, ids: Sequence[str], now: datetime, said: Said = NOTHING) -> int:
    """Resolve open entries by their ids without a replay; returns how many there were."""
    lock(connection, sync_uid)
    columns = select(_d.id, _d.code).where(_d.sync_uid == sync_uid, OPEN)
    ended = [entry for some in _chunks(ids) for entry in connection.execute(columns.where(_d.id.in_(some)))]
    _resolve(connection, [entry.id for entry in ended], "dismissed", now, **said._asdict())
    letter_counts.resolved(connection, sync_uid, [entry.code for entry in ended])
    return len(ended)


def note(connection: Connection, sync_uid: str, ids: Sequence[str], said: Said) -> None:
    """Keep what a person said with open entries, which stay open."""
    lock(connection, sync_uid)
    for some in _chunks(ids):
        mine = (_d.sync_uid == sync_uid, _d.id.in_(some), OPEN)
        connection.execute(update(dead_letters).where(*mine).values(said._asdict()))


def forget(connection: Connection, sync_uid: str, before: datetime) -> None:
    """Delete entries that were resolved before; a dismissed one stays, without what it holds of its row."""
    codes = letter_counts.resolved_codes(sync_uid)  # the index is by code
    old = (
        select(_d.id)
        .where(_d.sync_uid == sync_uid, _d.code.in_(codes), _d.resolved_at < before, _d.resolution != "dismissed")
        .limit(FORGOTTEN_AT_ONCE)
    )
    gone = connection.execute(delete(dead_letters).where(_d.id.in_(old)).returning(_d.code)).scalars()
    letter_counts.deleted(connection, sync_uid, resolved=list(gone))
    connection.execute(
        update(dead_letters)
        .where(_d.sync_uid == sync_uid, DISMISSED, _d.resolved_at < before, _d.shown.is_not(None))
        .values(shown=None, payload=None)
    )


def waiting(connection: Connection, sync_uid: str) -> Waiting:
    """Open entries, each with the row that is not to be sent again, if there is one; and those that were dismissed."""
    columns = (_d.key_hash, _d.row_hash)
    found = connection.execute(select(*columns).where(_d.sync_uid == sync_uid, OPEN)).all()
    dismissed = connection.execute(select(*columns).where(_d.sync_uid == sync_uid, DISMISSED)).all()
    return Waiting(
        keys=b"".join(entry.key_hash for entry in found),
        rows=b"".join(entry.row_hash for entry in found),
        dismissed_keys=b"".join(entry.key_hash for entry in dismissed),
        dismissed_rows=b"".join(entry.row_hash for entry in dismissed),
    )


def kept(connection: Connection, sync_uid: str, replay: Replay, after: str, sealer: LetterSealer) -> list[KeptLetter]:
    """Some open entries that a replay asks for, oldest first; empty when there are no more.

    Args:
        after: id of the last one before; empty to begin.
    """
    columns = [_d.id, _d.key_hash, _d.row_hash, _d.record_hash, _d.operation]
    stored = replay.payload == "Stored"
    if stored:
        columns.append(_d.payload)
    found = select(*columns).where(_d.sync_uid == sync_uid, OPEN)
    if after:
        found = found.where(tuple_(_d.first_seen_at, _d.id) > tuple_(literal(moment_of(after), UtcDateTime()), after))
    if replay.entries:
        found = found.where(_d.id.in_([entry_id(text) for text in replay.entries]))
    if replay.codes:
        found = found.where(_d.code.in_(replay.codes))
    return [
        KeptLetter(
            id=entry.id,
            key=bytes(entry.key_hash),
            row=bytes(entry.row_hash),
            record=bytes(entry.record_hash),
            operation=entry.operation,
            payload=sealer.read_payload(entry.payload) if stored else None,
        )
        for entry in connection.execute(found.order_by(_d.first_seen_at, _d.id).limit(KEPT_PAGE))
    ]


def entry_id(text: str) -> str:
    """The id of an entry, however it is written (raises InvalidInput for a malformed public id)."""
    return str(uid_of(text, "retl_dlq")) if text.startswith("retl_dlq_") else text.lower()


def split(hashes: bytes) -> list[bytes]:
    """Hashes one by one."""
    return [hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)]


def _end_dismissals(connection: Connection, sync_uid: str, keys: Iterable[bytes]) -> None:
    """What comes after a dismissed entry counts; the entry is history from then on."""
    if connection.execute(select(_d.id).where(_d.sync_uid == sync_uid, DISMISSED).limit(1)).first() is None:
        return  # as nearly always
    ids = [entry.id for entry in _with_keys(connection, sync_uid, keys, DISMISSED)]
    for some in _chunks(ids):
        connection.execute(update(dead_letters).where(_d.id.in_(some)).values(resolution="superseded"))


def _with_keys(connection: Connection, sync_uid: str, keys: Iterable[bytes], state: TextClause) -> list[Any]:
    """Entries of these keys in that state (OPEN or DISMISSED): id, key_hash, code."""
    columns = select(_d.id, _d.key_hash, _d.code).where(_d.sync_uid == sync_uid, state)
    return [entry for some in _chunks(list(keys)) for entry in connection.execute(columns.where(_d.key_hash.in_(some)))]


def _resolve(
    connection: Connection, ids: Sequence[str], resolution: Resolution, now: datetime, **said: str | None
) -> None:
    for some in _chunks(ids):
        connection.execute(update(dead_letters).where(_d.id.in_(some)).values(_resolved(resolution, now) | said))


def _resolved(resolution: Resolution, now: datetime) -> dict[str, object]:
    return {"resolved_at": now, "resolution": resolution}


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    return (values[start : start + KEYS_A_STATEMENT] for start in range(0, len(values), KEYS_A_STATEMENT))
