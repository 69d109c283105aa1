"""A ConnectorCase whose receiver is a simulator: what all of these are provoked by in the same way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from retl.testing import ConnectorCase
from tests.destinations.simulators.base import Fault, Simulator


class SimulatedCase(ConnectorCase):
    """Set `vendor` in `__init__`."""

    vendor: Simulator

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with self.vendor.serving():
            yield

    async def refuse_for_rate(self, calls: int) -> None:
        answer = self.vendor.too_many(0)
        fault = Fault(answer.status, {"Retry-After": "0"}, None)
        self.vendor.faults.next.extend([fault] * calls)

    async def fail(self, calls: int) -> None:
        self.vendor.faults.next.extend([Fault(503)] * calls)

    async def drop_reply(self) -> None:
        self.vendor.faults.next.append(Fault(effect=True, drop=True))

    def bench_calls(self) -> int:
        """Calls that the vendor counts, for the benchmark."""
        return sum(1 for call in self.vendor.calls if not call.path.startswith(tuple(self.vendor.free)))
