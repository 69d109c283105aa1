"""The simulator and the connector beside Meta's own client, facebook-business: it can talk to the one as to Meta, and
sends of the same people what the other sends.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from facebook_business.adobjects.customaudience import CustomAudience
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from retl.destinations.base import Batch, Target
from retl.destinations.meta_ads.config import MetaAdsConfig, MetaAdsCredentials
from retl.destinations.meta_ads.connector import MetaAds
from tests.destinations.simulators.meta_ads import MetaApi

AUDIENCE = "2384"
MARY = {
    "EXTERN_ID": "U-1",
    "EMAIL": " Mary@Example.com.",
    "PHONE": "+1 (650) 555-1234",
    "FN": "Mary-Ann",
    "LN": "O'Neil",
    "FI": "M.",
    "GEN": "Female",
    "DOBY": "1975",
    "DOBM": "7",
    "DOBD": "04",
    "CT": "New York",
    "ST": "NY",
    "ZIP": "94035-1234",
    "COUNTRY": "US",
}
JOHN = MARY | {"EXTERN_ID": "2", "EMAIL": "JOHN@example.org", "PHONE": "43 1 234567", "GEN": "m", "DOBD": "31"}
SCHEMA = list(MARY)
PEOPLE = [list(MARY.values()), list(JOHN.values())]
"""In ASCII, because the client drops other letters."""


@pytest.fixture
async def vendor() -> AsyncIterator[MetaApi]:
    async with MetaApi().serving() as served:
        yield served


async def client(vendor: MetaApi, call: Callable[[CustomAudience], Any], token: str | None = None) -> Any:
    """What the client makes of a call; it blocks."""

    def blocking() -> Any:
        session = FacebookSession(access_token=token or vendor.token)
        session.GRAPH = vendor.url
        return call(CustomAudience(AUDIENCE, api=FacebookAdsApi(session, enable_debug_logger=False)))

    return await asyncio.to_thread(blocking)


async def connector(vendor: MetaApi, operation: str) -> None:
    made = MetaAds(
        MetaAdsConfig.model_validate({"baseUrl": vendor.url}),
        MetaAdsCredentials.model_validate({"access_token": vendor.token}),
    )
    await made.open(Target(AUDIENCE, operation, ("EXTERN_ID",), tuple(SCHEMA), timedelta(seconds=5)))
    payloads = [orjson.dumps(person) for person in (MARY, JOHN)]
    await made.write(Batch(len(payloads), payloads=payloads, operation=operation))
    await made.close()


async def test_the_same_people_are_the_same_call_by_either(vendor: MetaApi) -> None:
    await client(vendor, lambda audience: audience.add_users(SCHEMA, PEOPLE, is_raw=True))
    await connector(vendor, "upsert")
    await client(vendor, lambda audience: audience.remove_users(SCHEMA, PEOPLE, is_raw=True))
    await connector(vendor, "delete")
    added_by_client, added, removed_by_client, removed = vendor.payloads
    assert added == added_by_client
    assert removed == removed_by_client
    assert (added[0], removed[0]) == ("POST", "DELETE")


async def test_the_client_reads_the_simulators_replies(vendor: MetaApi) -> None:
    answer = await client(vendor, lambda audience: audience.add_users(["EMAIL"], [["a@example.com"]], is_raw=True))
    assert answer.json()["num_received"] == 1
    found = await client(vendor, lambda audience: audience.api_get(fields=["id", "operation_status"]))
    assert found["operation_status"]["code"] == 200
    session = {"session_id": 9, "batch_seq": 1, "last_batch_flag": True}
    replace = {"payload": {"schema": ["EXTERN_ID"], "is_raw": True, "data": [["x"]]}, "session": session}
    await client(vendor, lambda audience: audience.create_users_replace(params=replace))
    [held] = await client(vendor, lambda audience: list(audience.get_sessions(params={"session_id": 9})))
    assert held["num_received"] == "1"
    assert vendor.audiences[AUDIENCE].members == [{"EXTERN_ID": "x"}]


async def test_the_client_reads_the_simulators_errors(vendor: MetaApi) -> None:
    with pytest.raises(FacebookRequestError) as caught:
        await client(vendor, lambda audience: audience.api_get(), token="EAA-wrong")
    assert caught.value.api_error_code() == 190


async def test_the_example_of_the_vendors_page_is_taken(vendor: MetaApi) -> None:
    """ "Custom Audience Users": e-mail addresses beside a value for lookalikes, as a form."""
    hashes = ["9b431636bd164765d63c573c346708846af4f68fe3701a77a3bdd7e7e5166254"]
    payload = {"schema": ["EMAIL", "LOOKALIKE_VALUE"], "data": [[hashes[0], 44.5]]}
    answer = await client(vendor, lambda audience: audience.create_user(params={"payload": payload}))
    assert answer is not None
    assert vendor.audiences[AUDIENCE].members == [{"EMAIL": hashes[0], "LOOKALIKE_VALUE": 44.5}]
