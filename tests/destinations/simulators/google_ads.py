"""Google's Data Manager API: audiences, requests that are refused as a whole or processed later, OAuth tokens.

After Google's documents "Data Manager API": the references of audienceMembers.ingest, remove and removeAll,
requestStatus.retrieve and accountTypes.accounts.userLists, "Understand API errors" (a request fails fast for one
member), "Limits and quotas", "Diagnostics"; "OAuth 2.0 for server to server applications"; and what the client
google-ads-datamanager 0.9 sends: enums as numbers, which are taken as well as names.
"""

import base64
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.destinations.simulators.base import Handler, Simulator, body_of, reply

MOST_MEMBERS, MOST_IDENTIFIERS = 10_000, 10
TYPES: Mapping[object, str] = {1: "GOOGLE_ADS", 2: "DISPLAY_VIDEO_PARTNER", 3: "DISPLAY_VIDEO_ADVERTISER"}
HEX: tuple[object, ...] = ("HEX", 1)
ISSUER = "sync@project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/datamanager"


@dataclass
class UserList:
    """An audience: when each identifier was last added."""

    members: dict[str, datetime] = field(default_factory=dict)
    read_only: bool = False


@dataclass
class Asked:
    """A request that was taken.

    Attributes:
        asked: how often its status was.
    """

    status: str = "SUCCESS"
    errors: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0


