"""Tells people what became of their objects, as Kubernetes Events: what `kubectl describe` shows below an object.

Best effort: an Event is a hint, the record is in the status. So nothing waits for an Event, their requests have a small
budget of their own (`kube`), and what the API server does not take is given up. The same thing said again within six
minutes is a repetition of the Event that is there and not another one, as client-go's events broadcaster does it
(tools/events/event_broadcaster.go): the first repetition is told at once, later ones together.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from retl.apiserver.endpoints import EVENT
from retl.controller.apiserver.kube import AlreadyExists, Kube, KubeError
from retl.controller.clock import Clock
from retl.controller.decision import NOTE_MAX, Event, shortened
from retl.controller.kinds import Key
from retl.resources import GROUP
from retl.resources.kinds import RUN, SYNC, Manifest

logger = logging.getLogger(__name__)

REPORTER = f"{GROUP}/controller"
_SAME = timedelta(minutes=6)
"""The same thing after a longer silence is told anew."""
_REST = timedelta(minutes=1)
"""Between two updates of a series."""
_QUEUE = 5_000
_REMEMBERED = 4_000
_PAUSES = (1.0, 5.0)
"""Seconds before the second and the third try of a request that may succeed later."""
_WAIT, _WAITS = 0.1, 10
"""Seconds, and how often, an Event waits for more urgent work."""
_WORD = 128
"""Bytes that the API server takes."""
_NAME = 236
"""Bytes of the object's name in the Event's, which has 253."""
_ACTIONS = {SYNC: "Schedule", RUN: "Execute"}
_CHECK = "Check"

Outcome = Callable[[str], None]
"""Told of posted, repeated, dropped and refused."""


@dataclass(slots=True, eq=False)
class _Said:
    """One thing that was said of an object, as often as it was.

    Attributes:
        manifest: the Event, without its series.
        count: how often it was said, `shown`: how often the API server knows of; 0 until the Event is there.
        last: when it was said last, by the clock; `heard`: the same by the event loop's.
        rests_until: before this time of the event loop it is not told again.
        lined_up: it waits to be told.
    """

    manifest: Manifest
    last: datetime
    heard: float
    count: int = 1
    shown: int = 0
    rests_until: float = 0.0
    lined_up: bool = False

    @property
    def key(self) -> Key:
        return Key.of(EVENT, self.manifest)

    def series(self) -> Manifest:
        return {"series": {"count": self.count, "lastObservedTime": _micro(self.last)}} if self.count > 1 else {}


class Recorder:
    """Takes Events from decisions and posts them while it runs. Only the leader's should."""

    def __init__(self, kube: Kube, clock: Clock, instance: str, outcome: Outcome, busy: Callable[[], bool]) -> None:
        """Args:
        instance: of the controller, such as the pod's name.
        outcome: counts what became of Events.
        busy: whether there is more urgent work, for which Events wait a little.
        """
        self._kube = kube
        self._clock = clock
        self._instance = shortened(instance, _WORD)
        self._outcome = outcome
        self._busy = busy
        self._said: OrderedDict[tuple[str, str, str, str], _Said] = OrderedDict()
        self._line: deque[_Said] = deque()
        self._filled = asyncio.Event()
        self._complained: set[int] = set()

    def record(self, key: Key, observed: Manifest, events: Sequence[Event]) -> None:
        """Have these said of an object; returns at once.

        Args:
            observed: a version of the object.
        """
        for event in events:
            now, heard = self._clock.now(), _loop_time()
            self._forget(heard)
            identity = (observed["metadata"]["uid"], event.type, event.reason, event.note)
            said = self._said.get(identity)
            if said is None:
                said = self._said[identity] = _Said(self._manifest(key, observed, event, now), now, heard)
            else:
                said.count, said.last, said.heard = said.count + 1, now, heard
                self._said.move_to_end(identity)
            self._tell(said)

    async def run(self) -> None:
        """Post what is recorded; runs until cancelled."""
        while True:
            while not self._line:
                self._filled.clear()
                await self._filled.wait()
            await self._let_pass()
            await self._post(self._take())

    async def _let_pass(self) -> None:
        """A thousand ticks in one minute come before what is said of them; but each Event comes after a while."""
        for _ in range(_WAITS):
            if not self._busy():
                return
            await asyncio.sleep(_WAIT)

    async def flush(self, limit: timedelta = timedelta(milliseconds=500)) -> None:
        """At the end of the process: post what still waits, for so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit.total_seconds()):
                for said in [said for said in self._said.values() if said.count > said.shown]:
                    await self._post(said)

    def _tell(self, said: _Said) -> None:
        """Line it up now, or when its rest is over."""
        if said.lined_up:
            return
        said.lined_up = True
        rest = said.rests_until - said.heard
        if rest > 0:
            asyncio.get_running_loop().call_later(rest, self._line_up, said)
        else:
            self._line_up(said)

    def _line_up(self, said: _Said) -> None:
        if len(self._line) >= _QUEUE:
            self._take()
            self._outcome("dropped")
        self._line.append(said)
        self._filled.set()

    def _take(self) -> _Said:
        said = self._line.popleft()
        said.lined_up = False
        return said

    async def _post(self, said: _Said) -> None:
        """Bring the Event up to date; after some tries, or when there is no hope, leave it."""
        for pause in (*_PAUSES, None):
            try:
                await self._send(said)
                return
            except KubeError as error:
                if pause is None or not error.passing:
                    self._complain(error)
                    return
            await asyncio.sleep(pause)

    async def _send(self, said: _Said) -> None:
        count, series = said.count, said.series()
        if said.shown:
            if await self._is_repeated(said.key, series):
                self._outcome("repeated")
            else:  # the API server forgets Events after an hour
                await self._kube.create(EVENT, said.manifest | series)
                self._outcome("posted")
            said.rests_until = _loop_time() + _REST.total_seconds()
        else:
            try:
                await self._kube.create(EVENT, said.manifest | series)
            except AlreadyExists:  # the name is of this very thing: it was only the answer that was lost
                count = 1
            self._outcome("posted")
        said.shown = count
        if said.count > count:
            said.heard = _loop_time()
            self._tell(said)

    async def _is_repeated(self, key: Key, series: Manifest) -> bool:
        try:
            await self._kube.patch(key, series)
        except KubeError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return False
        return True

    def _complain(self, error: KubeError) -> None:
        self._outcome("refused")
        if error.status not in self._complained:
            self._complained.add(error.status)
            logger.warning("an Event was not taken; others like it will not be mentioned: %s", error)

    def _forget(self, now: float) -> None:
        """What was said last long ago, or more than can be remembered."""
        while self._said:
            oldest = next(iter(self._said.values()))
            if now - oldest.heard < _SAME.total_seconds() and len(self._said) < _REMEMBERED:
                return
            self._said.popitem(last=False)

    def _manifest(self, key: Key, observed: Manifest, event: Event, now: datetime) -> Manifest:
        metadata = observed["metadata"]
        identity = (metadata["uid"], event.type, event.reason, event.note, _micro(now), self._instance)
        digest = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:16]
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": EVENT,
            "metadata": {"namespace": key.namespace, "name": f"{key.name[:_NAME].rstrip('-.')}.{digest}"},
            "eventTime": _micro(now),
            "reportingController": REPORTER,
            "reportingInstance": self._instance,
            "action": _ACTIONS.get(key.kind, _CHECK),
            "reason": shortened(event.reason, _WORD),
            "note": shortened(event.note, NOTE_MAX),
            "type": event.type,
            "regarding": {
                "apiVersion": observed["apiVersion"],
                "kind": key.kind,
                "namespace": key.namespace,
                "name": key.name,
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
        }


def _micro(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
