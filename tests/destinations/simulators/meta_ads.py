"""Meta custom audiences: members by what they were told by, replace sessions, counts instead of results.

After Meta's documents "Customer File Custom Audiences", "Custom Audience Users", "Custom Audience Usersreplace",
"Custom Audience Session", "Graph API, Rate Limits" and "Marketing API, Error Codes", version 25 and 26, and what the
client facebook-business 26 sends. Parameters come in the query, as a form, or as JSON, as Graph takes all three.
"""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.destinations.simulators.base import Handler, Simulator, Window, body_of, reply

MOST = 10_000
HASHED = {"EMAIL", "PHONE", "FN", "LN", "FI", "GEN", "DOBY", "DOBM", "DOBD", "CT", "ST", "ZIP", "COUNTRY"}
PLAIN = {"EXTERN_ID", "MADID", "LOOKALIKE_VALUE"}
SINGLE = ("EXTERN_ID", "EMAIL", "PHONE", "MADID")
"""Fields that alone say who somebody is."""

Member = dict[str, str]


@dataclass
class Session:
    """A replacement under way."""

    members: list[Member] = field(default_factory=list)
    received: int = 0
    invalid: int = 0
    ended: int = 0


@dataclass
class Audience:
    """One list of people."""

    members: list[Member] = field(default_factory=list)
    subtype: str = "CUSTOM"
    operation_status: Mapping[str, Any] = field(default_factory=lambda: {"code": 200, "description": "Normal"})
    sessions: dict[int, Session] = field(default_factory=dict)


