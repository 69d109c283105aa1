"""What is there at the two ends, as a check found it: objects and their fields. Kept in the state database.

The controller reads it to stop a sync whose mappings name what does not exist before a run stumbles over it.
"""

import hashlib
from typing import Literal

from pydantic import Field

from retl.resources.fields import StatusModel

RowSetKind = Literal["SyncModel", "ReverseETLSync"]


class CatalogField(StatusModel):
    """A column of a row set, or a field of a destination's object.

    Attributes:
        type: in the words of the other end; empty if it says nothing.
        required: a new record without it is refused.
    """

    name: str
    type: str = ""
    required: bool = False
    read_only: bool = False


class CatalogObject(StatusModel):
    """An object of a destination; or a row set of a source, by the kind and name of what defines it.

    Attributes:
        name: of the object; of a row set `SyncModel/NAME` or `ReverseETLSync/NAME`, of a table its own name.
        problem: why its fields could not be read; it then has none.
    """

    name: str
    fields: list[CatalogField] = Field(default_factory=list)
    problem: str = ""


class Catalog(StatusModel):
    """Everything that one check found."""

    objects: list[CatalogObject] = Field(default_factory=list)

    def object(self, name: str) -> CatalogObject | None:
        """The object of that name."""
        return next((o for o in self.objects if o.name == name), None)

    def digest(self) -> str:
        """The same for the same catalog, 16 hexadecimal digits."""
        return hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()[:16]
