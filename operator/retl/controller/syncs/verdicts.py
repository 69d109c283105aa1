"""What becomes of each tick that is due: a run, a verdict, or a wait. Pure.

Ticks are answered in their order, and what stands behind one that waits is not answered before it: so one moment,
`status.lastTick`, tells which ticks are dealt with, and each is dealt with exactly once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from retl.controller.decision import Problem
from retl.controller.syncs.gates import gate
from retl.controller.syncs.reservation import held, name_taken, oldest_waiting, urgent, verdict
from retl.controller.syncs.timetable import Timetable
from retl.controller.syncs.view import SyncView
from retl.resources.names import tick_run_name
from retl.resources.sync import SyncStatus, TickRecord, WaitingTick
from retl.schedule import KEPT_TICKS, blackout_at

IN_TIME = timedelta(seconds=60)
"""A tick that is first looked at later than this after its start is late."""
_SECOND = timedelta(seconds=1)
_SKEWED = "ClockSkew"


@dataclass(slots=True)
class Answers:
    """What is decided about the ticks that are due.

    Attributes:
        status: with the reservation, the tick that waits, and the newest tick that is dealt with.
        verdicts: that are given.
        wake: when a tick that waits is to be looked at again, whatever happens.
    """

    status: SyncStatus
    verdicts: list[TickRecord] = field(default_factory=list)
    wake: datetime | None = None


def answer(
    view: SyncView, status: SyncStatus, times: Timetable | None, problem: Problem | None, now: datetime
) -> Answers:
    """Give a free sync to a waiting run or a due tick, and every other due tick a verdict or a place to wait.

    Args:
        status: after the run that held the sync was let go of, if it has ended.
        times: what the schedule asks for; None when it asks for nothing.
        problem: what keeps ticks from running.
    """
    left = times is not None and _is_left_waiting(view, now)
    answers = Answers(status if left or not status.waiting_tick else status.model_copy(update={"waiting_tick": None}))
    if times is not None and times.ticks and not (left and view.skewed):
        _Desk(view, times, problem, now, answers).work()
    _give_to_waiting_run(view, answers, now, None)
    return answers


def _is_left_waiting(view: SyncView, now: datetime) -> bool:
    """Whether the tick that waits is not for this clock to take away: else one that is wrong, and one that is right,
    would each write what the other has just taken out."""
    waiting = view.status.waiting_tick
    return waiting is not None and (view.skewed or (waiting.reason == _SKEWED and waiting.at > now))


def _give_to_waiting_run(view: SyncView, answers: Answers, now: datetime, tick: datetime | None) -> None:
    """Reserve a free sync for the run that waits longest, if its turn is before the tick's."""
    run = oldest_waiting(view) if answers.status.active_run is None else None
    if run and (tick is None or urgent(view, run) or run.created <= tick):
        answers.status = held(answers.status, run.name, run.tick if view.ours(run) else None, now)


