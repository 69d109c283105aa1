"""The simulator and the connector beside Google's own client, google-ads-datamanager: it can talk to the one as to
Google, and sends of the same people what the other sends, but for enums, which it writes as numbers.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from google.ads import datamanager_v1 as dm
from google.ads.datamanager_v1.services.ingestion_service.transports import IngestionServiceRestTransport
from google.ads.datamanager_v1.services.user_list_service.transports import UserListServiceRestTransport
from google.api_core.exceptions import BadRequest
from google.oauth2.credentials import Credentials

from retl.destinations.base import Batch, Target
from retl.destinations.google_ads.config import GoogleAdsConfig, GoogleAdsCredentials
from retl.destinations.google_ads.connector import GoogleAds
from tests.destinations.simulators.google_ads import GoogleApi

FIELDS = ("emailAddress", "phoneNumber", "givenName", "familyName", "regionCode", "postalCode")
MARY = ("mary@example.com", "+18005550100", "mary", "doe", "US", "94035")
JOHN = ("john@example.org", "+431234567", "john", "roe", "AT", "1010")


@pytest.fixture
async def vendor() -> AsyncIterator[GoogleApi]:
    async with GoogleApi().serving() as served:
        yield served


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def destination(vendor: GoogleApi, audience: str = "555") -> dm.Destination:
    account = dm.ProductAccount(account_id=vendor.account, account_type=dm.ProductAccount.AccountType.GOOGLE_ADS)
    return dm.Destination(operating_account=account, product_destination_id=audience)


def person(email: str, phone: str, given: str, family: str, region: str, postcode: str) -> dm.AudienceMember:
    address = dm.AddressInfo(given_name=sha(given), family_name=sha(family), region_code=region, postal_code=postcode)
    identifiers = [
        dm.UserIdentifier(email_address=sha(email)),
        dm.UserIdentifier(phone_number=sha(phone)),
        dm.UserIdentifier(address=address),
    ]
    return dm.AudienceMember(user_data=dm.UserData(user_identifiers=identifiers))


async def client(vendor: GoogleApi, kind: Any, transport: Any, call: Callable[[Any], Any]) -> Any:
    """What a client makes of a call; it blocks."""
    host = vendor.url.removeprefix("http://")
    token = Credentials(token=vendor.issue_token())  # type: ignore[no-untyped-call]

    def blocking() -> Any:
        return call(kind(transport=transport(credentials=token, host=host, url_scheme="http")))

    return await asyncio.to_thread(blocking)


async def ingestion(vendor: GoogleApi, call: Callable[[Any], Any]) -> Any:
    return await client(vendor, dm.IngestionServiceClient, IngestionServiceRestTransport, call)


async def connector(vendor: GoogleApi, mode: str) -> None:
    settings = {"account": {"id": vendor.account}, "baseUrl": vendor.url, "tokenUrl": f"{vendor.url}/token"}
    made = GoogleAds(
        GoogleAdsConfig.model_validate({**settings, "acknowledge": "accepted", "clockTolerance": "1s"}),
        GoogleAdsCredentials.model_validate(vendor.client),
    )
    began = datetime(2026, 11, 22, 10, 0, 1, tzinfo=UTC)
    await made.open(Target("555", mode, FIELDS[:1], FIELDS, timedelta(seconds=5), began=began))
    if mode == "replace":
        await made.complete()
    else:
        payloads = [orjson.dumps(dict(zip(FIELDS, each, strict=True))) for each in (MARY, JOHN)]
        await made.write(Batch(2, payloads=payloads, operation=mode))
    await made.close()


def in_words(body: dict[str, Any]) -> dict[str, Any]:
    """A body of the client with its enums as words, and without what is not set."""
    account = {**body["destinations"][0]["operatingAccount"], "accountType": "GOOGLE_ADS"}
    named = {**body, "destinations": [{**body["destinations"][0], "operatingAccount": account}]}
    return {**named, "encoding": "HEX"} if "encoding" in named else named


async def test_the_same_people_are_the_same_call_by_either(vendor: GoogleApi) -> None:
    told: dict[str, Any] = {
        "destinations": [destination(vendor)],
        "audience_members": [person(*MARY), person(*JOHN)],
        "encoding": dm.Encoding.HEX,
    }
    ingest, remove = dm.IngestAudienceMembersRequest(**told), dm.RemoveAudienceMembersRequest(**told)
    until = datetime(2026, 11, 22, 10, tzinfo=UTC)
    drop = dm.RemoveAllAudienceMembersRequest(destinations=[destination(vendor)], remove_as_of_time=until)
    await ingestion(vendor, lambda google: google.ingest_audience_members(ingest))
    await connector(vendor, "upsert")
    await ingestion(vendor, lambda google: google.remove_audience_members(remove))
    await connector(vendor, "delete")
    await ingestion(vendor, lambda google: google.remove_all_audience_members(drop))
    await connector(vendor, "replace")
    assert len(vendor.bodies) == 6
    for (verb_by_client, by_client), (verb, body) in zip(vendor.bodies[::2], vendor.bodies[1::2], strict=True):
        assert verb == verb_by_client
        if verb == "removeAll":
            by_client, body = ({**each, "removeAsOfTime": each["removeAsOfTime"][:19]} for each in (by_client, body))
        assert body == in_words(by_client)


async def test_the_client_reads_the_simulators_replies(vendor: GoogleApi) -> None:
    vendor.slow = 0
    request = dm.IngestAudienceMembersRequest(
        destinations=[destination(vendor)], audience_members=[person(*MARY)], encoding=dm.Encoding.HEX
    )
    answer = await ingestion(vendor, lambda google: google.ingest_audience_members(request))
    asked = dm.RetrieveRequestStatusRequest(request_id=answer.request_id)
    found = await ingestion(vendor, lambda google: google.retrieve_request_status(asked))
    [status] = found.request_status_per_destination
    assert status.request_status == dm.RequestStatusPerDestination.RequestStatus.SUCCESS
    parent = f"accountTypes/GOOGLE_ADS/accounts/{vendor.account}"
    lists = await client(
        vendor,
        dm.UserListServiceClient,
        UserListServiceRestTransport,
        lambda google: [each.id for each in google.list_user_lists(parent=parent)],
    )
    assert lists == [555]


async def test_the_client_reads_the_simulators_errors(vendor: GoogleApi) -> None:
    wrong = dm.AudienceMember(user_data=dm.UserData(user_identifiers=[dm.UserIdentifier(email_address="plain")]))
    request = dm.IngestAudienceMembersRequest(
        destinations=[destination(vendor)], audience_members=[wrong], encoding=dm.Encoding.HEX
    )
    with pytest.raises(BadRequest) as caught:
        await ingestion(vendor, lambda google: google.ingest_audience_members(request))
    info, bad_request = caught.value.details
    [violation] = bad_request["fieldViolations"]
    assert (caught.value.reason, info["domain"]) == ("INVALID_ARGUMENT", "datamanager.googleapis.com")
    assert violation["field"] == "audience_members[0].user_data.user_identifiers[0].email_address"
    assert violation["reason"] == "INVALID_SHA256_FORMAT"
