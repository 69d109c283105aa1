"""The connector against the simulated account: bad input, discovery, associations, look-ups, limits, versions."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest

from retl.destinations.base import (
    ACKNOWLEDGED,
    Acknowledged,
    Batch,
    BatchRejected,
    LoginRefused,
    LookupRequest,
    Outcome,
    Rejected,
    Skipped,
    Target,
    TryLater,
    Unknown,
)
from retl.destinations.hubspot.catalog import link_of
from retl.destinations.hubspot.config import HubSpotAssociation, HubSpotConfig, HubSpotCredentials
from retl.destinations.hubspot.connector import HubSpot
from retl.destinations.registry import DESTINATIONS
from retl.errors import DestinationError, DestinationUnavailable, InvalidInput
from retl.state.sql import SqlStateStore
from retl.testing import Row, Stage
from tests.destinations.conformance.test_hubspot import Contacts
from tests.destinations.simulators.base import Fault
from tests.destinations.simulators.hubspot import HubSpotApi, Kind


@pytest.fixture
async def api() -> AsyncIterator[HubSpotApi]:
    async with HubSpotApi().serving() as served:
        yield served
        while Session.made:
            await Session.made.pop().close()


class Session:
    """A connector that was opened for one sync."""

    made: ClassVar[list[HubSpot]] = []

    def __init__(self, api: HubSpotApi, config: dict[str, Any] | None = None) -> None:
        login = HubSpotCredentials.model_validate({"access_token": api.private})
        self.connector = HubSpot(HubSpotConfig.model_validate({"baseUrl": api.url, **(config or {})}), login)
        self.made.append(self.connector)

    async def opened(
        self, *fields: str, object_: str = "contacts", mode: str = "upsert", key: str = "email"
    ) -> "Session":
        keys = () if mode == "append" else (key,)
        await self.connector.open(Target(object_, mode, keys, fields, timedelta(seconds=5)))
        return self

    async def write(self, *records: dict[str, Any], operation: str = "upsert") -> list[Outcome]:
        payloads = [orjson.dumps(record) for record in records]
        return list(await self.connector.write(Batch(len(payloads), payloads, operation=operation)))


def kind(api: HubSpotApi, name: str) -> Kind:
    found = api.kind(name)
    assert found is not None
    return found


def put(api: HubSpotApi, name: str, records: dict[str, dict[str, str]]) -> None:
    for record_id, properties in records.items():
        kind(api, name).put(record_id, properties)


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
async def test_records_end_each_with_hubspots_code_and_words_in_every_version(api: HubSpotApi, version: str) -> None:
    session = await Session(api, {"apiVersion": version}).opened("email", "plan", "age", "badge")
    kind(api, "contacts").put("1", {"email": "other@x.at", "badge": "b1"})
    outcomes = await session.write(
        {"email": "a@x.at", "plan": "free"},
        {"email": "b@x.at", "plan": "secret-plan"},
        {"email": "c@x.at", "age": "old"},
        {"email": "d@x.at", "badge": "b1"},
        {"email": "A@x.at"},
        {"email": " "},
    )
    assert outcomes[0] == ACKNOWLEDGED
    assert [each.code for each in outcomes[1:] if isinstance(each, Rejected)] == [
        "DESTINATION_VALIDATION",
        "DESTINATION_VALIDATION",
        "CONFLICT",
        "DUPLICATE_KEY",
        "DESTINATION_VALIDATION",
    ]
    assert outcomes[1] == Rejected(
        "DESTINATION_VALIDATION", "INVALID_OPTION (plan): … was not one of the allowed options: [free, paid]"
    )
    assert {call.path.count(version) for call in api.calls if "/crm/" in call.path} == {1}


async def test_null_clears_and_what_is_left_out_stays(api: HubSpotApi) -> None:
    session = await Session(api).opened("email", "firstname", "plan")
    await session.write({"email": "a@x.at", "firstname": "Ann", "plan": "free"})
    await session.write({"email": "a@x.at", "firstname": None})
    [held] = kind(api, "contacts").records.values()
    assert held == {"email": "a@x.at", "firstname": "", "plan": "free"}


@pytest.mark.parametrize(
    ("fields", "more", "words"),
    [
        (("email", "first_name"), {}, "has no property first_name; did you mean firstname"),
        (("email", "createdate"), {}, "createdate of contacts cannot be written"),
        (("firstname",), {"key": "firstname"}, "firstname is no property with unique values of contacts"),
        (("hs_object_id",), {"key": "hs_object_id"}, "HubSpot gives hs_object_id itself"),
        (("email",), {"object_": "cars"}, "HubSpot has no object 'cars'"),
        (("email", "associations.companies.first"), {}, "an association is associations.NAME"),
        (("email", "associations.p42_cars"), {}, "HubSpot has no association without label"),
    ],
)
async def test_what_is_wrong_for_all_records_is_said_before_any_is_sent(
    api: HubSpotApi, fields: tuple[str, ...], more: dict[str, Any], words: str
) -> None:
    session = Session(api)
    with pytest.raises(DestinationError, match=words):
        await session.opened(*fields, **more)
    await session.connector.close()
    assert not api.inputs


async def test_an_outage_while_a_run_begins_is_one_that_may_pass(api: HubSpotApi) -> None:
    session = await Session(api).opened("email")
    asked = session.connector
    for ask in (
        asked.server,
        asked.objects,
        lambda: asked.describe("contacts", "upsert"),
        lambda: session.opened("email"),
    ):
        api.faults.next.append(Fault(503))
        with pytest.raises(DestinationUnavailable, match="503"):
            await ask()


async def test_a_missing_scope_ends_the_run(api: HubSpotApi) -> None:
    session = await Session(api).opened("email")
    api.scopes.clear()
    with pytest.raises(LoginRefused, match="lacks a scope") as caught:
        await session.write({"email": "a@x.at"})
    assert "MISSING_SCOPES (crm.objects.contacts.write)" in caught.value.said


@pytest.mark.parametrize(
    ("login", "words"),
    [
        ({}, "give access_token; or client_id, client_secret and refresh_token"),
        ({"client_id": "a", "client_secret": "b"}, "give access_token; or client_id"),
        ({"access_token": "a", "client_id": "b"}, "and not both"),
    ],
)
def test_a_login_is_whole_and_one_of_its_kinds(login: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        DESTINATIONS.login("hubspot", "login", login)


async def test_a_call_that_hubspot_could_not_use_leaves_all_unknown(api: HubSpotApi) -> None:
    session = await Session(api).opened("email")
    api.blind = True
    assert {type(each) for each in await session.write({"email": "a@x.at"}, {"email": "b@x.at"})} == {Unknown}


async def test_a_refused_call_is_halved_and_of_one_record_it_is_the_records(api: HubSpotApi) -> None:
    session = await Session(api).opened("email", "firstname")
    said = {"category": "VALIDATION_ERROR", "message": "Ann is wrong"}
    api.faults.next.extend([Fault(400, {}, said)] * 2)
    with pytest.raises(BatchRejected) as caught:
        await session.write({"email": "a@x.at", "firstname": "Ann"}, {"email": "b@x.at"})
    assert (caught.value.code, caught.value.message) == ("DESTINATION_VALIDATION", "VALIDATION_ERROR: … is wrong")
    assert await session.write({"email": "a@x.at", "firstname": "Ann"}) == [
        Rejected("DESTINATION_VALIDATION", "VALIDATION_ERROR: … is wrong")
    ]


async def test_the_quota_of_the_day_is_waited_for_until_the_accounts_midnight(api: HubSpotApi) -> None:
    session = await Session(api).opened("email")
    api.policy = "DAILY"
    api.faults.next.append(Fault(429, {}, {"policyName": "DAILY"}))
    with pytest.raises(TryLater, match="no more calls today") as caught:
        await session.write({"email": "a@x.at"})
    assert caught.value.retry_after is not None
    assert timedelta(0) < caught.value.retry_after <= timedelta(hours=25)


async def test_records_that_are_missing_are_skipped_by_update_and_acknowledged_by_delete(api: HubSpotApi) -> None:
    session = await Session(api).opened("email", "firstname")
    await session.write({"email": "a@x.at"})
    updated = await session.write({"email": "A@x.at"}, {"email": "b@x.at"}, operation="update")
    assert updated == [ACKNOWLEDGED, Skipped("there is no such record")]
    assert await session.write({"email": "A@x.at"}, {"email": "b@x.at"}, operation="delete") == [ACKNOWLEDGED] * 2
    assert not kind(api, "contacts").records


async def test_hubspots_own_id_updates_and_deletes_without_a_read(api: HubSpotApi) -> None:
    put(api, "contacts", {"1": {"email": "a@x.at"}, "2": {"email": "b@x.at"}})
    session = await Session(api).opened("hs_object_id", "firstname", mode="update", key="hs_object_id")
    assert await session.write({"hs_object_id": 1, "firstname": "Ann"}, operation="update") == [ACKNOWLEDGED]
    assert await session.write({"hs_object_id": "2"}, operation="delete") == [ACKNOWLEDGED]
    assert kind(api, "contacts").records == {"1": {"email": "a@x.at", "firstname": "Ann"}}
    assert [verb for verb, _ in api.inputs] == ["update", "archive"]


@pytest.mark.parametrize(
    ("context", "found"),
    [({"ids": ["1"]}, [Rejected, Acknowledged]), ({}, [Unknown, Unknown]), (5, [Unknown, Unknown])],
)
async def test_an_archive_whose_reply_has_errors_is_none_of_these_records(
    api: HubSpotApi, context: object, found: list[type[Outcome]]
) -> None:
    session = await Session(api).opened("hs_object_id", mode="delete", key="hs_object_id")
    error = {"status": "error", "category": "VALIDATION_ERROR", "message": "1 is needed", "context": context}
    api.faults.next.append(Fault(207, {}, {"status": "COMPLETE", "results": [], "errors": [error]}))
    outcomes = await session.write({"hs_object_id": "1"}, {"hs_object_id": "2"}, operation="delete")
    assert [type(each) for each in outcomes] == found


async def test_a_delete_whose_read_says_nothing_is_unknown(api: HubSpotApi) -> None:
    session = await Session(api).opened("email", mode="delete")
    api.blind = True
    assert [type(each) for each in await session.write({"email": "a@x.at"}, operation="delete")] == [Unknown]


ASSOCIATED = {"associations": {"employer": {"object": "companies", "label": "Primary"}}}


@pytest.mark.parametrize("operation", ["upsert", "insert", "append"])
async def test_records_are_associated_as_the_mapping_says(api: HubSpotApi, operation: str) -> None:
    put(api, "companies", {"7": {}, "8": {}})
    session = await Session(api, ASSOCIATED).opened(
        "email", "associations.employer", "associations.companies", mode=operation
    )
    records = [
        {"email": "a@x.at", "associations": {"employer": "7", "companies": [7, 8]}},
        {"email": "b@x.at", "associations": {"employer": None}},
    ]
    assert await session.write(*records, operation=operation) == [ACKNOWLEDGED] * 2
    [first, _] = kind(api, "contacts").records
    assert api.associations == {(first, "7", 1), (first, "7", 279), (first, "8", 279)}


async def test_an_association_that_hubspot_refuses_is_its_records(api: HubSpotApi) -> None:
    kind(api, "companies").put("7", {})
    session = await Session(api).opened("email", "associations.companies")
    outcomes = await session.write(
        {"email": "a@x.at", "associations": {"companies": "7"}},
        {"email": "b@x.at", "associations": {"companies": "100200300"}},
        {"email": "c@x.at"},
    )
    assert outcomes[::2] == [ACKNOWLEDGED] * 2
    assert outcomes[1] == Rejected(
        "NOT_FOUND", "association with companies: OBJECT_NOT_FOUND: One or more to objects do not exist: ['…']"
    )


async def test_associations_travel_as_many_in_a_call_as_hubspot_takes(api: HubSpotApi) -> None:
    put(api, "companies", {str(number): {} for number in range(5)})
    session = await Session(api, {"maxAssociations": 2}).opened("email", "associations.companies")
    await session.write({"email": "a@x.at", "associations": {"companies": list(range(5))}})
    assert sum(call.path.endswith("/companies/batch/create") for call in api.calls) == 3
    assert len(api.associations) == 5


def test_a_label_that_there_is_not_is_named_with_those_there_are() -> None:
    labels = [{"category": "USER_DEFINED", "typeId": 5, "label": "Manager"}]
    with pytest.raises(DestinationError, match="no association with label 'Boss'; labels: Manager"):
        link_of("boss", HubSpotAssociation(object="companies", label="Boss"), labels)


async def test_ids_are_looked_up_by_any_unique_property(api: HubSpotApi) -> None:
    put(api, "companies", {"7": {"company_ref": "Acme"}, "8": {"company_ref": "5"}})
    session = await Session(api, {"maxRecords": 2}).opened("email")
    request = LookupRequest("companies", "company_ref", "hs_object_id")
    found = await session.connector.lookup(request, [b'"acme"', b'"ACME"', b"5", b'"none"'])
    assert found == {b'"acme"': b'"7"', b'"ACME"': b'"7"', b"5": b'"8"'}
    with pytest.raises(BatchRejected, match="no unique property"):
        await session.connector.lookup(LookupRequest("companies", "name", "hs_object_id"), [b'"a"'])


async def test_the_account_its_objects_and_their_fields_are_described(api: HubSpotApi) -> None:
    connector = Session(api).connector
    assert await connector.server() == "account 42, STANDARD, na1"
    api.scopes.remove("0-2")
    assert {each.name for each in await connector.objects()} == {"contacts", "p42_cars"}
    fields = {field.name: field for field in await connector.describe("p42_cars", "upsert")}
    assert fields["vin"].required
    assert fields["hs_object_id"].read_only
    assert {field.name: field.type for field in await connector.describe("contacts", "upsert")}["plan"] == "enumeration"
    with pytest.raises(DestinationError, match="no object 'nothing'"):
        await connector.describe("nothing", "upsert")


LOOKED_UP = {
    "source": "name",
    "destination": "associations.companies",
    "lookup": {"object": "companies", "matchField": "company_ref", "returnField": "hs_object_id", "onMiss": "Fail"},
}


class Employees(Contacts):
    """Contacts that are associated with the company of which their row has the name."""

    more: Mapping[str, Any] = {"mappings": [{"source": "key", "destination": "email", "key": True}, LOOKED_UP]}


async def test_rows_are_associated_by_what_is_looked_up_through_the_whole_engine(tmp_path: Path) -> None:
    case = Employees()
    state = await SqlStateStore.open(f"sqlite:///{tmp_path}/state.db", key=bytes(32))
    try:
        async with case.serving():
            put(case.vendor, "companies", {"7": {"company_ref": "Acme"}})
            stage = Stage(case, state, tmp_path)
            stage.rows([Row("a@x.at", "acme"), Row("b@x.at", "Nobody Inc")])
            result = await stage.run()
            assert (result.status, result.counts.created, result.counts.rejected) == ("Succeeded", 1, 1)
            [letter] = await stage.letters()
            assert letter.code == "NOT_FOUND"
            assert {(end, type_id) for _, end, type_id in case.vendor.associations} == {("7", 279)}
    finally:
        await state.close()