class _Desk:
    """Answers the ticks that are due, one after the other."""

    def __init__(
        self, view: SyncView, times: Timetable, problem: Problem | None, now: datetime, answers: Answers
    ) -> None:
        self.view = view
        self.times = times
        self.schedule = times.schedule
        self.problem = problem
        self.now = now
        self.answers = answers
        waiting = view.status.waiting_tick
        self.waited = waiting.at if waiting else None

    def work(self) -> None:
        if self.view.skewed:
            self._wait(self.times.ticks[0], _SKEWED, "the controller's clock is wrong; nothing starts by it")
            return
        open_ticks = [tick for tick in self.times.ticks if blackout_at(self.schedule, tick) is None]
        crowded = self._crowded(open_ticks)
        newest = open_ticks[-1] if open_ticks else None
        for tick in self.times.ticks:
            given = self._without_a_look(tick, newest, crowded)
            if given is None:
                _give_to_waiting_run(self.view, self.answers, self.now, tick)
                given = self._in_the_way(tick)
            if given is None and self._waits(tick):
                return
            if given is None:
                name = tick_run_name(self.view.meta.name, tick)
                self.answers.status = held(self.answers.status, name, tick, self.now)
            else:
                self.answers.verdicts.append(given)
            self.answers.status = self.answers.status.model_copy(update={"last_tick": tick})

    def _crowded(self, open_ticks: list[datetime]) -> set[datetime]:
        """The oldest ticks, where there are too many to stand in line.

        Under catchUp All these are late ones beyond its limit; behind any that waits, all that a status cannot tell.
        """
        late = [tick for tick in open_ticks if self._late(tick)] if self.schedule.catch_up == "All" else []
        too_late = late[: max(0, len(late) - (self.schedule.catch_up_max or KEPT_TICKS))]
        return {*too_late, *self.times.ticks[:-KEPT_TICKS]}

    def _without_a_look(self, tick: datetime, newest: datetime | None, crowded: set[datetime]) -> TickRecord | None:
        """The verdict that follows from the schedule and the clock alone."""
        if covered := blackout_at(self.schedule, tick):
            return verdict(tick, "Skipped", "Blackout", covered.blackout.reason)
        if self.schedule.catch_up != "All" and newest and (tick != newest or tick in crowded):
            nobody_answers = self._given_up(tick) and self._given_up(newest)
            return verdict(tick, "Missed", "Late" if nobody_answers else "NewerTickDue")
        if tick in crowded:
            return verdict(tick, "Missed", "CatchUpLimit")
        if (deadline := self._deadline(tick)) and self.now > deadline:
            return verdict(tick, "Missed", "StartingDeadlineExceeded", self._why_it_waited(tick))
        if self._given_up(tick):
            return verdict(tick, "Missed", "Late")
        return None

    def _in_the_way(self, tick: datetime) -> TickRecord | None:
        """The verdict for what stands in the way and is not waited for."""
        if self.problem:
            return verdict(tick, "Skipped", self.problem.reason, self.problem.message)
        name = tick_run_name(self.view.meta.name, tick)
        standing = self.view.run(name)
        if standing and not self.view.ours(standing):
            return name_taken(tick, name)
        busy = self._busy()
        if busy and self.schedule.catch_up != "All" and tick != self.waited:
            return verdict(tick, "Skipped", *busy)
        shut = gate(self.schedule, self.view.dependencies, self.now)
        if shut and not shut.waits and not busy:
            return verdict(tick, "Skipped", shut.reason, shut.message)
        return None

    def _waits(self, tick: datetime) -> bool:
        """Whether the tick has to wait; if so, the status says why."""
        if why := next(self._worth_waiting_for(), None):
            self._wait(tick, *why)
        return why is not None

    def _worth_waiting_for(self) -> Iterator[tuple[str, str]]:
        if busy := self._busy():
            yield busy
        if shut := gate(self.schedule, self.view.dependencies, self.now):
            yield shut.reason, shut.message
        if covered := blackout_at(self.schedule, self.now):
            self._wake(covered.end)
            yield "Blackout", covered.blackout.reason

    def _wait(self, tick: datetime, reason: str, message: str) -> None:
        if deadline := self._deadline(tick):
            self._wake(deadline + _SECOND)
        waiting = WaitingTick(at=tick, reason=reason, message=message)
        self.answers.status = self.answers.status.model_copy(update={"waiting_tick": waiting})

    def _wake(self, at: datetime) -> None:
        self.answers.wake = min(at, self.answers.wake or at)

    def _busy(self) -> tuple[str, str] | None:
        """Why the sync is not free."""
        active = self.answers.status.active_run
        if active is None:
            return None
        run = self.view.run(active.name)
        if run is not None and run.phase == "AwaitingApproval":
            return "AwaitingApproval", f"SyncRun {active.name} awaits approval"
        return "PreviousRunActive", f"SyncRun {active.name} holds the sync"

    def _late(self, tick: datetime) -> bool:
        return self.now - (tick + self.times.delay) > IN_TIME

    def _given_up(self, tick: datetime) -> bool:
        """Whether catchUp None lets go of the tick: nobody looked at it in time."""
        return self.schedule.catch_up == "None" and self._late(tick) and tick != self.waited

    def _deadline(self, tick: datetime) -> datetime | None:
        limit = self.schedule.starting_deadline
        return tick + self.times.delay + limit if limit else None

    def _why_it_waited(self, tick: datetime) -> str:
        waiting = self.view.status.waiting_tick
        return f"it waited: {waiting.reason}: {waiting.message}" if waiting and tick == self.waited else ""
