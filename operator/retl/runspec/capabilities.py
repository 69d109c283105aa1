"""What the engine may ask of a destination connector: known without loading its driver."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Literal

from retl.resources.destination import RateLimit

STANDARD_MODES = ("upsert", "insert", "update", "delete", "mirror", "append")
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one destination, configured as it is, can do.

    Attributes:
        modes: standard modes that it can carry out.
        default_batch: records in one call unless the sync says otherwise.
        max_batch: most records that the vendor takes in one call.
        max_bytes: most bytes of the records' JSON in one call, less what the connector adds; None for no limit.
        payload: `json` if it sends each record as JSON text, `arrow` if it wants columns.
        declared: modes of its own, each with the standard mode by whose rules the engine picks the rows.
        repeatable: operations (upsert, insert, update, delete, append or a declared mode) that have the effect of one
            when they are carried out twice, so that a call whose outcome is unknown may simply be sent again.
        only_if_empty: whether it can leave a field alone that already has a value.
        lookups: whether it can answer which record of another object has a certain value in a certain field.
        results: how it learns what became of records: `record` if a reply speaks of each, `job` if it must ask later,
            `aggregate` if it is only told how many were refused.
        nulls: what a NULL that is sent does to a field: `clear` it, or `ignore`, which leaves it as it is.
        describes: whether it can list objects and fields, so that mappings can be checked before a run.
        every_row: modes of its own that must send every row each time, after which `Destination.complete` drops what
            was not sent.
        rate: the vendor's documented limit of an account, kept to where the manifest has no rateLimit.
        patience: how long a job may take before nobody waits for it any more.
    """

    modes: frozenset[str]
    default_batch: int
    max_batch: int
    payload: Literal["json", "arrow"]
    declared: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    repeatable: frozenset[str] = frozenset({"upsert", "insert", "update", "delete"})
    only_if_empty: bool = False
    lookups: bool = False
    max_bytes: int | None = None
    results: Literal["record", "job", "aggregate"] = "record"
    nulls: Literal["clear", "ignore"] = "clear"
    describes: bool = False
    every_row: frozenset[str] = frozenset()
    rate: RateLimit | None = None
    patience: timedelta = timedelta(hours=24)

    def semantics(self, mode: str) -> str:
        """The standard mode by whose rules rows are picked in this mode."""
        return self.declared.get(mode, mode)

    @property
    def all_modes(self) -> list[str]:
        """Every mode it can carry out, for messages."""
        return [*(m for m in STANDARD_MODES if m in self.modes), *sorted(self.declared)]
