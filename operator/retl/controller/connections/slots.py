"""Which runs may go on at a destination with maxConcurrentRuns: one line, first come first served. Pure.

A slot stands in the destination's status, which is written under a precondition: two controllers cannot give away more
than there are. A sync stands in line once, whatever it is owed, so no sync can crowd out another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from retl.controller.facts import moment, status_of
from retl.controller.kinds import Key
from retl.resources.destination import Slot
from retl.resources.kinds import DESTINATION, Manifest
from retl.resources.run import TERMINAL, RunStatus

MOST = 50
"""Slots that a status can hold."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run into this destination that holds its sync's reservation, or a slot.

    Attributes:
        since: when it came into the line: when its sync was reserved for it.
        under_way: an attempt of it was started and has no approval to wait for.
        waiting: it needs a slot for what it does next.
        gone: it was deleted or has ended, and its pod still works.
    """

    run: str
    uid: str
    since: datetime
    under_way: bool = False
    waiting: bool = False
    gone: bool = False


def slots(granted: Sequence[Slot], limit: int | None, claims: Sequence[Claim], now: datetime) -> list[Slot]:
    """Who has a slot from now on, oldest first.

    Nobody who is under way is turned out, so there may be more than `limit` for a while after it was lowered or set.

    Args:
        granted: as they stand.
        limit: maxConcurrentRuns; None asks for no slots at all.
        claims: of runs that have not ended; whoever has a slot and is not among them loses it.
    """
    if limit is None:
        return []
    entitled = {claim.uid for claim in claims if claim.under_way or claim.waiting}
    kept = [slot for slot in granted if slot.uid in entitled]
    held = {slot.uid for slot in kept}
    surprising = [claim for claim in claims if claim.under_way and claim.uid not in held]
    free = max(0, limit - len(kept) - len(surprising))
    gained = [*surprising, *line(claims, kept)[:free]]
    return [*kept, *(Slot(run=claim.run, uid=claim.uid, since=now) for claim in gained)][:MOST]


def line(claims: Sequence[Claim], granted: Sequence[Slot]) -> list[Claim]:
    """Those that wait for a slot, in the order in which they get one."""
    held = {slot.uid for slot in granted}
    waiting = [claim for claim in claims if claim.waiting and not claim.under_way and claim.uid not in held]
    return sorted(waiting, key=lambda claim: (claim.since, claim.run))


def claim(run: Manifest, reservation: Mapping[str, str] | None) -> Claim | None:
    """A run's claim; None once it has ended.

    Args:
        reservation: `status.activeRun` of its sync if that names the run.
    """
    status = status_of(RunStatus, run)
    if status.phase in TERMINAL:
        return None
    metadata, approval = run["metadata"], (run.get("spec") or {}).get("approval") or {}
    held = status.phase == "AwaitingApproval"
    approved = status.plan_hash is not None and approval.get("planHash") == status.plan_hash
    return Claim(
        run=metadata["name"],
        uid=metadata["uid"],
        since=moment((reservation or {}).get("since") or metadata["creationTimestamp"]),
        under_way=status.attempt > 0 and not held,
        waiting=approved if held else status.attempt == 0,
    )


def limit_of(destination: Manifest) -> int | None:
    """maxConcurrentRuns."""
    limit = (destination.get("spec") or {}).get("maxConcurrentRuns")
    return limit if isinstance(limit, int) else None


def destination_of(sync: Manifest) -> Key | None:
    """The destination that a sync names."""
    name = ((sync.get("spec") or {}).get("destinationRef") or {}).get("name")
    return Key(DESTINATION, sync["metadata"]["namespace"], name) if name else None
