"""A REST API to call."""

from collections.abc import AsyncIterator

import pytest

from tests.destinations.simulators.http import RestApi


@pytest.fixture
async def api() -> AsyncIterator[RestApi]:
    """The API, which takes any call that has a token that it gave out, or `test-token`."""
    async with RestApi().serving() as served:
        served.tokens.add("test-token")
        yield served
