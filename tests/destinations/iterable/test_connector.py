"""The connector against the simulated project: what is sent, what replies mean, bad input, discovery, catalogs."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    BatchRejected,
    LoginRefused,
    Outcome,
    Rejected,
    Target,
    TryLater,
    Unknown,
)
from retl.destinations.iterable.config import IterableConfig, IterableCredentials, iterable_capabilities
from retl.destinations.iterable.connector import Iterable
from retl.errors import DestinationError, DestinationUnavailable
from retl.state.sql import SqlStateStore
from retl.testing import Stage
from tests.destinations.conformance.test_iterable import Users
from tests.destinations.simulators.base import Fault
from tests.destinations.simulators.iterable import IterableApi


@pytest.fixture
async def api() -> AsyncIterator[IterableApi]:
    async with IterableApi().serving() as served:
        yield served
        while Session.made:
            await Session.made.pop().close()


class Session:
    """A connector that was opened for one sync."""

    made: ClassVar[list[Iterable]] = []

    def __init__(self, api: IterableApi, config: Mapping[str, Any] | None = None) -> None:
        login = IterableCredentials.model_validate({"api_key": api.key})
        self.connector = Iterable(IterableConfig.model_validate({"baseUrl": api.url, **(config or {})}), login)
        self.made.append(self.connector)

    async def opened(self, *fields: str, object_: str = "users", mode: str = "upsert", key: str = "email") -> "Session":
        await self.connector.open(Target(object_, mode, (key,), (key, *fields), timedelta(seconds=5)))
        return self

    async def write(self, *records: dict[str, Any], operation: str = "upsert") -> list[Outcome]:
        payloads = [orjson.dumps(record) for record in records]
        ids = [f"id-{place}" for place in range(len(records))]
        return list(await self.connector.write(Batch(len(payloads), payloads, operation=operation, ids=ids)))


def invalid(words: str) -> Rejected:
    return Rejected("DESTINATION_VALIDATION", words)


async def test_users_are_sent_as_iterable_documents_it(api: IterableApi) -> None:
    session = await Session(api, {"mergeNestedObjects": True}).opened("firstName", "address.city")
    record = {"email": "a@x.at", "firstName": "Ann", "address": {"city": "Wien"}}
    assert await session.write(record) == [ACKNOWLEDGED]
    data = {"firstName": "Ann", "address": {"city": "Wien"}}
    user = {"email": "a@x.at", "dataFields": data, "mergeNestedObjects": True}
    assert api.bodies == [{"users": [user], "createNewFields": False}]


async def test_users_by_their_id_are_made_if_there_are_none(api: IterableApi) -> None:
    session = await Session(api).opened("email", key="userId")
    assert await session.write({"userId": 17, "email": "a@x.at"}) == [ACKNOWLEDGED]
    [user] = api.bodies[0]["users"]
    assert (user["userId"], user["email"], user["preferUserId"]) == ("17", "a@x.at", True)


@pytest.mark.parametrize(("merge", "held"), [(False, {"city": "Wien"}), (True, {"city": "Wien", "zip": "1010"})])
async def test_null_removes_and_objects_are_merged_if_that_is_asked_for(
    api: IterableApi, merge: bool, held: dict[str, str]
) -> None:
    api.users["a@x.at"] = {"firstName": "Ann", "plan": "free", "address": {"zip": "1010"}}
    session = await Session(api, {"mergeNestedObjects": merge}).opened("firstName", "address.city")
    await session.write({"email": "a@x.at", "firstName": None, "address": {"city": "Wien"}})
    assert api.users["a@x.at"] == {"plan": "free", "address": held}


async def test_each_user_that_fails_ends_with_the_list_that_names_them(api: IterableApi) -> None:
    api.forgotten.add("b@x.at")
    api.taken.add("c@x.at")
    session = await Session(api).opened("firstName")
    outcomes = await session.write(*({"email": each} for each in ("a@x.at", "b@x.at", "c@x.at", "d", "A@X.at", None)))
    assert outcomes == [
        ACKNOWLEDGED,
        invalid("forgottenEmails: Iterable was told to forget this user; unforget it there to write it"),
        Rejected("CONFLICT", "conflictEmails: another user has it"),
        invalid("invalidEmails: it is none that Iterable takes"),
        Rejected("DUPLICATE_KEY", "another record of the call has the same email"),
        invalid("email, by which Iterable finds the record, is empty"),
    ]


async def test_counts_that_do_not_agree_with_the_lists_leave_the_others_unknown(api: IterableApi) -> None:
    session = await Session(api).opened()
    api.miscount = 1
    outcomes = await session.write({"email": "a@x.at"}, {"email": "no-address"})
    assert [type(each) for each in outcomes] == [Unknown, Rejected]
    api.faults.next.append(Fault(200, {}, {"msg": "", "code": "Success"}))
    assert [type(each) for each in await session.write({"email": "a@x.at"})] == [Unknown]


async def test_a_value_of_another_type_refuses_the_call_and_is_not_told(api: IterableApi) -> None:
    session = await Session(api).opened("age")
    good, bad = {"email": "a@x.at", "age": 7}, {"email": "b@x.at", "age": "secret-age"}
    words = "RequestFieldsTypesMismatched: age: is of type long, and was sent string or keyword"
    with pytest.raises(BatchRejected) as caught:
        await session.write(good, bad)
    assert (caught.value.code, caught.value.message) == ("DESTINATION_VALIDATION", words)
    assert not api.users
    assert await session.write(bad) == [invalid(words)]


@pytest.mark.parametrize(
    ("status", "code", "ours"),
    [
        (429, "RateLimitExceeded", "RATE_LIMIT"),
        (400, "DatabaseError", "DESTINATION_UNAVAILABLE"),
        (500, "GenericError", "DESTINATION_UNAVAILABLE"),
    ],
)
async def test_what_may_pass_is_tried_later_whatever_its_status(
    api: IterableApi, status: int, code: str, ours: str
) -> None:
    session = await Session(api).opened()
    api.faults.next.append(Fault(status, {}, {"code": code, "msg": "later"}))
    with pytest.raises(TryLater, match=str(status)) as caught:
        await session.write({"email": "a@x.at"})
    assert caught.value.code == ours


async def test_a_key_that_is_withdrawn_ends_the_run_without_being_told(api: IterableApi) -> None:
    session = await Session(api).opened()
    api.key = "another"
    with pytest.raises(LoginRefused) as caught:
        await session.write({"email": "a@x.at"})
    assert "iter4ble" not in f"{caught.value}{caught.value.said}"


async def test_users_are_deleted_each_by_a_call_and_those_that_are_not_there_are_gone(api: IterableApi) -> None:
    api.users |= {"a@x.at": {}, "b+c@x.at": {}}
    session = await Session(api, {"deletesAtOnce": 7}).opened(mode="mirror")
    assert session.connector.batching("delete", 100).records == 7
    assert session.connector.batching("upsert", 100).records == 1_000
    records = [{"email": each} for each in ("a@x.at", "b+c@x.at", "d@x.at")]
    assert await session.write(*records, operation="delete") == [ACKNOWLEDGED] * 3
    assert not api.users
    by_id = await Session(api).opened(key="userId", mode="delete")
    api.users["17"] = {}
    assert await by_id.write({"userId": "17"}, operation="delete") == [ACKNOWLEDGED]
    assert not api.users


async def test_members_that_are_not_there_are_gone_from_the_list(api: IterableApi) -> None:
    api.members[7]["a@x.at"] = {}
    session = await Session(api).opened(object_="lists/7", mode="mirror")
    assert await session.write({"email": "a@x.at"}, {"email": "b@x.at"}, operation="delete") == [ACKNOWLEDGED] * 2
    assert not api.members[7]


@pytest.mark.parametrize(("object_", "key"), [("users", "email"), ("catalogs/shops", "shop")])
@pytest.mark.parametrize("said", [None, ["ok"], {"code": "BadParams", "msg": "no"}])
async def test_a_success_that_does_not_say_so_deletes_nothing(
    api: IterableApi, object_: str, key: str, said: object
) -> None:
    session = await Session(api).opened(object_=object_, key=key, mode="delete")
    api.faults.next.append(Fault(200, {}, said))
    assert [type(each) for each in await session.write({key: "s-1"}, operation="delete")] == [Unknown]
    api.faults.next.append(Fault(200, {}, {"code": "DatabaseError"}))
    with pytest.raises(TryLater):
        await session.write({key: "s-1"}, operation="delete")


async def test_lists_that_are_none_name_nobody(api: IterableApi) -> None:
    session = await Session(api).opened("firstName")
    odd = {"invalidEmails": 5, "filteredOutFields": "firstName", "failedUpdates": {"notFoundEmails": None}}
    api.faults.next.append(Fault(200, {}, {"successCount": 1, "failCount": 0, **odd}))
    [outcome] = await session.write({"email": "a@x.at", "firstName": "Ann"})
    assert isinstance(outcome, Rejected)


@pytest.mark.parametrize(("replaces", "held"), [(False, {"open": True, "name": "Mitte"}), (True, {"name": "Mitte"})])
async def test_items_keep_the_fields_that_are_not_mapped_unless_they_are_replaced(
    api: IterableApi, replaces: bool, held: dict[str, Any]
) -> None:
    api.catalogs["shops"]["s-1"] = {"open": True}
    session = await Session(api, {"replaceItems": replaces}).opened("name", object_="catalogs/shops", key="shop")
    outcomes = await session.write(
        {"shop": "s-1", "name": "Mitte"}, {"shop": "s_2", "name": "x"}, {"shop": "s-3", "a": {"b.c": 1}}
    )
    assert outcomes == [
        ACKNOWLEDGED,
        invalid("shop: the id of a catalog item is letters, digits and dashes, at most 255"),
        invalid("a catalog item can have no field with a period in its name"),
    ]
    assert api.catalogs["shops"] == {"s-1": held}
    assert await session.write({"shop": "s-1"}, {"shop": "s-9"}, operation="delete") == [ACKNOWLEDGED] * 2
    assert not api.catalogs["shops"]


async def test_an_event_carries_its_own_id_or_the_engines_and_its_time_in_seconds(api: IterableApi) -> None:
    session = await Session(api).opened("createdAt", "total", "id", object_="order_placed", mode="append")
    api.disallowed.add("secret_event")
    outcomes = await session.write(
        {"email": "a@x.at", "createdAt": "2026-11-22T00:00:00Z", "total": 7},
        {"email": "a@x.at", "id": 5, "createdAt": 1_000},
        {"email": "b@x.at", "eventName": "secret_event"},
        {"email": "c@x.at", "createdAt": "yesterday"},
        {"email": "d@x.at", "id": "x" * 513},
        operation="append",
    )
    assert outcomes == [
        ACKNOWLEDGED,
        ACKNOWLEDGED,
        invalid("disallowedEventNames: the project does not take events of this name"),
        invalid("createdAt is no time: neither seconds since 1970 nor ISO 8601"),
        invalid("id: an event's id is at most 512 bytes"),
    ]
    assert {each: event["createdAt"] for each, event in api.events.items()} == {"id-0": 1_795_305_600, "5": 1_000}
    assert api.events["id-0"]["dataFields"] == {"total": 7}


async def test_a_record_that_lost_a_field_is_none_that_was_written(api: IterableApi) -> None:
    session = await Session(api).opened("firstName", "plan")
    del api.fields["plan"]
    assert await session.write({"email": "a@x.at", "plan": "free"}, {"email": "b@x.at", "firstName": "Bob"}) == [
        invalid("filteredOutFields: written without plan; see config.createNewFields"),
        ACKNOWLEDGED,
    ]


@pytest.mark.parametrize(
    ("fields", "more", "words"),
    [
        (("nickName",), {}, "users have no field nickName"),
        ((), {"key": "phone"}, "users are found by email or userId, and the key is phone"),
        ((), {"object_": "lists/5"}, "Iterable has no list 5"),
        ((), {"object_": "lists/9"}, "Iterable has no list 9"),
        ((), {"object_": "catalogs/none"}, "Iterable has no catalog 'none'"),
        ((), {"object_": "order_placed"}, "is none of users, lists/ID and catalogs/NAME"),
        ((), {"object_": "order_placed", "mode": "append", "key": "id"}, "an event needs the user's email or userId"),
    ],
)  # fmt: skip
async def test_what_is_wrong_for_all_records_is_said_before_any_is_sent(
    api: IterableApi, fields: tuple[str, ...], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(DestinationError, match=words):
        await Session(api).opened(*fields, **more)
    assert not api.bodies


async def test_an_outage_while_a_run_begins_is_one_that_may_pass(api: IterableApi) -> None:
    session = Session(api)
    for before in range(2):
        api.faults.next.extend([*[Fault(200, {}, {"fields": {}})] * before, Fault(503)])
        with pytest.raises(DestinationUnavailable, match="503"):
            await session.opened(object_="catalogs/shops", key="shop")


async def test_new_fields_are_made_if_that_is_asked_for(api: IterableApi) -> None:
    session = await Session(api, {"createNewFields": True}).opened("nickName")
    assert await session.write({"email": "a@x.at", "nickName": "Annie"}) == [ACKNOWLEDGED]
    assert api.fields["nickName"] == "string"
    assert await session.connector.fields() is None
    assert await session.connector.objects() is None


async def test_users_and_lists_are_described_and_what_takes_any_field_is_not(api: IterableApi) -> None:
    connector = Session(api).connector
    assert await connector.server() == ""
    listed = await connector.objects()
    assert listed is not None
    assert [each.name for each in listed] == ["users", "lists/7", "lists/8"]
    fields = await connector.describe("users", "upsert")
    assert fields is not None
    assert {field.name: field.type for field in fields}["address"] == "object"
    assert await connector.describe("order_placed", "append") is None
    assert await connector.describe("catalogs/shops", "upsert") is None
    with pytest.raises(DestinationError, match="Iterable has no 'lists/5'"):
        await connector.describe("lists/5", "upsert")


def test_records_and_what_surrounds_them_fit_into_what_iterable_takes() -> None:
    can = iterable_capabilities(IterableConfig())
    assert can.max_bytes is not None
    assert 3_500_000 < can.max_bytes < 4_000_000


class Shops(Users):
    """Items of a catalog."""

    object = "catalogs/shops"
    key_field = "shop"


async def test_a_catalog_is_mirrored_through_the_engine(tmp_path: Path) -> None:
    case = Shops()
    state = await SqlStateStore.open(f"sqlite:///{tmp_path}/state.db", key=bytes(32))
    try:
        async with case.serving():
            stage = Stage(case, state, tmp_path)
            stage.mode = "mirror"
            rows = [super(Users, case).row(number) for number in range(30)]
            stage.rows(rows)
            assert (await stage.run()).counts.created == 30
            stage.rows(rows[:-2])
            assert (await stage.run()).counts.deleted == 2
            items = case.vendor.catalogs["shops"]
            assert {key: item["firstName"] for key, item in items.items()} == {row.key: row.name for row in rows[:-2]}
    finally:
        await state.close()


async def test_a_list_that_is_gone_in_mid_run_ends_the_run(api: IterableApi) -> None:
    session = await Session(api).opened(object_="lists/7")
    del api.members[7]
    with pytest.raises(DestinationError, match="no such list"):
        await session.write({"email": "a@x.at"})
