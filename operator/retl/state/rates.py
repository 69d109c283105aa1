"""The rate of a destination account, shared by all its runners: evenly spaced slots, and a pace that is learnt.

GCRA without burst: what is remembered is when the next slot is. A refusal halves the pace, and time without another one
restores it, so an account that allows less than its manifest says is not hammered for ever.
"""

import time
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from retl.resources.destination import RateLimit
from retl.state.store import Reservation
from retl.state.tables import rates

SHARE = 0.97
"""Of the limit that is given out: slots that reach the account a little late or early must not break the limit."""
HORIZON_SECONDS = 0.25
"""Calls are given out for so long at once: few enough that runners take turns, enough that asking costs nothing."""
SLOWEST = 1 / 16
RECOVERY_SECONDS, RECOVERY_STEP = 10.0, 0.1
SAME_TROUBLE_SECONDS = 1.0
"""Refusals so close together, or within a pause, are of calls that were in flight together: the pace halves once."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Where an account stands; moments in seconds since 1970.

    Attributes:
        next_slot: when the next call may be made.
        pace: share of the limit that was kept to when the account last refused a call.
        refused_at: when that was; 0 if never.
        paused_until: nobody calls before.
    """

    next_slot: float = 0.0
    pace: float = 1.0
    refused_at: float = 0.0
    paused_until: float = 0.0

    def pace_at(self, now: float) -> float:
        """The share of the limit that is used now: it grows back step by step."""
        calm = now - max(self.refused_at, self.paused_until)
        return min(1.0, self.pace + RECOVERY_STEP * max(0, calm // RECOVERY_SECONDS))


def reserved(rate: Rate, limit: RateLimit, calls: int, now: float) -> tuple[Rate, Reservation]:
    """Give out up to so many calls."""
    interval = limit.per.total_seconds() / (limit.requests * SHARE * rate.pace_at(now))
    given = max(1, min(calls, int(HORIZON_SECONDS / interval)))
    start = max(now, rate.next_slot, rate.paused_until)
    reservation = Reservation(timedelta(seconds=start - now), timedelta(seconds=interval), given)
    return replace(rate, next_slot=start + given * interval), reservation


def refused(rate: Rate, pause: timedelta, now: float) -> Rate:
    """Note that the account refused a call for its rate."""
    until = max(rate.paused_until, now + pause.total_seconds())
    if now < max(rate.paused_until, rate.refused_at + SAME_TROUBLE_SECONDS):
        return replace(rate, paused_until=until)
    return replace(rate, pace=max(SLOWEST, rate.pace_at(now) / 2), refused_at=now, paused_until=until)


def lock(connection: Connection, namespace: str, account: str) -> Rate:
    """The account's rate, which nobody else can change until the transaction ends."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    fresh = {"namespace": namespace, "account": account, "next_slot": 0.0}
    fresh |= {"pace": 1.0, "refused_at": 0.0, "paused_until": 0.0}
    connection.execute(dialect.insert(rates).values(fresh).on_conflict_do_nothing())
    columns = (rates.c.next_slot, rates.c.pace, rates.c.refused_at, rates.c.paused_until)
    found = select(*columns).where(rates.c.namespace == namespace, rates.c.account == account).with_for_update()
    return Rate(*connection.execute(found).one())


def store(connection: Connection, namespace: str, account: str, rate: Rate) -> None:
    """Write back what `lock` read."""
    connection.execute(
        update(rates)
        .where(rates.c.namespace == namespace, rates.c.account == account)
        .values(next_slot=rate.next_slot, pace=rate.pace, refused_at=rate.refused_at, paused_until=rate.paused_until)
    )


def database_now(connection: Connection) -> float:
    """The present in seconds since 1970, by the clock of the machine with the database: all who open it share that."""
    if connection.dialect.name != "postgresql":
        return time.time()
    return float(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())
