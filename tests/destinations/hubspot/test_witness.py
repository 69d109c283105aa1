"""HubSpot's own client believes the simulator, and the same rows through it and through us give the same requests."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hubspot import HubSpot as Client
from hubspot.crm.associations.v4.models import (
    AssociationSpec,
    BatchInputPublicAssociationMultiPost,
    PublicAssociationMultiPost,
    PublicObjectId,
)
from hubspot.crm.objects.exceptions import ApiException
from hubspot.crm.objects.models import (
    BatchInputSimplePublicObjectBatchInput,
    BatchInputSimplePublicObjectBatchInputForCreate,
    BatchInputSimplePublicObjectBatchInputUpsert,
    BatchInputSimplePublicObjectId,
    BatchReadInputSimplePublicObjectId,
    SimplePublicObjectBatchInput,
    SimplePublicObjectBatchInputForCreate,
    SimplePublicObjectBatchInputUpsert,
    SimplePublicObjectId,
)

from retl.destinations.base import ACKNOWLEDGED, Batch, Target
from retl.destinations.hubspot.config import HubSpotConfig, HubSpotCredentials
from retl.destinations.hubspot.connector import HubSpot
from tests.destinations.simulators.hubspot import HubSpotApi

ROWS = [{"email": "a@x.at", "firstname": "Ann"}, {"email": "b@x.at", "firstname": "Bob"}]


@pytest.fixture
async def api() -> AsyncIterator[HubSpotApi]:
    async with HubSpotApi().serving() as served:
        yield served


def at(room: Any, api: HubSpotApi) -> Any:
    """A room of the client, as the client calls each of its APIs, that calls the simulator."""
    room.api_client.configuration.host = api.url
    return room


async def through_the_client(api: HubSpotApi, operation: str) -> None:
    batches = at(Client(access_token=api.private).crm.objects.batch_api, api)
    traced = list(enumerate(ROWS))
    if operation == "upsert":
        inputs: Any = BatchInputSimplePublicObjectBatchInputUpsert(
            [
                SimplePublicObjectBatchInputUpsert(
                    id=row["email"], id_property="email", object_write_trace_id=str(place), properties=row
                )
                for place, row in traced
            ]
        )
        call = batches.upsert
    elif operation == "update":
        inputs = BatchInputSimplePublicObjectBatchInput(
            [
                SimplePublicObjectBatchInput(
                    id=row["email"], id_property="email", object_write_trace_id=str(place), properties=row
                )
                for place, row in traced
            ]
        )
        call = batches.update
    elif operation == "insert":
        inputs = BatchInputSimplePublicObjectBatchInputForCreate(
            [
                SimplePublicObjectBatchInputForCreate(associations=[], object_write_trace_id=str(place), properties=row)
                for place, row in traced
            ]
        )
        call = batches.create
    else:
        keys = [SimplePublicObjectId(id=row["email"]) for row in ROWS]
        read = BatchReadInputSimplePublicObjectId(
            id_property="email", inputs=keys, properties=["email"], properties_with_history=[]
        )
        found = await asyncio.to_thread(batches.read, "contacts", read)
        inputs = BatchInputSimplePublicObjectId([SimplePublicObjectId(id=each.id) for each in found.results])
        call = batches.archive
    await asyncio.to_thread(call, "contacts", inputs)


async def through_us(api: HubSpotApi, operation: str) -> None:
    login = HubSpotCredentials.model_validate({"access_token": api.private})
    connector = HubSpot(HubSpotConfig(base_url=api.url, api_version="v3"), login)
    await connector.open(Target("contacts", operation, ("email",), ("email", "firstname"), timedelta(seconds=5)))
    batch = Batch(len(ROWS), [orjson.dumps(row) for row in ROWS], operation=operation)
    assert await connector.write(batch) == [ACKNOWLEDGED] * len(ROWS)
    await connector.close()


@pytest.mark.parametrize("operation", ["upsert", "insert", "update", "delete"])
async def test_the_same_rows_give_the_same_requests(api: HubSpotApi, operation: str) -> None:
    contacts = api.kind("contacts")
    assert contacts is not None
    requests = []
    for send in (through_the_client, through_us):
        for record_id in list(contacts.records):
            contacts.drop(record_id)
        if operation in ("update", "delete"):
            for place, row in enumerate(ROWS):
                contacts.put(str(place), {"email": row["email"]})
        api.inputs.clear()
        before = len(api.calls)
        await send(api, operation)
        paths = [call.path for call in api.calls[before:] if "/batch/" in call.path]
        requests.append((paths, list(api.inputs), dict(contacts.records)))
        api._next = 1000
    assert requests[0] == requests[1]


async def test_the_client_reads_partial_failures_refusals_and_descriptions(api: HubSpotApi) -> None:
    client = Client(access_token=api.private)
    batches = at(client.crm.objects.batch_api, api)
    inputs = [
        SimplePublicObjectBatchInputForCreate([], str(place), {"email": email})
        for place, email in enumerate(["a@x.at", "no address"])
    ]
    said = await asyncio.to_thread(batches.create, "contacts", BatchInputSimplePublicObjectBatchInputForCreate(inputs))
    assert (len(said.results), said.num_errors) == (1, 1)
    assert said.errors[0].category == "VALIDATION_ERROR"
    assert said.errors[0].context == {"objectWriteTraceId": ["1"]}
    properties = await asyncio.to_thread(at(client.crm.properties.core_api, api).get_all, "contacts")
    assert {each.name for each in properties.results if each.has_unique_value} >= {"account_ref", "hs_object_id"}
    schemas = await asyncio.to_thread(at(client.crm.schemas.core_api, api).get_all)
    assert [each.fully_qualified_name for each in schemas.results] == ["p42_cars"]
    twice = [SimplePublicObjectBatchInputUpsert("email", str(place), "a@x.at", {}) for place in range(2)]
    with pytest.raises(ApiException) as caught:
        await asyncio.to_thread(batches.upsert, "contacts", BatchInputSimplePublicObjectBatchInputUpsert(twice))
    assert caught.value.status == 400
    assert "Duplicate IDs" in caught.value.body


async def test_the_client_associates_and_logs_in(api: HubSpotApi) -> None:
    companies = api.kind("companies")
    assert companies is not None
    companies.put("7", {})
    client = Client(access_token=api.private)
    pair = PublicAssociationMultiPost(
        _from=PublicObjectId("1"), to=PublicObjectId("7"), types=[AssociationSpec("HUBSPOT_DEFINED", 279)]
    )
    room = at(client.crm.associations.v4.batch_api, api)
    await asyncio.to_thread(room.create, "contacts", "companies", BatchInputPublicAssociationMultiPost([pair]))
    assert api.associations == {("1", "7", 279)}
    tokens = at(Client().oauth.tokens_api, api)
    client_id, secret, refresh = api.client
    said = await asyncio.to_thread(
        tokens.create, grant_type="refresh_token", client_id=client_id, client_secret=secret, refresh_token=refresh
    )
    assert said.access_token in api.tokens
