"""What the headers of replies say of the rate."""

from datetime import UTC, datetime, timedelta

import pytest

from retl.destinations.base import RateSignal
from retl.destinations.web.rates import rate_signal

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())


def signal(
    limit: int | None = None, remaining: int | None = None, reset: float | None = None, window: float | None = None
) -> RateSignal:
    seconds = [None if n is None else timedelta(seconds=n) for n in (reset, window)]
    return RateSignal(limit=limit, remaining=remaining, reset=seconds[0], window=seconds[1])


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"x-ratelimit-limit": "soon", "ratelimit": "?"}, None),
        ({"x-ratelimit-limit": "100", "x-ratelimit-remaining": "7", "x-ratelimit-reset": "30"}, signal(100, 7, 30)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(EPOCH + 90)}, signal(None, 0, 90)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(EPOCH - 90)}, signal(None, 0, 0)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{EPOCH}500"}, signal(None, 0, 0.5)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "1.25"}, signal(None, 0, 1.25)),
        ({"x-rate-limit-limit": "15", "x-rate-limit-remaining": "14"}, signal(15, 14)),
        ({"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "5"}, signal(100, 5, None, 60)),
        ({"ratelimit": "limit=100, remaining=50, reset=5"}, signal(100, 50, 5)),
        (
            {"ratelimit": "limit=10, remaining=0, reset=1", "ratelimit-policy": "10;w=1, 1000;w=3600"},
            signal(10, 0, 1, 1),
        ),
        ({"ratelimit": '"default";r=50;t=30'}, signal(None, 50, 30)),
        (
            {"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=100;w=60'},
            signal(100, 50, 30, 60),
        ),
        (
            {
                "ratelimit": '"burst";r=3;t=1, "daily";r=900;t=5000',
                "ratelimit-policy": '"burst";q=10;w=1;pk=:x:, "daily";q=1000;w=86400',
            },
            signal(10, 3, 1, 1),
        ),
        ({"ratelimit": '"p";r=1', "x-ratelimit-remaining": "9"}, signal(None, 1)),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "9" * 9}, signal(None, 1, 31 * 86_400)),
        ({"x-ratelimit-remaining": "-1", "x-ratelimit-limit": "5"}, signal(5)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2026-01-01T12:01:30Z"}, signal(None, 0, 90)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2026-01-01T13:00:30.5+01:00"}, signal(None, 0, 30.5)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2026-01-01 11:00:00"}, signal(None, 0, 0)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "Thu, 01 Jan 2026 12:00:05 GMT"}, signal(None, 0, 5)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2026-99-99T00:00:00Z"}, signal(None, 0)),
        ({"x-ratelimit-remaining": "5 of 10", "x-ratelimit-limit": "10;w=60"}, signal(10)),
        ({"ratelimit": "limit=10, remaining=0, reset=2026-01-01T12:01:30Z"}, signal(10, 0)),
        ({"x-ratelimit-remaining": "9" * 400, "x-ratelimit-limit": "5"}, signal(5, int("9" * 18) + 1)),
    ],
)
def test_headers_of_all_kinds_are_read(headers: dict[str, str], expected: RateSignal | None) -> None:
    assert rate_signal(headers, NOW) == expected
