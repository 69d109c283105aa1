"""Requests to the API pod, one after the other and many at a time, and how long each took."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of many requests, and bytes of the last answer."""

    seconds: list[float]
    size: int

    def quantile(self, share: float) -> float:
        """The time that this share of the requests took at most, in seconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def one_by_one(client: httpx.AsyncClient, asked: Asked, times: int) -> Took:
    """The same request again and again; two before that are not counted."""
    seconds: list[float] = []
    size = 0
    for _ in range(times + 2):
        started = time.perf_counter()
        size = await _ask(client, asked)
        seconds.append(time.perf_counter() - started)
    return Took(seconds[2:], size)


async def together(client: httpx.AsyncClient, of: Callable[[int], Asked], clients: int, seconds: float) -> Took:
    """Clients that each ask as soon as they are answered, for so long."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def ask(number: int) -> None:
        while (started := time.perf_counter()) < until:
            await _ask(client, of(number))
            took.append(time.perf_counter() - started)
            number += clients

    await asyncio.gather(*(ask(number) for number in range(clients)))
    return Took(took, 0)


async def _ask(client: httpx.AsyncClient, asked: Asked) -> int:
    answer = await client.request(asked.method, asked.path, json=asked.body)
    if not answer.is_success:
        raise RuntimeError(f"{asked.method} {asked.path}: {answer.status_code} {answer.text}")
    return len(answer.content)