class GoogleApi(Simulator):
    """One account of Google Ads.

    Attributes:
        lists: audiences by their ids.
        bodies: verb and body of each request that was taken.
        requests: by their ids.
        unprocessable: identifiers that fail in processing, each with its reason.
        tells_places: whether errors name the places of the records that they are of.
        slow: times that a status is asked for in vain.
        terms: whether the customer match terms are accepted in the account.
        headers: that named accounts and projects.
    """

    free = ("/token",)
    account = "1234567890"
    client = {"client_id": "client-1", "client_secret": "client-secret-1", "refresh_token": "refresh-1"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, UserList] = {"555": UserList()}
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self.requests: dict[str, Asked] = {}
        self.unprocessable: dict[str, str] = {}
        self.tells_places = True
        self.slow = 1
        self.terms = True
        self.headers: set[tuple[str, str]] = set()

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        lists = "/{version}/accountTypes/{type}/accounts/{account}/userLists"
        return [
            ("POST", "/token", self._token),
            ("POST", "/{version}/audienceMembers:ingest", self._ingest),
            ("POST", "/{version}/audienceMembers:remove", self._remove),
            ("POST", "/{version}/audienceMembers:removeAll", self._remove_all),
            ("GET", "/{version}/requestStatus:retrieve", self._status),
            ("GET", lists, self._lists),
            ("GET", lists + "/{list}", self._list),
        ]

    def authorized(self, request: web.Request) -> bool:
        names = ("login-account", "linked-account", "x-goog-user-project")
        self.headers |= {(name, request.headers[name]) for name in names if name in request.headers}
        return self.has_token(request)

    def unauthorized(self) -> web.Response:
        return error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")

    def too_many(self, wait: float) -> web.Response:
        return self.quota("IngestionMutateRequestsPerMinutePerProject")

    def quota(self, name: str) -> web.Response:
        """The reply when that quota is used up."""
        return error(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", reason="RATE_LIMIT_EXCEEDED", quota_limit=name)

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if form.get("grant_type") == "refresh_token":
            right = all(form.get(name) == value for name, value in self.client.items())
        else:
            right = _signed_by_us(form.get("assertion", ""), f"{self.url}/token")
        if not right:
            return reply({"error": "invalid_grant", "error_description": "Bad Request"}, 400)
        return reply({"access_token": self.issue_token(), "expires_in": 3599, "token_type": "Bearer"})

    async def _ingest(self, request: web.Request) -> web.Response:
        def add(audience: UserList, identifiers: set[str]) -> None:
            audience.members |= dict.fromkeys(identifiers, datetime.now(UTC))

        return await self._change(request, "ingest", add)

    async def _remove(self, request: web.Request) -> web.Response:
        def remove(audience: UserList, identifiers: set[str]) -> None:
            for identifier in identifiers:
                audience.members.pop(identifier, None)

        return await self._change(request, "remove", remove)

    async def _change(self, request: web.Request, verb: str, effect: Any) -> web.Response:
        body = await body_of(request)
        if (refused := self._refused_place(body)) is not None:
            return refused
        if verb == "ingest" and not self._terms_accepted(body):
            return error(400, "INVALID_ARGUMENT", "Terms not signed.", reason="TERMS_AND_CONDITIONS_NOT_SIGNED")
        members = body.get("audienceMembers", [])
        violations = list(_violations(members, body.get("encoding")))
        if violations:
            return error(400, "INVALID_ARGUMENT", "There was a problem with the request.", violations=violations)
        if body.get("validateOnly"):
            return reply({})
        self.bodies.append((verb, body))
        audience = self.lists[body["destinations"][0]["productDestinationId"]]
        failed: dict[str, list[int]] = {}
        for place, member in enumerate(members):
            identifiers = _identifiers(member)
            reason = next((self.unprocessable[each] for each in identifiers if each in self.unprocessable), "")
            if reason:
                failed.setdefault(reason, []).append(place)
            else:
                effect(audience, identifiers)
        return self._taken_up(failed, len(members))

    async def _remove_all(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        if (refused := self._refused_place(body)) is not None:
            return refused
        until = datetime.fromisoformat(body.get("removeAsOfTime", datetime.now(UTC).isoformat()))
        if until > datetime.now(UTC):
            return error(400, "INVALID_ARGUMENT", "The time is in the future.", reason="INVALID_REMOVE_AS_OF_TIME")
        self.bodies.append(("removeAll", body))
        audience = self.lists[body["destinations"][0]["productDestinationId"]]
        audience.members = {each: added for each, added in audience.members.items() if added >= until}
        return self._taken_up({}, 0)

    def _taken_up(self, failed: Mapping[str, list[int]], size: int) -> web.Response:
        count = sum(map(len, failed.values()))
        status = "SUCCESS" if not count else "FAILED" if count == size else "PARTIAL_SUCCESS"
        errors = [
            {
                "reason": f"PROCESSING_ERROR_REASON_{reason}",
                "recordCount": str(len(places)),
                **({"recordIndices": places} if self.tells_places else {}),
            }
            for reason, places in failed.items()
        ]
        id_ = f"t-{len(self.requests)}-Zf8x"
        self.requests[id_] = Asked(status, errors)
        return reply({"requestId": id_})

    async def _status(self, request: web.Request) -> web.Response:
        asked = self.requests.get(request.query["requestId"])
        if asked is None:
            return error(404, "NOT_FOUND", "Request not found.", reason="NOT_FOUND")
        asked.asked += 1
        if asked.asked <= self.slow:
            return reply({"requestStatusPerDestination": [{"requestStatus": "PROCESSING"}]})
        info = {"errorInfo": {"errorCounts": asked.errors}} if asked.errors else {}
        return reply({"requestStatusPerDestination": [{"requestStatus": asked.status, **info}]})

    async def _lists(self, request: web.Request) -> web.Response:
        start, size = int(request.query.get("pageToken", "0")), min(int(request.query.get("pageSize", "50")), 2)
        names = list(self.lists)
        page = [self._described(name) for name in names[start : start + size]]
        more = {"nextPageToken": str(start + size)} if start + size < len(names) else {}
        return reply({"userLists": page, **more})

    async def _list(self, request: web.Request) -> web.Response:
        name = request.match_info["list"]
        if name not in self.lists or request.match_info["account"] != self.account:
            return error(404, "NOT_FOUND", "Resource not found.", reason="NOT_FOUND")
        return reply(self._described(name))

    def _described(self, name: str) -> dict[str, Any]:
        parent = f"accountTypes/GOOGLE_ADS/accounts/{self.account}"
        return {"name": f"{parent}/userLists/{name}", "id": name, "readOnly": self.lists[name].read_only}

    def _refused_place(self, body: Mapping[str, Any]) -> web.Response | None:
        """Why nothing can be done there; None if it can."""
        [destination] = body["destinations"]
        account = destination["operatingAccount"]
        if TYPES.get(account["accountType"], account["accountType"]) not in TYPES.values():
            return error(400, "INVALID_ARGUMENT", "Wrong account.", reason="INVALID_DESTINATION")
        if account["accountId"] != self.account:
            return error(403, "PERMISSION_DENIED", "No permission for the account.", reason="PERMISSION_DENIED")
        if destination["productDestinationId"] not in self.lists:
            return error(400, "INVALID_ARGUMENT", "No such user list.", reason="INVALID_USER_LIST_ID")
        return None

    def _terms_accepted(self, body: Mapping[str, Any]) -> bool:
        told = body.get("termsOfService", {}).get("customerMatchTermsOfServiceStatus")
        return self.terms or told in ("ACCEPTED", 1)


def error(
    code: int,
    status: str,
    message: str,
    *,
    reason: str = "",
    violations: Sequence[Mapping[str, str]] = (),
    **metadata: str,
) -> web.Response:
    """An error in the form of google.rpc.Status."""
    details: list[dict[str, Any]] = []
    if reason or violations:
        info = {"reason": reason or status, "domain": "datamanager.googleapis.com", "metadata": metadata}
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", **info})
    if violations:
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    return reply({"error": {"code": code, "message": message, "status": status, "details": details}}, code)


@functools.cache
def key_file() -> str:
    """A service account's key, as Google hands it out."""
    pem = _key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return json.dumps({"client_email": ISSUER, "private_key": pem.decode(), "private_key_id": "1"})


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _signed_by_us(assertion: str, audience: str) -> bool:
    parts = assertion.split(".")
    if len(parts) != 3:
        return False
    claims, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts[1:])
    try:
        _key().public_key().verify(signature, ".".join(parts[:2]).encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    said = json.loads(claims)
    return (said["iss"], said["scope"], said["aud"]) == (ISSUER, SCOPE, audience)


def _identifiers(member: Mapping[str, Any]) -> set[str]:
    """By what a member is known, each as text."""
    if "mobileData" in member:
        return set(member["mobileData"]["mobileIds"])
    if "userIdData" in member:
        return {member["userIdData"]["userId"]}
    return {json.dumps(each, sort_keys=True) for each in member["userData"]["userIdentifiers"]}


def _violations(members: Sequence[Mapping[str, Any]], encoding: object) -> Iterator[dict[str, str]]:
    """What is wrong with members, each with its field."""
    if len(members) > MOST_MEMBERS:
        yield {"field": "audience_members", "reason": "TOO_MANY_AUDIENCE_MEMBERS", "description": "Too many."}
        return
    for place, member in enumerate(members):
        for path, reason in _faults(member, encoding):
            yield {"field": f"audience_members[{place}].{path}", "reason": reason, "description": f"Is {member}."}


def _faults(member: Mapping[str, Any], encoding: object) -> Iterator[tuple[str, str]]:
    for index, device in enumerate(member.get("mobileData", {}).get("mobileIds", [])):
        if not re.fullmatch("[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", device):
            yield f"mobile_data.mobile_ids[{index}]", "INVALID_MOBILE_ID_FORMAT"
    identifiers = member.get("userData", {}).get("userIdentifiers", [])
    if len(identifiers) > MOST_IDENTIFIERS:
        yield "user_data.user_identifiers", "TOO_MANY_USER_IDENTIFIERS"
    for index, each in enumerate(identifiers):
        where = f"user_data.user_identifiers[{index}]"
        for name, value in _hashed(each):
            if encoding not in HEX:
                yield where, "REQUIRED_FIELD_MISSING"
            elif not re.fullmatch("[0-9a-f]{64}", value):
                yield f"{where}.{name}", "INVALID_SHA256_FORMAT"
        if "address" in each and not re.fullmatch("[A-Z]{2}", each["address"].get("regionCode", "")):
            yield f"{where}.address.region_code", "INVALID_COUNTRY_CODE"


def _hashed(identifier: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = {"emailAddress": "email_address", "phoneNumber": "phone_number"}
    yield from ((names[name], value) for name, value in identifier.items() if name in names)
    address = identifier.get("address", {})
    yield from ((f"address.{name}", address.get(name, "")) for name in ("givenName", "familyName") if address)
