"""How many dead letters each sync has of each code: kept beside the entries, as counting a million takes too long.

They change in the transaction that changes the entries, under the lock of the sync's row. All lists are of codes.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Select, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from retl.state.tables import dead_letters, letter_counts, syncs

_c = letter_counts.c


@dataclass(frozen=True, slots=True)
class OpenLetters:
    """Open entries of one code.

    Attributes:
        namespace, sync: whose; both empty: of all syncs that are not told apart.
        oldest: when the oldest open entry of the sync, of any code, was first seen.
    """

    namespace: str
    sync: str
    code: str
    open: int
    oldest: datetime | None = None


def opened(connection: Connection, sync_uid: str, codes: Iterable[str]) -> None:
    """Count entries that were added."""
    _add(connection, sync_uid, Counter(codes), Counter())


def resolved(connection: Connection, sync_uid: str, codes: Iterable[str]) -> None:
    """Count entries that were open and are resolved now."""
    ended = Counter(codes)
    _add(connection, sync_uid, _negative(ended), ended)


def recoded(connection: Connection, sync_uid: str, codes: Iterable[tuple[str, str]]) -> None:
    """Count open entries that may have another code than before: (old, new)."""
    moved: Counter[str] = Counter()
    for old, new in codes:
        moved[old] -= 1
        moved[new] += 1
    _add(connection, sync_uid, moved, Counter())


def deleted(connection: Connection, sync_uid: str, *, opened: Iterable[str] = (), resolved: Iterable[str] = ()) -> None:
    """Count entries that are no more, by what they were."""
    _add(connection, sync_uid, _negative(Counter(opened)), _negative(Counter(resolved)))


def resolved_all(connection: Connection, sync_uid: str) -> None:
    """All open entries of the sync are resolved now."""
    everything = update(letter_counts).where(_c.sync_uid == sync_uid)
    connection.execute(everything.values(resolved=_c.resolved + _c.open, open=0))


def count_open(connection: Connection, sync_uid: str) -> int:
    """Open entries of a sync."""
    total = select(func.coalesce(func.sum(_c.open), 0)).where(_c.sync_uid == sync_uid)
    return int(connection.execute(total).scalar_one())


def open_by_code(connection: Connection, sync_uid: str) -> dict[str, int]:
    """Open entries of a sync; only codes that have any."""
    found = select(_c.code, _c.open).where(_c.sync_uid == sync_uid, _c.open > 0).order_by(_c.code)
    return {code: int(count) for code, count in connection.execute(found)}


def resolved_codes(sync_uid: str) -> Select[tuple[str]]:
    """Asks for the codes that a sync has resolved entries of."""
    return select(_c.code).where(_c.sync_uid == sync_uid, _c.resolved > 0)


def waiting(connection: Connection, limit: int) -> list[OpenLetters]:
    """Open entries by sync and code, the most first; those beyond the limit by code only."""
    most = _c.open.desc(), _c.sync_uid, _c.code
    top = select(_c.sync_uid, _c.code, _c.open).where(_c.open > 0).order_by(*most).limit(limit).subquery()
    oldest = (
        select(func.min(dead_letters.c.first_seen_at))
        .where(dead_letters.c.sync_uid == top.c.sync_uid, dead_letters.c.resolved_at.is_(None))
        .scalar_subquery()
    )
    number = func.sum(top.c.open).label("open")
    # A sync that was deleted and made again has two uids and one name.
    found = (
        select(syncs.c.namespace, syncs.c.name, top.c.code, number, func.min(oldest).label("oldest"))
        .join(syncs, syncs.c.uid == top.c.sync_uid)
        .group_by(syncs.c.namespace, syncs.c.name, top.c.code)
        .order_by(number.desc(), syncs.c.namespace, syncs.c.name, top.c.code)
    )
    letters = [OpenLetters(*row[:3], int(row.open), row.oldest) for row in connection.execute(found)]
    every = select(_c.code, func.sum(_c.open)).where(_c.open > 0).group_by(_c.code).order_by(_c.code)
    rest = Counter({code: int(count) for code, count in connection.execute(every)})
    for listed in letters:
        rest[listed.code] -= listed.open
    return letters + [OpenLetters("", "", code, count) for code, count in rest.items() if count > 0]


def _negative(counter: Counter[str]) -> Counter[str]:
    return Counter({code: -count for code, count in counter.items()})


def _add(connection: Connection, sync_uid: str, opened: Counter[str], resolved: Counter[str]) -> None:
    changed = [
        {"sync_uid": sync_uid, "code": code, "open": opened[code], "resolved": resolved[code]}
        for code in sorted(opened.keys() | resolved.keys())
        if opened[code] or resolved[code]
    ]
    if not changed:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    new = dialect.insert(letter_counts)
    sums = {"open": _c.open + new.excluded.open, "resolved": _c.resolved + new.excluded.resolved}
    connection.execute(new.on_conflict_do_update(index_elements=[_c.sync_uid, _c.code], set_=sums), changed)
