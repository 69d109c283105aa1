"""Iterable's API: users, lists, catalogs, events.

After Iterable's API documentation: "Users" (bulk update, delete, get fields), "Lists" (subscribe, unsubscribe),
"Catalogs" (bulk create and delete of items) and "Events" (track bulk), with its response codes. Replies name users, and
only those that failed. A project tells users by e-mail address or by userId; this one takes both. Iterable's own client
is for JavaScript alone (@iterable/api): its strict schemas take these replies, which was tried with version 0.13.0.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from tests.destinations.simulators.base import Handler, Simulator, body_of, reply

MOST = 1_000
NONE_FAILED: Mapping[str, list[str]] = {"invalidEmails": [], "invalidUserIds": [], "createdFields": []}
TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "long": int,
    "double": (int, float),
    "boolean": bool,
    "object": dict,
    "date": str,
}


class IterableApi(Simulator):
    """One project.

    Attributes:
        users: their data by who they are; users known by both are under their e-mail address.
        members: of each list.
        catalogs: their items by id.
        events: by id.
        forgotten: users that may not be written any more.
        disallowed: names of events that the project does not take.
        bodies: of the bulk calls.
        miscount: added to what a reply says of how many failed.
    """

    key = "iter4ble-s3cret-key"

    def __init__(self) -> None:
        super().__init__()
        self.fields = {
            "email": "string",
            "userId": "string",
            "firstName": "string",
            "plan": "string",
            "age": "long",
            "address.city": "string",
            "signupDate": "date",
        }
        self.users: dict[str, dict[str, Any]] = {}
        self.members: dict[int, dict[str, Any]] = {7: {}, 8: {}}
        self.catalogs: dict[str, dict[str, dict[str, Any]]] = {"shops": {}}
        self.events: dict[str, dict[str, Any]] = {}
        self.forgotten: set[str] = set()
        self.taken: set[str] = set()
        self.disallowed: set[str] = set()
        self.bodies: list[Any] = []
        self.miscount = 0

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("GET", "/api/users/getFields", self._get_fields),
            ("POST", "/api/users/bulkUpdate", self._bulk_update),
            ("DELETE", "/api/users/byUserId/{user}", self._delete),
            ("DELETE", "/api/users/{user}", self._delete),
            ("GET", "/api/lists", self._lists),
            ("POST", "/api/lists/subscribe", self._subscribe),
            ("POST", "/api/lists/unsubscribe", self._unsubscribe),
            ("GET", "/api/catalogs/{catalog}/fieldMappings", self._mappings),
            ("POST", "/api/catalogs/{catalog}/items", self._upload),
            ("DELETE", "/api/catalogs/{catalog}/items", self._remove),
            ("POST", "/api/events/trackBulk", self._track),
        ]

    def authorized(self, request: web.Request) -> bool:
        return request.headers.get("Api-Key") == self.key

    def unauthorized(self) -> web.Response:
        return said(401, "BadApiKey", "Invalid API key")

    def too_many(self, wait: float) -> web.Response:
        return said(429, "RateLimitExceeded", "Rate limit exceeded")

    async def _get_fields(self, request: web.Request) -> web.Response:
        return reply({"fields": self.fields})

    async def _bulk_update(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        self.bodies.append(body)
        users = body["users"]
        if (refused := self._unusable(users)) is not None:
            return refused
        failed = Failures()
        dropped: set[str] = set()
        for user in users:
            who = identity(user)
            if not self._known(failed, user):
                continue
            data = dict(user.get("dataFields", {}))
            for name in [name for name in data if not self._has(name)]:
                if body.get("createNewFields", True):
                    self.fields[name] = kind_of(data[name])
                else:
                    dropped.add(name)
                    del data[name]
            self._merge(self.users.setdefault(who, {}), data, deep=user.get("mergeNestedObjects", False))
        return self._counted(failed, len(users), filteredOutFields=sorted(dropped))

    def _merge(self, held: dict[str, Any], data: Mapping[str, Any], *, deep: bool) -> None:
        for name, value in data.items():
            if value is None:
                held.pop(name, None)
            elif deep and isinstance(value, dict) and isinstance(held.get(name), dict):
                held[name] |= value
            else:
                held[name] = value

    def _unusable(self, users: Sequence[Mapping[str, Any]]) -> web.Response | None:
        """The refusal of a whole call."""
        if len(users) > MOST:
            return said(400, "BatchTooLarge", f"At most {MOST} users can be updated")
        for user in users:
            for name, value in user.get("dataFields", {}).items():
                expected = self.fields.get(name)
                if expected is not None and value is not None and not isinstance(value, TYPES[expected]):
                    wrong = {
                        "incomingTypes": [kind_of(value), "keyword"],
                        "expectedType": expected,
                        "_type": "UnexpectedType",
                        "offendingValue": value,
                        "category": "user",
                    }
                    message = (
                        "Project 1: The request does not have the same data types as the data previously submitted."
                    )
                    return said(400, "RequestFieldsTypesMismatched", message, {"validationErrors": {name: wrong}})
        return None

    def _has(self, name: str) -> bool:
        return any(known == name or known.startswith(f"{name}.") for known in self.fields)

    def _known(self, failed: "Failures", user: Mapping[str, Any], *, must_exist: bool = False) -> bool:
        """Whether a user can be written; else it is among those that failed."""
        who = identity(user)
        if "email" in user and "@" not in user["email"]:
            failed.add("invalid", user)
        elif who in self.forgotten:
            failed.add("forgotten", user)
        elif who in self.taken:
            failed.add("conflict", user)
        elif must_exist and who not in self.users:
            failed.add("notFound", user)
        else:
            return True
        return False

    def _counted(self, failed: "Failures", size: int, **more: Any) -> web.Response:
        count = failed.count + self.miscount
        return reply({"successCount": size - failed.count, "failCount": count, **failed.named(), **more})

    async def _delete(self, request: web.Request) -> web.Response:
        user = request.match_info["user"]
        if user not in self.users:
            return said(400, "UnknownEmailError" if "@" in user else "UnknownUserIdError", f"No user {user}")
        del self.users[user]
        return said(200, "Success", "")

    async def _lists(self, request: web.Request) -> web.Response:
        lists = [{"id": each, "name": f"List {each}", "createdAt": 0, "listType": "Standard"} for each in self.members]
        return reply({"lists": [*lists, {"id": 9, "name": "Dynamic", "createdAt": 0, "listType": "Dynamic"}]})

    async def _subscribe(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        self.bodies.append(body)
        if body["listId"] not in self.members:
            return said(400, "error.lists.invalidListId", "Invalid list id")
        failed = Failures()
        for user in body["subscribers"]:
            if self._known(failed, user):
                self.members[body["listId"]][identity(user)] = user
        return self._counted(failed, len(body["subscribers"]), filteredOutFields=[])

    async def _unsubscribe(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        self.bodies.append(body)
        failed = Failures()
        members = self.members[body["listId"]]
        for user in body["subscribers"]:
            if members.pop(identity(user), None) is None:
                failed.add("notFound", user)
        return self._counted(failed, len(body["subscribers"]))

    async def _mappings(self, request: web.Request) -> web.Response:
        if request.match_info["catalog"] not in self.catalogs:
            return said(404, "NotFound", f"Catalog not found: {request.match_info['catalog']}")
        return said(200, "Success", "", {"definedMappings": {}, "undefinedFields": []})

    async def _upload(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        self.bodies.append(body)
        items = self.catalogs[request.match_info["catalog"]]
        for name, document in body["documents"].items():
            if name == "refused":
                return said(400, "BadParams", "Invalid item")
            held = items.get(name, {}) if body.get("replaceUploadedFieldsOnly") else {}
            items[name] = {**held, **document}
        return said(202, "Success", "Request to bulk-upload documents processed successfully.")

    async def _remove(self, request: web.Request) -> web.Response:
        for name in (await body_of(request))["itemIds"]:
            self.catalogs[request.match_info["catalog"]].pop(name, None)
        return said(202, "Success", "")

    async def _track(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        self.bodies.append(body)
        failed, refused = Failures(), 0
        for number, event in enumerate(body["events"]):
            if event["eventName"] in self.disallowed:
                refused += 1
            elif self._known(failed, event):
                self.events[event.get("id") or f"own-{len(self.events)}-{number}"] = event
        names = sorted(self.disallowed & {event["eventName"] for event in body["events"]})
        failed.count += refused
        return self._counted(failed, len(body["events"]), disallowedEventNames=names, filteredOutFields=[])


class Failures:
    """The users that failed, in the lists that a reply has for them."""

    def __init__(self) -> None:
        self.lists: dict[str, list[str]] = {}
        self.count = 0

    def add(self, why: str, user: Mapping[str, Any]) -> None:
        name = f"{why}{'Emails' if 'email' in user else 'UserIds'}"
        self.lists.setdefault(name, []).append(identity(user))
        self.count += 1

    def named(self) -> dict[str, Any]:
        """As a reply has them: those with an invalid identity twice, as the older field is kept."""
        kinds = ("conflict", "forgotten", "invalidData", "invalid", "notFound")
        lists = {f"{kind}{who}": self.lists.get(f"{kind}{who}", []) for kind in kinds for who in ("Emails", "UserIds")}
        return {**NONE_FAILED, "invalidEmails": lists["invalidEmails"], "failedUpdates": lists}


def identity(user: Mapping[str, Any]) -> str:
    """What a user is told by."""
    return str(user.get("email") or user.get("userId"))


def kind_of(value: Any) -> str:
    """The type that a new field gets from its first value."""
    return next(name for name in ("boolean", "long", "double", "object", "string") if isinstance(value, TYPES[name]))


def said(status: int, code: str, message: str, params: Any = None) -> web.Response:
    return reply({"msg": message, "code": code, "params": params}, status)
