"""Adds members to Google customer match audiences and removes them; Google says later what became of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    Batching,
    BatchRejected,
    Destination,
    Ended,
    FieldInfo,
    JobResults,
    JobStatus,
    Outcome,
    Running,
    Target,
    TryLater,
)
from retl.destinations.google_ads.api import DataManager, account_name
from retl.destinations.google_ads.config import GoogleAdsConfig, GoogleAdsCredentials, google_ads_capabilities
from retl.destinations.google_ads.faults import said
from retl.destinations.google_ads.members import FIELDS, NOBODY, Unusable, identify, kind_of, member
from retl.destinations.google_ads.requests import ID_LONGEST, Request
from retl.destinations.google_ads.status import destination_status, refusal, results
from retl.destinations.web.words import parsed
from retl.errors import DestinationError, DestinationUnavailable
from retl.runspec.catalog import CatalogField, CatalogObject
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

CHECK_TIMEOUT = timedelta(seconds=30)
PAGE = 1_000
ROUNDS = 3
"""Times that a batch is sent less the members that Google found at fault."""


class GoogleAds(Destination):
    """Audiences (user lists), by their ids."""

    name = "google_ads"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, GoogleAdsConfig)
        assert isinstance(credentials, GoogleAdsCredentials)
        self.capabilities = google_ads_capabilities(config)
        self._config = config
        self._credentials = credentials
        self._manager: DataManager | None = None

    async def open(self, target: Target) -> None:
        _check_fields(target)
        self._target = target
        self._connect(target.timeout)
        await self._user_list(target.object)
        await self._rehearse("delete" if target.mode == "delete" else "upsert")

    def batching(self, operation: str, rows: int) -> Batching:
        most = self._config.max_members
        return Batching(most, most, asynchronous=not self._drops(operation) and self._config.acknowledge == "processed")

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        if self._drops(batch.operation):
            return [ACKNOWLEDGED] * batch.size  # whoever is not sent is gone when the run ends
        request = await self._request(batch)
        return [
            refusal(request.refused[place]) if place in request.refused else ACKNOWLEDGED for place in range(batch.size)
        ]

    async def submit(self, batch: Batch, keep: Callable[[str], Awaitable[None]]) -> str:
        handle = (await self._request(batch)).handle()
        await keep(handle)
        return handle

    async def poll(self, handle: str) -> JobStatus:
        request = Request.of(handle)
        if not request.id or destination_status(await self._opened.status(request.id)) is not None:
            return Ended()
        return Running(self._config.status_interval)

    async def collect(self, handle: str) -> JobResults:
        request = Request.of(handle)
        return results(destination_status(await self._opened.status(request.id)) if request.id else None, request)

    async def complete(self) -> None:
        began = self._target.began
        assert began is not None, "a run has begun"
        moment = (began - self._config.clock_tolerance).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        body = {"destinations": [self._destination()], "removeAsOfTime": moment}
        await self._post("/audienceMembers:removeAll", body)

    async def server(self) -> str:
        self._connect(CHECK_TIMEOUT)
        account = self._config.account
        await self._opened.get(f"/{account_name(account)}/userLists", {"pageSize": "1"})
        return f"Data Manager API {self._config.api_version}, {account.type} {account.id}"

    async def fields(self) -> Sequence[FieldInfo] | None:
        return _catalog()

    async def objects(self) -> Sequence[CatalogObject] | None:
        listed = [CatalogField(name=each.name, type=each.type) for each in _catalog()]
        found: list[CatalogObject] = []
        path, token = f"/{account_name(self._config.account)}/userLists", ""
        while True:
            page = await self._opened.get(path, {"pageSize": str(PAGE), **({"pageToken": token} if token else {})})
            found += [
                CatalogObject(name=str(each["id"]), fields=listed)
                for each in page.get("userLists", [])
                if not each.get("readOnly")
            ]
            token = page.get("nextPageToken", "")
            if not token:
                return found

    async def describe(self, name: str, mode: str) -> Sequence[FieldInfo] | None:
        await self._user_list(name)
        return _catalog()

    async def close(self) -> None:
        if self._manager is not None:
            await self._manager.close()

    @property
    def _opened(self) -> DataManager:
        assert self._manager is not None, "open or server comes first"
        return self._manager

    def _connect(self, timeout: timedelta) -> None:
        self._manager = DataManager(self._config, self._credentials, timeout, lambda heard: self.signal(heard))

    def _drops(self, operation: str) -> bool:
        """Whether records of an operation need no call, because the mode drops at its end what was not sent."""
        return operation == "delete" and self._target.mode == "replace"

    async def _user_list(self, name: str) -> None:
        """Look at an audience (raises DestinationError if there is none, or it cannot be changed)."""
        if not name.isdecimal():
            raise DestinationError(f"object {name!r} is no id of an audience; Google Ads shows it as a number")
        found = await self._opened.get(f"/{account_name(self._config.account)}/userLists/{name}", {})
        if found.get("readOnly"):
            raise DestinationError(f"audience {name} is read-only for this account; use one that it owns")

    async def _rehearse(self, operation: str) -> None:
        """Have Google validate a call and carry out nothing: may the login change members, and are the terms signed?

        Raises:
            DestinationUnavailable, DestinationError, LoginRefused.
        """
        verb, body = self._body(operation, [NOBODY[kind_of(self._target.fields)]])
        try:
            await self._told(f"/audienceMembers:{verb}", {**body, "validateOnly": True})
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        except BatchRejected as refused:
            raise DestinationError(f"Google does not take members for this audience: {refused}") from None

    async def _request(self, batch: Batch) -> Request:
        """Tell Google of a batch, less the members that are at fault (raises as `write`).

        Google refuses a call for the sake of one member, names all that are at fault, and processes nothing.
        """
        assert batch.payloads is not None
        names = (
            self._target.key if batch.operation == "delete" and self._target.mode == "mirror" else self._target.fields
        )
        kind = kind_of(names)
        members: dict[int, dict[str, Any]] = {}
        refused: dict[int, str] = {}
        for place, payload in enumerate(batch.payloads):
            try:
                members[place] = member(_known(payload, names), kind)
            except Unusable as error:
                refused[place] = str(error)
        for _ in range(ROUNDS):
            request = Request("", batch.size, refused)
            if not request.fits:
                raise BatchRejected("DESTINATION_VALIDATION", "too many members are at fault to be told at once")
            if not members:
                return request
            places = list(members)
            verb, body = self._body(batch.operation, list(members.values()))
            id_, faults = await self._told(f"/audienceMembers:{verb}", body)
            if not faults:
                return Request(id_, batch.size, refused)
            for index, reason in faults.items():
                if index < len(places):
                    refused[places[index]] = reason
                    del members[places[index]]
        raise BatchRejected("DESTINATION_VALIDATION", "Google found members at fault again and again")

    def _body(self, operation: str, members: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
        """The verb of a call, and what it brings."""
        config = self._config
        body: dict[str, Any] = {"destinations": [self._destination()], "audienceMembers": list(members)}
        if "userData" in members[0]:
            body["encoding"] = "HEX"
        if operation == "delete":
            return "remove", body
        if config.consent is not None:
            body["consent"] = config.consent.model_dump(by_alias=True, exclude_none=True)
        if config.accept_customer_match_terms:
            body["termsOfService"] = {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
        return "ingest", body

    def _destination(self) -> dict[str, Any]:
        config = self._config
        accounts = {
            "operatingAccount": config.account,
            "loginAccount": config.login_account,
            "linkedAccount": config.linked_account,
        }
        told = {
            name: {"accountType": account.type, "accountId": account.id}
            for name, account in accounts.items()
            if account is not None
        }
        return {**told, "productDestinationId": self._target.object}

    async def _told(self, path: str, body: dict[str, Any]) -> tuple[str, dict[int, str]]:
        """The request's id, or the members that are at fault and why (raises as `write`)."""
        reply = await self._opened.send(path, body)
        if not 200 <= reply.status < 300:
            error = said(reply.body)
            if error is None or not error.members:
                raise BatchRejected("DESTINATION_VALIDATION", f"Google answered {reply.status} without a reason")
            return "", dict(error.members)
        if body.get("validateOnly"):
            return "", {}
        found = parsed(reply.body)
        id_ = found.get("requestId") if isinstance(found, dict) else None
        if not isinstance(id_, str) or not 0 < len(id_) <= ID_LONGEST:
            raise TryLater("OUTCOME_UNKNOWN", f"POST {path} gave no id of the request")
        return id_, {}

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        _, faults = await self._told(path, body)
        assert not faults, "there are no members in the call"


def _check_fields(target: Target) -> None:
    """Raise DestinationError for a mapping that Google has no use for."""
    for name in target.fields:
        if name not in FIELDS:
            raise DestinationError(f"Google has no field {name!r} of a member; map to one of {', '.join(FIELDS)}")
    try:
        kind_of(target.fields)
    except Unusable as error:
        raise DestinationError(f"mappings: {error}") from None
    if not identify(target.key):
        raise DestinationError(
            f"mappings: the key {', '.join(target.key)} identifies nobody; let it be emailAddress, phoneNumber, "
            "a whole address, mobileId or userId"
        )


def _known(payload: bytes, names: Sequence[str]) -> dict[str, object]:
    record = orjson.loads(payload)
    return {name: record.get(name) for name in names}


def _catalog() -> list[FieldInfo]:
    return [FieldInfo(name, field.type) for name, field in FIELDS.items()]