class MetaApi(Simulator):
    """One ad account.

    Attributes:
        audiences: by their ids.
        payloads: what was told of people: method, edge, payload.
        app_secret: by which calls must be signed; empty if they need not.
        in_200: errors are told with status 200.
        replaced_by_others: another replacement is under way, which keeps all others out.
        versions: of the API that were called.
    """

    account = "act_77"
    token = "EAA-system-user"

    def __init__(self) -> None:
        super().__init__()
        self.audiences: dict[str, Audience] = {"2384": Audience()}
        self.payloads: list[tuple[str, str, dict[str, Any]]] = []
        self.app_secret = ""
        self.in_200 = False
        self.replaced_by_others = False
        self.versions: set[str] = set()

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("GET", "/{version}/me", self._me),
            ("GET", "/{version}/act_{account}/customaudiences", self._list),
            ("GET", "/{version}/{audience}", self._audience),
            ("GET", "/{version}/{audience}/", self._audience),  # as the client writes it
            ("GET", "/{version}/{audience}/sessions", self._sessions),
            ("POST", "/{version}/{audience}/users", self._add),
            ("DELETE", "/{version}/{audience}/users", self._remove),
            ("POST", "/{version}/{audience}/usersreplace", self._replace),
        ]

    def authorized(self, request: web.Request) -> bool:
        self.versions.add(request.path.split("/")[1])
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = given or request.query.get("access_token", "")
        if self.app_secret:
            proof = hmac.new(self.app_secret.encode(), given.encode(), hashlib.sha256).hexdigest()
            if request.query.get("appsecret_proof") != proof:
                return False
        return given == self.token

    def unauthorized(self) -> web.Response:
        return self.error(190, f"Invalid OAuth access token {self.token[:3]}.", status=401)

    def too_many(self, wait: float) -> web.Response:
        minutes = max(1, round(wait / 60))
        use = {"type": "custom_audience", "call_count": 100, "estimated_time_to_regain_access": minutes}
        usage = {"X-Business-Use-Case-Usage": json.dumps({"77": [use]})}
        return self.error(80003, "There have been too many calls to this ad-account.", headers=usage)

    def limit_headers(self, left: int, window: Window) -> Mapping[str, str]:
        used = 100 - 100 * left // window.calls
        use = {"type": "custom_audience", "call_count": used, "estimated_time_to_regain_access": 0}
        return {"X-Business-Use-Case-Usage": json.dumps({"77": [use]})}

    def error(
        self,
        code: int,
        message: str,
        subcode: int = 0,
        *,
        status: int = 400,
        transient: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """An error in Meta's form."""
        said = {"message": message, "type": "OAuthException", "code": code, "is_transient": transient}
        if subcode:
            said |= {"error_subcode": subcode, "error_user_msg": message}
        return reply({"error": {**said, "fbtrace_id": "AbCdEf"}}, 200 if self.in_200 else status, headers)

    async def _me(self, request: web.Request) -> web.Response:
        return reply({"id": "1", "name": "Reverse ETL"})

    async def _list(self, request: web.Request) -> web.Response:
        start, limit = int(request.query.get("after", "0")), 2
        names = list(self.audiences)
        page = [{"id": name, "subtype": self.audiences[name].subtype} for name in names[start : start + limit]]
        after = str(start + limit)
        paging: dict[str, Any] = {"cursors": {"before": str(start), "after": after}}
        if start + limit < len(names):
            paging["next"] = f"{self.url}{request.path}?after={after}"
        return reply({"data": page, "paging": paging})

    async def _audience(self, request: web.Request) -> web.Response:
        name = request.match_info["audience"]
        if name not in self.audiences:
            return self._missing(name)
        found = self.audiences[name]
        return reply({"id": name, "subtype": found.subtype, "operation_status": found.operation_status})

    async def _sessions(self, request: web.Request) -> web.Response:
        sessions = self.audiences[request.match_info["audience"]].sessions
        wanted = int(request.query["session_id"])
        found = [
            {"session_id": str(id_), "num_received": str(held.received), "end_time": str(held.ended)}
            for id_, held in sessions.items()
            if id_ == wanted
        ]
        return reply({"data": found})

    async def _add(self, request: web.Request) -> web.Response:
        return await self._tell(request, "users", lambda audience, people: audience.members.extend(people))

    async def _remove(self, request: web.Request) -> web.Response:
        def remove(audience: Audience, people: list[Member]) -> None:
            audience.members = [held for held in audience.members if not any(_same(held, each) for each in people)]

        return await self._tell(request, "users", remove)

    async def _replace(self, request: web.Request) -> web.Response:
        parameters = await _parameters(request)
        said = parameters.get("session")
        if not isinstance(said, dict) or "session_id" not in said:
            return self.error(100, "(#100) The parameter session is required")
        if self.replaced_by_others:
            return self.error(2650, "The audience is being updated.", 1870145)
        name = request.match_info["audience"]
        if name not in self.audiences:
            return self._missing(name)
        session = self.audiences[name].sessions.setdefault(int(said["session_id"]), Session())
        if session.ended:
            return self.error(2650, "The session is over.", 1870158)

        def stage(audience: Audience, people: list[Member]) -> None:
            session.members += people
            if said["last_batch_flag"]:
                session.ended = int(time.time())
                audience.members = [dict(each) for each in {tuple(each.items()): each for each in session.members}]

        return await self._tell(request, "usersreplace", stage, session)

    async def _tell(self, request: web.Request, edge: str, effect: Any, session: Session | None = None) -> web.Response:
        name, parameters = request.match_info["audience"], await _parameters(request)
        if name not in self.audiences:
            return self._missing(name)
        audience, payload = self.audiences[name], parameters.get("payload")
        if audience.operation_status["code"] == 471:
            return self.error(100, "Invalid parameter", 1713230)
        if not isinstance(payload, dict) or (wrong := _wrong(payload)):
            return self.error(100, f"(#100) {wrong if isinstance(payload, dict) else 'payload is required'}")
        self.payloads.append((request.method, edge, payload))
        people = [dict(zip(payload["schema"], row, strict=True)) for row in payload["data"]]
        valid = [each for each in people if _valid(each)]
        effect(audience, valid)
        session = session or Session()
        session.received += len(people)
        session.invalid += len(people) - len(valid)
        return reply(
            {
                "audience_id": name,
                "session_id": "4711",
                "num_received": session.received,
                "num_invalid_entries": session.invalid,
                "invalid_entry_samples": {},
            }
        )

    def _missing(self, name: str) -> web.Response:
        return self.error(100, f"Unsupported request. Object with ID '{name}' does not exist", 33)


def _wrong(payload: Mapping[str, Any]) -> str:
    """Why a payload is none; empty if it is one."""
    schema, data = payload.get("schema"), payload.get("data")
    if not isinstance(schema, list) or not set(schema) <= HASHED | PLAIN or not isinstance(data, list) or not data:
        return "Data is missing or does not match schema"
    if len(data) > MOST:
        return f"at most {MOST} users at a time"
    return "" if all(len(row) == len(schema) for row in data) else "Data is missing or does not match schema"


def _valid(person: Member) -> bool:
    """Whether each value is in the form that Meta can read."""
    hashes = [value for name, value in person.items() if name in HASHED and value]
    device = person.get("MADID")
    return all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes) and (
        not device or re.fullmatch("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", device) is not None
    )


def _same(one: Member, other: Member) -> bool:
    return any(one.get(name) and one.get(name) == other.get(name) for name in SINGLE)


async def _parameters(request: web.Request) -> dict[str, Any]:
    """Parameters of a call, wherever they are: objects as JSON."""
    if request.content_type == "application/json":
        found = await body_of(request)
        return found if isinstance(found, dict) else {}
    given = {**request.query, **await request.post()}
    return {name: json.loads(str(value)) if str(value)[:1] in "{[" else value for name, value in given.items()}
