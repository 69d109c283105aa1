"""A REST API that nobody wrote a connector for, with the customs of several: what the http connector is configured for.

Tokens by client credentials as RFC 6749, 4.4 has them; lists in pages by Link headers (RFC 8288), by cursor, by number
or by offset; bodies as JSON, as NDJSON or as forms; webhook signatures with a timestamp, as Stripe documents them
("Verify webhook signatures"): `t=…,v1=…`, HMAC-SHA256 of the timestamp, a dot and the body.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from tests.destinations.simulators.base import Handler, Simulator, body_of, reply

CLIENT, CLIENT_SECRET = "retl", "client-s3cret"
PAGE = 2
"""Items of a page."""


class RestApi(Simulator):
    """Records by object and id.

    Attributes:
        records: by object, then by id.
        events: what was appended.
        fields: of each object, as its description has them.
        signing_key: calls that write must be signed with it, if set.
        bodies: what came in, as it was read.
        requests: what came in, as it came.
        query: of each call.
        tenants: header X-Tenant of each call for fields.
    """

    free = ("/token",)

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, dict[str, dict[str, Any]]] = {"accounts": {}}
        self.events: list[str] = []
        self.fields: dict[str, list[dict[str, Any]]] = {
            "accounts": [
                {"key": "id", "kind": "text", "needed": True, "computed": False},
                {"key": "name", "kind": "text", "needed": False, "computed": False},
                {"key": "score", "kind": "number", "needed": False, "computed": True},
            ],
            "orders": [{"key": "id", "kind": "text", "needed": True, "computed": False}],
            "notes": [],
        }
        self.signing_key: bytes | None = None
        self.bodies: list[Any] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.query: list[dict[str, str]] = []
        self.tenants: list[str | None] = []

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("POST", "/token", self._token),
            ("POST", "/any/{object}", self._any),
            ("GET", "/meta/objects", self._objects),
            ("GET", "/meta/objects/{object}", self._fields),
            ("GET", "/{object}/by/{id}", self._one),
            ("GET", "/{object}/find", self._find),
            ("POST", "/{object}/search", self._search),
            ("POST", "/{object}/{operation}", self._write),
        ]

    def authorized(self, request: web.Request) -> bool:
        return self.has_token(request)

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        basic = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        in_body = (form.get("client_id"), form.get("client_secret")) == (CLIENT, CLIENT_SECRET)
        if not in_body and request.headers.get("Authorization") != f"Basic {basic}":
            return reply({"error": "invalid_client"}, 401)
        self.bodies.append(dict(form))
        return reply({"access_token": self.issue_token(), "token_type": "Bearer", "expires_in": 3600})

    async def _any(self, request: web.Request) -> web.Response:
        """Takes anything, in any format."""
        content = await request.read()
        if self.signing_key is not None and not self._signed(request, content):
            return reply({"error": "bad signature"}, 400)
        self.requests.append(({name.lower(): held for name, held in request.headers.items()}, content))
        self.query.append(dict(request.query))
        kind = request.content_type
        if kind == "application/x-www-form-urlencoded":
            self.bodies.append(parse_qsl(content.decode(), keep_blank_values=True))
        elif kind == "application/x-ndjson":
            self.bodies.append([orjson.loads(line) for line in content.splitlines()])
        else:
            self.bodies.append(orjson.loads(content) if content else None)
        return reply({})

    def _signed(self, request: web.Request, content: bytes) -> bool:
        assert self.signing_key is not None
        parts = dict(part.split("=", 1) for part in request.headers.get("X-Signature", "").split(",") if "=" in part)
        signed = f"{parts.get('t')}.".encode() + content
        return hmac.compare_digest(hmac.new(self.signing_key, signed, hashlib.sha256).hexdigest(), parts.get("v1", ""))

    async def _write(self, request: web.Request) -> web.Response:
        """Takes `{"data": [{"id", "attributes"}]}`; says of each record what came of it, in words of its own."""
        held = self.records.setdefault(request.match_info["object"], {})
        operation = request.match_info["operation"]
        results = [self._result(held, operation, record) for record in (await body_of(request))["data"]]
        return reply({"report": {"lines": results}})

    def _result(self, held: dict[str, dict[str, Any]], operation: str, record: Any) -> dict[str, Any]:
        key, attributes = record["id"], record["attributes"]
        if attributes.get("name") == "refused":
            return {"id": key, "state": "error", "fault": {"type": "NAME_INVALID", "text": "name is refused"}}
        if operation == "insert" and key in held:
            return {"id": key, "state": "error", "fault": {"type": "ALREADY_THERE", "text": "there is one"}}
        if operation == "update" and key not in held:
            return {"id": key, "state": "error", "fault": {"type": "NOT_THERE", "text": "there is none"}}
        if operation == "append":
            self.events.append(key)
        elif operation == "delete":
            held.pop(key, None)
        else:
            held[key] = {**held.get(key, {}), **attributes}
        return {"id": key, "state": "done"}

    async def _objects(self, request: web.Request) -> web.Response:
        """A page by its number; an empty one ends the list."""
        at = (int(request.query.get("page", "1")) - 1) * PAGE
        return reply({"objects": [{"label": name} for name in [*self.fields][at : at + PAGE]]})

    async def _fields(self, request: web.Request) -> web.Response:
        """A page by a cursor."""
        self.tenants.append(request.headers.get("X-Tenant"))
        fields = self.fields.get(request.match_info["object"])
        if fields is None:
            return reply({"error": "no such object"}, 404)
        at = int(request.query.get("after", "0"))
        following = str(at + PAGE) if at + PAGE < len(fields) else None
        return reply({"fields": fields[at : at + PAGE], "paging": {"after": following}})

    async def _one(self, request: web.Request) -> web.Response:
        record = self.records[request.match_info["object"]].get(request.match_info["id"])
        return reply(record) if record else reply({"error": "none"}, 404)

    async def _find(self, request: web.Request) -> web.Response:
        """Records by the values of a field, in pages that a Link header names."""
        self.query.append(dict(request.query))
        wanted = request.query["values"].split(",")
        field = request.query["field"]
        found = [each for each in self.records[request.match_info["object"]].values() if str(each[field]) in wanted]
        at = int(request.query.get("from", "0"))
        headers = {}
        if at + PAGE < len(found):
            following = request.url.update_query({"from": str(at + PAGE)})
            headers["Link"] = f'</first>; rel="first", <{following.path_qs}>; rel="next"'
        return reply(found[at : at + PAGE], headers=headers)

    async def _search(self, request: web.Request) -> web.Response:
        """Records by the values of a field, asked for in a body."""
        asked = await body_of(request)
        self.bodies.append(asked)
        field, wanted = asked["where"]["field"], asked["where"]["in"]
        found = [each for each in self.records[request.match_info["object"]].values() if each[field] in wanted]
        return reply({"data": {"hits": found}})
