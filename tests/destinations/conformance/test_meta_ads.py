"""meta_ads through the kit, with what Meta refuses, throttles and only counts."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import orjson
import pytest

from bench.destinations import Bench
from retl.destinations.base import ACKNOWLEDGED, Batch, LoginRefused, Outcome, Rejected, Target, TryLater, Unknown
from retl.destinations.meta_ads.config import MetaAdsConfig, MetaAdsCredentials
from retl.destinations.meta_ads.connector import MetaAds
from retl.errors import DestinationError
from retl.testing import Row, Stage
from retl.testing.conformance import amid, begin, expect
from tests.destinations.conformance.replacing import Replacing
from tests.destinations.simulators.base import Fault, Window
from tests.destinations.simulators.case import SimulatedCase
from tests.destinations.simulators.meta_ads import Audience, MetaApi

NEVER = timedelta(seconds=5)
AUDIENCE = "2384"


class MetaCase(SimulatedCase):
    """An audience of devices."""

    connector = "meta_ads"
    object = AUDIENCE
    key_field = "MADID"
    name_field = None

    def __init__(self) -> None:
        self.vendor: MetaApi = MetaApi()

    def config(self) -> Mapping[str, Any]:
        return {"baseUrl": self.vendor.url, "adAccountId": self.vendor.account}

    def login(self) -> Mapping[str, str]:
        return {"access_token": self.vendor.token}

    def wrong_login(self) -> Mapping[str, str]:
        return {"access_token": "EAA-of-somebody-else"}

    async def records(self) -> Mapping[str, str]:
        held = [member["MADID"] for member in self.vendor.audiences[AUDIENCE].members]
        return {device: device for device in held}

    async def seed(self, rows: Sequence[Row]) -> None:
        self.vendor.audiences[AUDIENCE].members += [{"MADID": row.key} for row in rows]

    def row(self, number: int, version: int = 0) -> Row:
        return Row(f"{number:08x}-0000-4000-8000-000000000000", "")

    def refused(self, number: int) -> Row:
        return Row("no-device", "")

    async def refuse_for_rate(self, calls: int) -> None:
        answer = self.vendor.too_many(0)
        fault = Fault(answer.status, {"Retry-After": "0"}, orjson.loads(answer.text or ""))
        self.vendor.faults.next.extend([fault] * calls)


class TestMetaAds(Replacing):
    """Members that are added, removed, mirrored and replaced; Meta replaces all at once."""

    case = MetaCase
    adds_before = False

    async def test_a_replacement_is_made_though_calls_were_throttled_and_replies_lost(self, stage: Stage) -> None:
        """A batch that may have come is told again under another number."""
        rows = await begin(stage, "mirror")
        stage.mode = "replace"

        async def provoke() -> None:
            await stage.case.refuse_for_rate(1)
            await stage.case.drop_reply()

        result = await amid(stage, provoke)
        assert result.status == "Succeeded", result.message
        await expect(stage, rows)

    async def test_a_crash_amid_a_replacement_replaces_nothing_until_the_next_attempt(self, stage: Stage) -> None:
        """The session of the first attempt is never ended; the second tells everybody anew."""
        rows = await begin(stage, "mirror")
        stage.mode = "replace"
        stranger = stage.case.row(9_999)
        await stage.case.seed([stranger])
        await stage.killed("0b7c0000-0000-4000-8000-000000000001")
        assert set(await stage.case.records()) == {stranger.key}
        result = await stage.run(uid="0b7c0000-0000-4000-8000-000000000001", attempt=2)
        assert result.status == "Succeeded", result.message
        await expect(stage, rows)


BENCHES = [Bench("meta_ads", MetaCase, documented=Window(5_000, 3600.0), limited_rows=50_000)]


@pytest.fixture
async def vendor() -> AsyncIterator[MetaApi]:
    async with MetaApi().serving() as served:
        yield served


@asynccontextmanager
async def audience(
    vendor: MetaApi,
    *fields: str,
    mode: str = "upsert",
    key: tuple[str, ...] = (),
    object: str = AUDIENCE,
    secret: str | None = None,
    **config: Any,
) -> AsyncIterator[MetaAds]:
    """The connector, opened for people of these fields."""
    made = MetaAds(
        MetaAdsConfig.model_validate({"baseUrl": vendor.url, **config}),
        MetaAdsCredentials.model_validate({"access_token": vendor.token, "app_secret": secret}),
    )
    try:
        await made.open(Target(object, mode, key or fields[:1], fields, NEVER))
        yield made
    finally:
        await made.close()


async def told(destination: MetaAds, *records: Mapping[str, Any], operation: str = "upsert") -> Sequence[Outcome]:
    payloads = [orjson.dumps(record) for record in records]
    return await destination.write(Batch(len(payloads), payloads=payloads, operation=operation))


async def test_people_are_told_as_schema_and_hashed_rows(vendor: MetaApi) -> None:
    async with audience(vendor, "EMAIL", "FN", "EXTERN_ID", "LOOKALIKE_VALUE") as meta:
        person = {"EMAIL": " Mary@Example.com ", "FN": None, "EXTERN_ID": "U-1", "LOOKALIKE_VALUE": 44.5}
        assert await told(meta, person) == [ACKNOWLEDGED]
    [(method, edge, payload)] = vendor.payloads
    assert (method, edge) == ("POST", "users")
    assert payload == {
        "schema": ["EMAIL", "FN", "EXTERN_ID", "LOOKALIKE_VALUE"],
        "is_raw": True,
        "data": [["f1904cf1a9d73a55fa5de0ac823c4403ded71afd4c3248d00bdcd0866552bb79", "", "u-1", "44.5"]],
    }


async def test_a_value_that_cannot_be_matched_is_refused_by_field_and_without_itself(vendor: MetaApi) -> None:
    async with audience(vendor, "EMAIL", "COUNTRY") as meta:
        outcomes = await told(
            meta,
            {"EMAIL": "mary@example.com", "COUNTRY": "AT"},
            {"EMAIL": "mary at example", "COUNTRY": "AT"},
            {"EMAIL": "john@example.com", "COUNTRY": "Austria"},
            {"EMAIL": None, "COUNTRY": None},
        )
    refusals = [outcome.message for outcome in outcomes if isinstance(outcome, Rejected)]
    assert outcomes[0] == ACKNOWLEDGED
    assert refusals == [
        "EMAIL is no e-mail address",
        "COUNTRY must be a country as two letters (ISO 3166-1 alpha-2)",
        "no field that identifies a person has a value",
    ]


async def test_whoever_is_deleted_by_a_mirror_is_named_by_the_key_alone(vendor: MetaApi) -> None:
    async with audience(vendor, "EXTERN_ID", "EMAIL", mode="mirror") as meta:
        await told(meta, {"EXTERN_ID": "1", "EMAIL": "mary@example.com"})
        await told(meta, {"EXTERN_ID": "1"}, operation="delete")
    assert vendor.payloads[-1] == ("DELETE", "users", {"schema": ["EXTERN_ID"], "is_raw": True, "data": [["1"]]})
    assert vendor.audiences[AUDIENCE].members == []


async def test_where_nothing_may_be_sent_again_all_of_a_call_are_unknown(vendor: MetaApi) -> None:
    async with audience(vendor, "MADID", onInvalid="unknown") as meta:
        outcomes = await told(meta, {"MADID": "no-device"}, {"MADID": "00000000-0000-4000-8000-000000000000"})
    assert [type(outcome) for outcome in outcomes] == [Unknown, Unknown]


async def test_a_call_all_of_which_is_invalid_needs_no_search(vendor: MetaApi) -> None:
    async with audience(vendor, "MADID") as meta:
        outcomes = await told(meta, {"MADID": "no-device"}, {"MADID": "nor-this"})
    assert [type(outcome) for outcome in outcomes] == [Rejected, Rejected]


@pytest.mark.parametrize(
    ("code", "subcode", "status", "error"),
    [
        (190, 463, 400, LoginRefused),
        (200, 0, 403, LoginRefused),
        (294, 0, 400, LoginRefused),
        (200, 1870090, 400, DestinationError),
        (100, 1713230, 400, DestinationError),
        (100, 33, 400, DestinationError),
        (368, 0, 400, DestinationError),
        (1, 0, 500, TryLater),
        (2, 0, 503, TryLater),
        (17, 2446079, 400, TryLater),
        (80003, 0, 400, TryLater),
        (2650, 1870145, 400, TryLater),
    ],
)
@pytest.mark.parametrize("in_200", [False, True])
async def test_an_error_ends_the_call_as_what_it_means_even_with_status_200(
    vendor: MetaApi, code: int, subcode: int, status: int, error: type[Exception], in_200: bool
) -> None:
    vendor.in_200 = in_200
    answer = vendor.error(code, f"about mary@example.com and {vendor.token}", subcode, status=status)
    async with audience(vendor, "EMAIL") as meta:
        vendor.faults.next.append(Fault(answer.status, {}, orjson.loads(answer.text or "")))
        with pytest.raises(error) as caught:
            await told(meta, {"EMAIL": "mary@example.com"})
    assert f"error {code}" in str(caught.value)
    assert "mary" not in str(caught.value)
    assert vendor.token not in f"{caught.value}{getattr(caught.value, 'said', '')}"


async def test_an_account_at_its_limit_says_when_it_may_call_again(vendor: MetaApi) -> None:
    async with audience(vendor, "EMAIL") as meta:
        heard: list[Any] = []
        meta.signal = heard.append
        answer = vendor.too_many(180)
        usage = {"X-Business-Use-Case-Usage": answer.headers["X-Business-Use-Case-Usage"]}
        vendor.faults.next.append(Fault(answer.status, usage, orjson.loads(answer.text or "")))
        with pytest.raises(TryLater) as caught:
            await told(meta, {"EMAIL": "mary@example.com"})
    assert (caught.value.code, caught.value.retry_after) == ("RATE_LIMIT", timedelta(minutes=3))
    assert [(signal.remaining, signal.reset) for signal in heard] == [(0, timedelta(minutes=3))]


@pytest.mark.parametrize(
    ("object", "fields", "said"),
    [
        ("999", ["EMAIL"], "no such audience"),
        ("customers", ["EMAIL"], "no id of a custom audience"),
        ("471", ["EMAIL"], "is restricted"),
        (AUDIENCE, ["EMAIL", "SHOE_SIZE"], "Meta has no field 'SHOE_SIZE'"),
        (AUDIENCE, ["LOOKALIKE_VALUE", "EMAIL"], "identifies nobody"),
    ],
)
async def test_what_cannot_be_is_said_before_a_row_is_read(
    vendor: MetaApi, object: str, fields: list[str], said: str
) -> None:
    vendor.audiences["471"] = Audience(operation_status={"code": 471, "description": "flagged"})
    with pytest.raises(DestinationError, match=said):
        async with audience(vendor, *fields, object=object):
            pass


async def test_calls_are_signed_with_the_apps_secret_and_name_the_version(vendor: MetaApi) -> None:
    vendor.app_secret = "app-secret-1"
    with pytest.raises(LoginRefused):
        async with audience(vendor, "EMAIL"):
            pass
    async with audience(vendor, "EMAIL", secret="app-secret-1", apiVersion="v25.0") as meta:
        assert await told(meta, {"EMAIL": "mary@example.com"}) == [ACKNOWLEDGED]
    assert vendor.versions == {"v26.0", "v25.0"}


async def test_a_replacement_whose_end_was_lost_is_not_ended_twice(vendor: MetaApi) -> None:
    async with audience(vendor, "EMAIL", mode="replace") as meta:
        await told(meta, {"EMAIL": "mary@example.com"})
        vendor.faults.next.append(Fault(effect=True, drop=True))
        with pytest.raises(TryLater):
            await meta.complete()
        await meta.complete()
    [session] = vendor.audiences[AUDIENCE].sessions.values()
    assert session.received == 2
    assert len(vendor.audiences[AUDIENCE].members) == 1


async def test_a_replacement_by_nobody_is_refused_with_what_to_do(vendor: MetaApi) -> None:
    async with audience(vendor, "EMAIL", mode="replace") as meta:
        with pytest.raises(DestinationError, match="cannot replace an audience by nobody; delete it instead"):
            await meta.complete()


async def test_all_pages_of_an_accounts_audiences_are_found(vendor: MetaApi) -> None:
    vendor.audiences |= {"1": Audience(), "2": Audience(subtype="LOOKALIKE"), "3": Audience()}
    made = MetaAds(
        MetaAdsConfig.model_validate({"baseUrl": vendor.url, "adAccountId": vendor.account}),
        MetaAdsCredentials.model_validate({"access_token": vendor.token}),
    )
    assert await made.server() == "Graph API v26.0 as Reverse ETL"
    found = await made.objects()
    vendor.faults.next.append(Fault(200, {}, ["login"]))
    with pytest.raises(DestinationError, match="with what is no JSON object"):
        await made.objects()
    await made.close()
    assert found is not None
    assert {each.name for each in found} == {AUDIENCE, "1", "3"}
