"""Whether this process still does what it is for; liveness asks.

A process whose parts have ended ends itself. This finds the parts that are there and do nothing: a watch that the API
server forgot, a loop that hangs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from retl.controller.apiserver.informer import SILENCE, Informer
from retl.controller.clock import Alarm
from retl.controller.queue import Queue

_WATCH = 3 * SILENCE
_ALARM = timedelta(minutes=2)
"""Its loop goes round every half minute at least."""
_QUEUE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Watchdog:
    """What it looks at.

    Attributes:
        leading: a standby lets its queue wait.
    """

    informers: Sequence[Informer]
    queue: Queue
    alarm: Alarm
    leading: Callable[[], bool]

    def ages(self) -> dict[str, float]:
        """Seconds since each kind was last heard of; of several namespaces the oldest."""
        ages: dict[str, float] = {}
        for informer in self.informers:
            ages[informer.kind] = max(informer.age(), ages.get(informer.kind, 0.0))
        return ages

    def doubts(self) -> list[str]:
        """Why the process should be restarted, in words; empty when it need not be."""
        found = [
            f"the watch of {informer} has told nothing for {informer.age():.0f} s"
            for informer in self.informers
            if informer.age() > _WATCH.total_seconds()
        ]
        if self.alarm.silence() > _ALARM.total_seconds():
            found.append(f"the alarm has not looked at the clock for {self.alarm.silence():.0f} s")
        if self.leading() and self.queue.wait() > _QUEUE.total_seconds():
            found.append(f"an object has waited for its turn for {self.queue.wait():.0f} s")
        return found
