"""google_ads through the kit: requests that are refused at once, that fail in processing, and audiences replaced."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from bench.destinations import Bench
from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    BatchRejected,
    Ended,
    LoginRefused,
    Outcome,
    Rejected,
    Running,
    Target,
    TryLater,
    Unknown,
)
from retl.destinations.google_ads.config import GoogleAdsConfig, GoogleAdsCredentials
from retl.destinations.google_ads.connector import GoogleAds
from retl.errors import DestinationError, DestinationUnavailable, InvalidInput
from retl.testing import Row, Stage
from retl.testing.conformance import begin, expect
from tests.destinations.conformance.replacing import Replacing
from tests.destinations.simulators.base import Fault, Window
from tests.destinations.simulators.case import SimulatedCase
from tests.destinations.simulators.google_ads import GoogleApi, UserList, error, key_file

TIMEOUT = timedelta(seconds=5)
LIST = "555"
AT_ONCE = timedelta(milliseconds=5)


class GoogleCase(SimulatedCase):
    """An audience of devices, whose requests are processed by the second question."""

    connector = "google_ads"
    object = LIST
    key_field = "mobileId"
    name_field = None

    def __init__(self) -> None:
        self.vendor: GoogleApi = GoogleApi()
        self.patience = timedelta(hours=1)

    def config(self) -> Mapping[str, Any]:
        return {
            "account": {"id": self.vendor.account},
            "baseUrl": self.vendor.url,
            "tokenUrl": f"{self.vendor.url}/token",
            "statusInterval": AT_ONCE,
            "patience": self.patience,
            "clockTolerance": timedelta(microseconds=1),
        }

    def login(self) -> Mapping[str, str]:
        return self.vendor.client

    def wrong_login(self) -> Mapping[str, str]:
        return {**self.vendor.client, "refresh_token": "refresh-of-somebody-else"}

    async def records(self) -> Mapping[str, str]:
        return {device: device for device in self.vendor.lists[LIST].members}

    async def seed(self, rows: Sequence[Row]) -> None:
        self.vendor.lists[LIST].members |= {row.key: datetime(2026, 1, 1, tzinfo=UTC) for row in rows}

    def row(self, number: int, version: int = 0) -> Row:
        return Row(f"{number:08x}-0000-4000-8000-000000000000", "")

    def refused(self, number: int) -> Row:
        return Row("no-device", "")

    async def expire_login(self) -> None:
        self.vendor.expire_tokens()


class TestGoogleAds(Replacing):
    """Members that are added, removed, mirrored and replaced."""

    case = GoogleCase

    async def test_a_record_that_fails_in_processing_is_told_with_googles_reason(self, stage: Stage) -> None:
        """Places count in the request, from which members that were refused at once were left out."""
        rows = await begin(stage, "upsert")
        assert isinstance(stage.case, GoogleCase)
        stage.case.vendor.unprocessable = {rows[6].key: "INVALID_MOBILE_ID_FORMAT"}
        stage.rows([*rows[:2], stage.case.refused(2), *rows[3:]])
        result = await stage.run()
        assert (result.status, result.counts.rejected) == ("Succeeded", 2), result.message
        assert {letter.message for letter in await stage.letters()} == {
            "INVALID_MOBILE_ID_FORMAT: mobile_data.mobile_ids[0]",
            "PROCESSING_ERROR_REASON_INVALID_MOBILE_ID_FORMAT",
        }
        await expect(stage, [row for row in rows if row not in (rows[2], rows[6])])

    async def test_records_of_which_google_does_not_say_which_failed_are_unknown(self, stage: Stage) -> None:
        """Nobody is acknowledged whom Google may have failed."""
        rows = await begin(stage, "upsert")
        assert isinstance(stage.case, GoogleCase)
        stage.case.vendor.unprocessable = {rows[6].key: "INVALID_FORMAT"}
        stage.case.vendor.tells_places = False
        result = await stage.run()
        assert (result.counts.unknown, result.counts.created) == (10, 15)

    async def test_a_request_that_is_never_processed_ends_with_its_records_unknown(self, stage: Stage) -> None:
        """Patience has an end; the next run sends them again."""
        rows = await begin(stage, "upsert")
        assert isinstance(stage.case, GoogleCase)
        stage.case.vendor.slow, stage.case.patience = 1_000_000, timedelta(milliseconds=50)
        assert (await stage.run()).counts.unknown == len(rows)
        assert {letter.code for letter in await stage.letters()} == {"OUTCOME_UNKNOWN"}
        stage.case.vendor.slow, stage.case.patience = 0, timedelta(hours=1)
        assert (await stage.run()).counts.unknown == 0
        await expect(stage, rows)


BENCHES = [Bench("google_ads", GoogleCase, documented=Window(300, 60.0), limited_rows=50_000)]


@pytest.fixture
async def vendor() -> AsyncIterator[GoogleApi]:
    async with GoogleApi().serving() as served:
        yield served


def connector(vendor: GoogleApi, login: Mapping[str, str] | None = None, **config: Any) -> GoogleAds:
    settings = {"account": {"id": vendor.account}, "baseUrl": vendor.url, "tokenUrl": f"{vendor.url}/token", **config}
    return GoogleAds(
        GoogleAdsConfig.model_validate(settings), GoogleAdsCredentials.model_validate(login or vendor.client)
    )


@asynccontextmanager
async def audience(
    vendor: GoogleApi,
    *fields: str,
    mode: str = "upsert",
    key: tuple[str, ...] = (),
    object: str = LIST,
    login: Mapping[str, str] | None = None,
    **config: Any,
) -> AsyncIterator[GoogleAds]:
    """The connector, opened for members of these fields; what Google took counts as written."""
    made = connector(vendor, login, **{"acknowledge": "accepted", **config})
    try:
        await made.open(Target(object, mode, key or fields[:1], fields, TIMEOUT, began=datetime.now(UTC)))
        yield made
    finally:
        await made.close()


def batch(*records: Mapping[str, Any], operation: str = "upsert") -> Batch:
    return Batch(len(records), payloads=[orjson.dumps(record) for record in records], operation=operation)


async def told(google: GoogleAds, *records: Mapping[str, Any], operation: str = "upsert") -> Sequence[Outcome]:
    return await google.write(batch(*records, operation=operation))


async def ignored(handle: str) -> None:
    """Keeps no handle."""


async def test_a_call_names_its_accounts_and_says_what_people_agreed_to(vendor: GoogleApi) -> None:
    async with audience(
        vendor,
        "userId",
        "adUserData",
        loginAccount={"id": "99"},
        quotaProject="project-1",
        consent={"adUserData": "CONSENT_DENIED", "adPersonalization": "CONSENT_GRANTED"},
        acceptCustomerMatchTerms=True,
    ) as google:
        assert await told(google, {"userId": " U-1 ", "adUserData": "granted"}) == [ACKNOWLEDGED]
    assert vendor.bodies == [
        (
            "ingest",
            {
                "destinations": [
                    {
                        "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": "1234567890"},
                        "loginAccount": {"accountType": "GOOGLE_ADS", "accountId": "99"},
                        "productDestinationId": "555",
                    }
                ],
                "audienceMembers": [
                    {"userIdData": {"userId": "U-1"}, "consent": {"adUserData": "CONSENT_GRANTED"}},
                ],
                "consent": {"adUserData": "CONSENT_DENIED", "adPersonalization": "CONSENT_GRANTED"},
                "termsOfService": {"customerMatchTermsOfServiceStatus": "ACCEPTED"},
            },
        )
    ]
    assert vendor.headers == {
        ("login-account", "accountTypes/GOOGLE_ADS/accounts/99"),
        ("x-goog-user-project", "project-1"),
    }


async def test_whoever_is_deleted_by_a_mirror_is_named_by_the_key_alone(vendor: GoogleApi) -> None:
    async with audience(vendor, "emailAddress", "phoneNumber", mode="mirror") as google:
        await told(google, {"emailAddress": "mary@example.com"}, operation="delete")
    [(verb, body)] = vendor.bodies
    [member] = body["audienceMembers"]
    assert (verb, [list(each) for each in member["userData"]["userIdentifiers"]]) == ("remove", [["emailAddress"]])


async def test_members_at_fault_are_left_out_and_the_others_sent(vendor: GoogleApi) -> None:
    device = "00000000-0000-4000-8000-000000000000"
    async with audience(vendor, "mobileId") as google:
        outcomes = await told(google, {"mobileId": "a"}, {"mobileId": device}, {"mobileId": None}, {"mobileId": "b"})
    refused = Rejected("DESTINATION_VALIDATION", "INVALID_MOBILE_ID_FORMAT: mobile_data.mobile_ids[0]")
    nobody = Rejected("DESTINATION_VALIDATION", "no field that identifies a person has a value")
    assert outcomes == [refused, ACKNOWLEDGED, nobody, refused]
    assert set(vendor.lists[LIST].members) == {device}


async def test_a_request_is_found_again_by_another_process(vendor: GoogleApi) -> None:
    device = "00000000-0000-4000-8000-000000000000"
    kept: list[str] = []

    async def keep(handle: str) -> None:
        kept.append(handle)

    async with audience(vendor, "mobileId", acknowledge="processed") as google:
        handle = await google.submit(batch({"mobileId": "not one"}, {"mobileId": device}), keep)
    assert kept == [handle]
    assert "not one" not in handle
    async with audience(vendor, "mobileId", acknowledge="processed") as other:
        assert await other.poll(handle) == Running(timedelta(minutes=1))
        assert await other.poll(handle) == Ended()
        found = await other.collect(handle)
    assert (found.rest, set(found.outcomes)) == (ACKNOWLEDGED, {"0"})


async def test_a_request_that_google_does_not_know_yet_is_waited_for(vendor: GoogleApi) -> None:
    async with audience(vendor, "mobileId") as google:
        assert await google.poll('["t-other",1,{}]') == Running(timedelta(minutes=1))


async def test_a_batch_nobody_of_which_can_be_told_is_no_request(vendor: GoogleApi) -> None:
    async with audience(vendor, "userId", acknowledge="processed") as google:
        handle = await google.submit(batch({"userId": None}), ignored)
        assert await google.poll(handle) == Ended()
        assert set((await google.collect(handle)).outcomes) == {"0"}
    assert vendor.bodies == []


async def test_more_faults_than_can_be_kept_are_searched_in_halves(vendor: GoogleApi) -> None:
    async with audience(vendor, "mobileId") as google:
        every_other = [{"mobileId": f"{n:08x}-0000-4000-8000-000000000000" if n % 2 else "x"} for n in range(2_000)]
        with pytest.raises(BatchRejected, match="too many members are at fault"):
            await told(google, *every_other)


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (error(403, "PERMISSION_DENIED", "mary@example.com", reason="PERMISSION_DENIED"), LoginRefused),
        (error(400, "INVALID_ARGUMENT", "x", reason="TERMS_AND_CONDITIONS_NOT_SIGNED"), DestinationError),
        (error(403, "PERMISSION_DENIED", "x", reason="NOT_ALLOWLISTED"), DestinationError),
        (error(400, "INVALID_ARGUMENT", "x", reason="INVALID_USER_LIST_TYPE"), DestinationError),
        (error(400, "INVALID_ARGUMENT", "x", reason="TOO_MANY_AUDIENCE_MEMBERS"), BatchRejected),
        (error(500, "INTERNAL", "x", reason="INTERNAL_ERROR"), TryLater),
        (error(504, "DEADLINE_EXCEEDED", "x"), TryLater),
    ],
)
async def test_an_error_ends_the_call_as_what_it_means(vendor: GoogleApi, answer: Any, raised: type[Exception]) -> None:
    async with audience(vendor, "userId") as google:
        vendor.faults.next.append(Fault(answer.status, {}, orjson.loads(answer.text)))
        with pytest.raises(raised) as caught:
            await told(google, {"userId": "1"})
    assert "mary" not in str(caught.value)


async def test_a_daily_quota_that_is_gone_is_waited_for_until_it_begins_anew(vendor: GoogleApi) -> None:
    async with audience(vendor, "userId") as google:
        for quota in ("IngestionMutateRequestsPerDayPerProject", "IngestionMutateRequestsPerMinutePerProject"):
            answer = vendor.quota(quota)
            vendor.faults.next.append(Fault(answer.status, {}, orjson.loads(answer.text or "")))
        waits = []
        for _ in range(2):
            with pytest.raises(TryLater, match="RequestsPer") as caught:
                await told(google, {"userId": "1"})
            assert caught.value.code == "RATE_LIMIT"
            waits.append(caught.value.retry_after)
    assert waits[0] is not None
    assert timedelta() < waits[0] <= timedelta(hours=25)
    assert waits[1] == timedelta(minutes=1)


@pytest.mark.parametrize("field", ["userId", "mobileId", "emailAddress"])
async def test_terms_that_are_not_accepted_are_told_before_a_row_is_read(vendor: GoogleApi, field: str) -> None:
    vendor.terms = False
    with pytest.raises(DestinationError, match="terms are not accepted"):
        async with audience(vendor, field):
            pass


async def test_terms_that_are_accepted_only_by_the_call_are_told_in_it(vendor: GoogleApi) -> None:
    vendor.terms = False
    async with audience(vendor, "userId", acceptCustomerMatchTerms=True) as google:
        assert await told(google, {"userId": "1"}) == [ACKNOWLEDGED]


@pytest.mark.parametrize(
    ("object", "fields", "said"),
    [
        ("999", ["userId"], "does not take members for this audience"),
        ("customers", ["userId"], "no id of an audience"),
        ("556", ["userId"], "read-only"),
        (LIST, ["userId", "shoeSize"], "no field 'shoeSize'"),
        (LIST, ["userId", "emailAddress"], "by one of these three"),
        (LIST, ["givenName", "emailAddress"], "key givenName identifies nobody"),
    ],
)
async def test_what_cannot_be_is_said_before_a_row_is_read(
    vendor: GoogleApi, object: str, fields: list[str], said: str
) -> None:
    vendor.lists["556"] = UserList(read_only=True)
    with pytest.raises(DestinationError, match=said):
        async with audience(vendor, *fields, object=object):
            pass


@pytest.mark.parametrize("mode", ["upsert", "delete"])
async def test_what_is_only_validated_changes_nothing(vendor: GoogleApi, mode: str) -> None:
    async with audience(vendor, "emailAddress", mode=mode):
        pass
    verb = {"upsert": "ingest", "delete": "remove"}[mode]
    assert vendor.calls[-1].path == f"/v1/audienceMembers:{verb}"
    assert (vendor.bodies, vendor.lists[LIST].members) == ([], {})


async def test_an_outage_while_a_call_is_validated_is_no_fault_of_the_settings(vendor: GoogleApi) -> None:
    vendor.faults.next.extend([Fault(200, {}, {"id": LIST}), Fault(503)])
    with pytest.raises(DestinationUnavailable):
        async with audience(vendor, "userId"):
            pass


async def test_a_service_account_logs_in_by_a_signed_claim(vendor: GoogleApi) -> None:
    async with audience(vendor, "userId", login={"service_account": key_file()}) as google:
        assert await told(google, {"userId": "1"}) == [ACKNOWLEDGED]


async def test_a_key_that_is_none_is_told_without_showing_it(vendor: GoogleApi) -> None:
    with pytest.raises(InvalidInput, match="no key of a service account") as caught:
        async with audience(vendor, "userId", login={"service_account": "hunter2"}):
            pass
    assert "hunter2" not in str(caught.value)


async def test_all_pages_of_an_accounts_audiences_are_found(vendor: GoogleApi) -> None:
    vendor.lists |= {"1": UserList(), "2": UserList(read_only=True), "3": UserList()}
    made = connector(vendor)
    assert await made.server() == "Data Manager API v1, GOOGLE_ADS 1234567890"
    found = await made.objects()
    vendor.faults.next.append(Fault(200, {}, ["login"]))
    with pytest.raises(DestinationError, match="with what is no JSON object"):
        await made.objects()
    await made.close()
    assert found is not None
    assert {each.name for each in found} == {LIST, "1", "3"}


async def test_members_are_dropped_that_were_added_before_the_run_less_the_tolerance(vendor: GoogleApi) -> None:
    async with audience(vendor, "userId", mode="replace", clockTolerance="1h") as google:
        vendor.lists[LIST].members = {
            "old": datetime.now(UTC) - timedelta(hours=2),
            "perhaps of this run": datetime.now(UTC) - timedelta(minutes=30),
        }
        await google.complete()
    assert set(vendor.lists[LIST].members) == {"perhaps of this run"}


async def test_what_google_says_of_nobody_is_not_acknowledged(vendor: GoogleApi) -> None:
    async with audience(vendor, "userId", acknowledge="processed") as google:
        handle = await google.submit(batch({"userId": "1"}), ignored)
        vendor.requests[handle.split('"')[1]].status = "NEW_STATUS"
        await google.poll(handle)
        assert isinstance((await google.collect(handle)).rest, Unknown)
