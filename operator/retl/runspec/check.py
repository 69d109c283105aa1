"""A check of one connection: what its Job is told, and what comes back as the termination message.

It travels as a run does: `CheckSpec` as the pod's annotation, secrets by reference, and the catalog, which may be
large, to the state service.
"""

import hashlib
from datetime import datetime
from typing import Literal

from pydantic import Field

from retl.resources.fields import Model, StatusModel
from retl.runspec.catalog import RowSetKind
from retl.runspec.spec import Connection, Query

ConnectionKind = Literal["SyncSource", "SyncDestination"]


def definition_of(query: Query) -> str:
    """Digest of a query, 16 hexadecimal digits; a window does not matter to its columns."""
    told = query.model_copy(update={"window": None})
    return hashlib.sha256(told.model_dump_json().encode()).hexdigest()[:16]


class RowSet(Model):
    """A query of a source whose columns are wanted, and the object that holds it."""

    kind: RowSetKind
    name: str
    query: Query

    @property
    def object_name(self) -> str:
        """Its name in the catalog."""
        return f"{self.kind}/{self.name}"

    @property
    def definition(self) -> str:
        """Digest of its query, by which a catalog says what it speaks of."""
        return definition_of(self.query)


class WantedObject(Model):
    """An object of a destination that syncs write, with one mode that they write it in."""

    name: str
    mode: str


class CheckSpec(Model):
    """One check, fully resolved.

    Attributes:
        number: of the checks of this connection.
        row_sets: of a source, whose columns are to be read.
        objects: of a destination, whose fields are to be read although it may not list them by itself.
    """

    kind: ConnectionKind
    namespace: str
    number: int
    connection: Connection
    row_sets: list[RowSet] = Field(default_factory=list)
    objects: list[WantedObject] = Field(default_factory=list)


class CheckResult(StatusModel):
    """What a check found.

    Attributes:
        reason, message: why it failed; the other end's own words, without a secret.
        connector_version: of the package that the connector comes in.
        server: what the other end says of itself; empty if it says nothing.
        changes: what differs from the catalog that the check before it handed in, in words; empty if nothing does.
        catalog: digest of the catalog that was handed to the state service; empty if it could not take it.
    """

    succeeded: bool
    reason: str = ""
    message: str = ""
    retriable: bool = False
    connector_version: str = ""
    server: str = ""
    objects: int = 0
    fields: int = 0
    catalog: str = ""
    changes: str = ""
    finished_at: datetime | None = None
