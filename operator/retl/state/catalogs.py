"""What the last check of each connection found: one catalog each, and what differs from the one before it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from retl.runspec.catalog import Catalog, changes
from retl.state.tables import catalogs

FORGOTTEN = timedelta(days=90)
"""Catalogs of connections that were not checked for so long go: most of those connections are gone."""

_c = catalogs.c


@dataclass(frozen=True, slots=True)
class Whose:
    """The SyncSource or SyncDestination that a catalog is of."""

    namespace: str
    uid: str
    kind: str
    name: str


def put(connection: Connection, whose: Whose, catalog: Catalog, now: datetime) -> list[str]:
    """Keep a catalog; what differs from the one before it."""
    mine = (_c.namespace == whose.namespace, _c.uid == whose.uid)
    before = connection.execute(select(_c.digest, _c.catalog).where(*mine).with_for_update()).one_or_none()
    digest = catalog.digest()
    values = {
        "namespace": whose.namespace,
        "uid": whose.uid,
        "kind": whose.kind,
        "name": whose.name,
        "digest": digest,
        "checked_at": now,
        "catalog": catalog.model_dump_json(by_alias=True, exclude_defaults=True),
    }
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    keep = dialect.insert(catalogs).values(values)
    connection.execute(keep.on_conflict_do_update(index_elements=[_c.namespace, _c.uid], set_=values))
    connection.execute(delete(catalogs).where(_c.namespace == whose.namespace, _c.checked_at < now - FORGOTTEN))
    if before is None or before.digest == digest:
        return []
    return changes(Catalog.model_validate_json(before.catalog), catalog)


def one(connection: Connection, namespace: str, uid: str) -> str | None:
    """The catalog of a connection as JSON."""
    found = select(_c.catalog).where(_c.namespace == namespace, _c.uid == uid)
    return connection.execute(found).scalar_one_or_none()
