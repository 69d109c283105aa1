"""What checks of a connection are to look at: the row sets of its models and syncs, or the objects that syncs write.

It is gathered from all syncs that name the connection, so it is remembered for a few seconds: while ten thousand
syncs are being applied, those of their one destination are not gone through ten thousand times.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from retl.controller.cache import Cache
from retl.controller.kinds import Key
from retl.resources.kinds import DESTINATION, MODEL, SOURCE, SYNC, Manifest
from retl.runspec.catalog import RowSetKind
from retl.runspec.check import RowSet, WantedObject
from retl.runspec.spec import Query

REMEMBERED = timedelta(seconds=5)
MAX_BYTES = 150_000
"""Of what a check is told, as JSON: it travels as an annotation, which has at most 256 KiB."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one check looks at.

    Attributes:
        left_out: how many there are that a check cannot be told, because they are too many.
        digest: the same for the same row sets and objects.
        at: when this was gathered.
    """

    row_sets: tuple[RowSet, ...]
    objects: tuple[WantedObject, ...]
    left_out: int
    digest: str
    at: datetime


class WantedOf:
    """Remembers what is wanted of each connection."""

    def __init__(self) -> None:
        self._kept: dict[Key, Wanted] = {}

    def get(self, cache: Cache, connection: Key, now: datetime) -> Wanted:
        """What is wanted of a connection; as it was up to REMEMBERED ago."""
        kept = self._kept.get(connection)
        if kept is None or not kept.at <= now < kept.at + REMEMBERED:
            kept = self._kept[connection] = _gathered(cache, connection, now)
        return kept

    def forget(self, connection: Key) -> None:
        """The connection is gone."""
        self._kept.pop(connection, None)


def _gathered(cache: Cache, connection: Key, now: datetime) -> Wanted:
    """Row sets and objects by kind and name, as many as a check can be told."""
    rows, objects = _row_sets(cache, connection), _objects(cache, connection)
    kept, room, digest = 0, MAX_BYTES, hashlib.sha256()
    for each in (*rows, *objects):
        text = each.model_dump_json(by_alias=True, exclude_none=True).encode()
        room -= len(text)
        if room < 0:
            break
        digest.update(text)
        kept += 1
    left_out = len(rows) + len(objects) - kept
    return Wanted(tuple(rows[:kept]), tuple(objects[:kept]), left_out, digest.hexdigest()[:8], now)


def _row_sets(cache: Cache, source: Key) -> list[RowSet]:
    found = []
    kinds: tuple[tuple[RowSetKind, str], ...] = (("SyncModel", MODEL), ("ReverseETLSync", SYNC))
    for kind, of in kinds if source.kind == SOURCE else ():
        for manifest in _naming(cache, of, source):
            defines = manifest["spec"] if of == MODEL else manifest["spec"]["query"]
            try:
                query = Query(sql=defines.get("sql"), table=defines.get("table"))
            except ValidationError:
                continue  # its own condition says what is wrong
            found.append(RowSet(kind=kind, name=manifest["metadata"]["name"], query=query))
    return found


def _objects(cache: Cache, destination: Key) -> list[WantedObject]:
    """Each object once, with the mode of the first sync that writes it, by name."""
    found: dict[str, WantedObject] = {}
    for sync in _naming(cache, SYNC, destination) if destination.kind == DESTINATION else ():
        name, mode = sync["spec"].get("object"), sync["spec"].get("mode", "upsert")
        if isinstance(name, str) and isinstance(mode, str):
            found.setdefault(name, WantedObject(name=name, mode=mode))
    return [found[name] for name in sorted(found)]


def _naming(cache: Cache, kind: str, connection: Key) -> list[Manifest]:
    """Objects that name the connection, by name."""
    found = [cache.get(key) for key in sorted(cache.referrers(connection)) if key.kind == kind]
    return [each for each in found if each is not None]
