"""HubSpot's CRM: accounts, properties, schemas, batches of records, associations, OAuth.

After HubSpot's API reference ("Contacts: batch", "Properties", "Schemas", "Associations", "OAuth tokens", "Account
information") in its dated versions and v3, "Error handling" (multi-status errors, locks, migrations) and "API usage
guidelines" (rolling windows, the limit of a day). Messages are those that people quote in its issues.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from tests.destinations.simulators.base import Handler, Simulator, Window, body_of, reply

VERSIONS = ("v3", "2026-03", "2026-09")
ERRORS_IN_200 = "2026-09"
MOST = 100


@dataclass(frozen=True)
class Property:
    """A property of an object."""

    name: str
    type: str = "string"
    options: tuple[str, ...] = ()
    unique: bool = False
    read_only: bool = False

    def described(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "label": self.name,
            "type": self.type,
            "fieldType": "select" if self.options else "text",
            "groupName": "information",
            "description": "",
            "options": [{"label": each, "value": each, "hidden": False} for each in self.options],
            "hasUniqueValue": self.unique,
            "calculated": False,
            "modificationMetadata": {
                "archivable": True,
                "readOnlyDefinition": self.read_only,
                "readOnlyValue": self.read_only,
            },
        }

    def problem(self, value: str) -> tuple[str, str] | None:
        """Error and message for a value that it cannot have."""
        if self.read_only:
            return "READ_ONLY_VALUE", f'Property "{self.name}" is read-only'
        if self.type == "number" and value and not value.replace(".", "", 1).removeprefix("-").isdigit():
            return "INVALID_DOUBLE", f"{value} was not a valid number."
        if self.options and not {each for each in value.split(";") if each} <= set(self.options):
            return "INVALID_OPTION", f"{value} was not one of the allowed options: [{', '.join(self.options)}]"
        if self.name == "email" and value and "@" not in value:
            return "INVALID_EMAIL", f"Email address {value} is invalid"
        return None


@dataclass
class Kind:
    """An object of the CRM with its records, by id."""

    type_id: str
    names: tuple[str, ...]
    properties: Mapping[str, Property]
    required: tuple[str, ...] = ()
    records: dict[str, dict[str, str]] = field(default_factory=dict)
    _places: dict[tuple[str, str], str] = field(default_factory=dict)

    def unique(self, name: str) -> bool:
        return name in self.properties and (self.properties[name].unique or (self.type_id, name) == ("0-1", "email"))

    def find(self, name: str | None, value: str) -> str | None:
        """The id of the record that has this value of a unique property."""
        if name is None or name == "hs_object_id":
            return value if value in self.records else None
        return self._places.get((name, value.strip().lower()))

    def put(self, record_id: str, properties: Mapping[str, str]) -> None:
        """Make or change a record."""
        held = self.records.setdefault(record_id, {})
        for name, value in properties.items():
            if self.unique(name):
                self._places.pop((name, held.get(name, "").lower()), None)
                self._places[name, value.lower()] = record_id
        held |= properties

    def drop(self, record_id: str) -> None:
        """Archive a record."""
        for name, value in self.records.pop(record_id, {}).items():
            self._places.pop((name, value.lower()), None)


def kind(type_id: str, *names: str, properties: Sequence[Property], required: tuple[str, ...] = ()) -> Kind:
    own = Property("hs_object_id", "number", unique=True, read_only=True)
    return Kind(type_id, names, {each.name: each for each in (own, *properties)}, required)


class HubSpotApi(Simulator):
    """One account.

    Attributes:
        inputs: what the batch calls brought, each with its verb.
        associations: ids from and to, with the type's id.
        policy: the limit that a refusal names.
        blind: batch calls are answered with two empty lists, as those that HubSpot could not use.
        scopes: objects that the app may see.
    """

    free = ("/oauth/",)
    private = "pat-na1-5up3r-s3cret"
    client = ("client-1", "s3cret-of-the-app", "refresh-s3cret")

    def __init__(self) -> None:
        super().__init__()
        self.kinds = [
            kind(
                "0-1",
                "contacts",
                "contact",
                properties=[
                    Property("email"),
                    Property("firstname"),
                    Property("account_ref", unique=True),
                    Property("badge", unique=True),
                    Property("plan", "enumeration", ("free", "paid")),
                    Property("age", "number"),
                    Property("createdate", "datetime", read_only=True),
                ],
            ),
            kind("0-2", "companies", "company", properties=[Property("name"), Property("company_ref", unique=True)]),
            kind(
                "2-7",
                "p42_cars",
                properties=[Property("vin", unique=True), Property("model")],
                required=("vin",),
            ),
        ]
        self.labels: dict[tuple[str, str], list[dict[str, Any]]] = {
            ("0-1", "0-2"): [
                {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"},
                {"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None},
            ]
        }
        self.inputs: list[tuple[str, list[dict[str, Any]]]] = []
        self.associations: set[tuple[str, str, int]] = set()
        self.policy = "TEN_SECONDLY_ROLLING"
        self.blind = False
        self.scopes: set[str] = {"0-1", "0-2", "2-7"}
        self._next = 1000

    def kind(self, name: str) -> Kind | None:
        return next((each for each in self.kinds if name in (each.type_id, *each.names)), None)

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        found: list[tuple[str, str, Handler]] = [
            ("POST", "/oauth/{version}/token", self._token),
            ("GET", "/account-info/{version}/details", self._account),
            ("GET", "/crm-object-schemas/{version}/schemas", self._schemas),
            ("GET", "/crm-object-schemas/{version}/schemas/{kind}", self._schema),
        ]
        for objects, properties, associations in (
            ("/crm/v3/objects", "/crm/v3/properties", "/crm/v4/associations"),
            ("/crm/objects/{version}", "/crm/properties/{version}", "/crm/associations/{version}"),
        ):
            found += [
                ("GET", f"{properties}/{{kind}}", self._properties),
                ("POST", f"{objects}/{{kind}}/batch/{{verb}}", self._batch),
                ("GET", f"{associations}/{{kind}}/{{other}}/labels", self._labels),
                ("POST", f"{associations}/{{kind}}/{{other}}/batch/create", self._associate),
            ]
        return found

    def authorized(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.private}" or self.has_token(request)

    def unauthorized(self) -> web.Response:
        return refusal(401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired.")

    def too_many(self, wait: float) -> web.Response:
        message = f"You have reached your {self.policy.lower()} limit."
        body = {"status": "error", "message": message, "errorType": "RATE_LIMIT", "policyName": self.policy}
        return reply(body, 429)

    def limit_headers(self, left: int, window: Window) -> Mapping[str, str]:
        return {
            "X-HubSpot-RateLimit-Max": str(window.calls),
            "X-HubSpot-RateLimit-Remaining": str(left),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(window.seconds * 1000)),
        }

    def seen(self, request: web.Request) -> Kind | web.Response:
        """The object that a call is about, or why it cannot be made."""
        if request.match_info.get("version", "v3") not in VERSIONS:
            return refusal(404, "OBJECT_NOT_FOUND", "resource not found")
        found = self.kind(request.match_info["kind"])
        if found is None:
            return refusal(400, "VALIDATION_ERROR", f"Unable to infer object type from: {request.match_info['kind']}")
        if found.type_id not in self.scopes:
            body = error("MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call.")
            body["errors"] = [
                {
                    "message": "One or more of the following scopes are required.",
                    "context": {"requiredGranularScopes": [f"crm.objects.{found.names[0]}.write"]},
                }
            ]
            return reply(body, 403)
        return found

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        given = (form.get("client_id"), form.get("client_secret"), form.get("refresh_token"))
        if given != self.client or form.get("grant_type") != "refresh_token":
            message = {"status": "BAD_CLIENT_SECRET", "message": "missing or invalid client secret"}
            return reply({"error": "invalid_client", **message}, 400)
        token = self.issue_token()
        return reply({"token_type": "bearer", "access_token": token, "refresh_token": given[2], "expires_in": 1800})

    async def _account(self, request: web.Request) -> web.Response:
        body = {"portalId": 42, "accountType": "STANDARD", "timeZone": "US/Eastern", "dataHostingLocation": "na1"}
        return reply(body)

    async def _properties(self, request: web.Request) -> web.Response:
        found = self.seen(request)
        if isinstance(found, web.Response):
            return found
        return reply({"results": [each.described() for each in found.properties.values()]})

    async def _schemas(self, request: web.Request) -> web.Response:
        return reply({"results": [schema(each) for each in self.kinds if each.type_id.startswith("2-")]})

    async def _schema(self, request: web.Request) -> web.Response:
        found = self.seen(request)
        return found if isinstance(found, web.Response) else reply(schema(found))

    async def _labels(self, request: web.Request) -> web.Response:
        found, other = self.seen(request), self.kind(request.match_info["other"])
        if isinstance(found, web.Response) or other is None:
            return refusal(400, "VALIDATION_ERROR", "Unable to infer object type")
        return reply({"results": self.labels.get((found.type_id, other.type_id), [])})

    async def _associate(self, request: web.Request) -> web.Response:
        found, other = self.seen(request), self.kind(request.match_info["other"])
        if isinstance(found, web.Response) or other is None:
            return refusal(400, "VALIDATION_ERROR", "Unable to infer object type")
        results, missing = [], []
        for each in (await body_of(request))["inputs"]:
            start, end = each["from"]["id"], each["to"]["id"]
            if end not in other.records:
                missing.append(end)
                continue
            self.associations |= {(start, end, one["associationTypeId"]) for one in each["types"]}
            results.append({"fromObjectId": int(start), "toObjectId": int(end), "labels": []})
        errors = []
        if missing:
            message = f"One or more to objects do not exist: {missing}"
            errors = [error("OBJECT_NOT_FOUND", message, {"toObjectId": missing})]
        return answer(request, results, errors, 201)

    async def _batch(self, request: web.Request) -> web.Response:
        found = self.seen(request)
        if isinstance(found, web.Response):
            return found
        body, verb = await body_of(request), request.match_info["verb"]
        inputs = body.get("inputs")
        if not isinstance(inputs, list) or self.blind:
            return answer(request, [], [])
        self.inputs.append((verb, inputs))
        if len(inputs) > MOST:
            return refusal(400, "VALIDATION_ERROR", f"The maximum number of inputs supported in a batch is {MOST}")
        if verb == "read":
            return self._read(request, found, body)
        if verb == "archive":
            for each in inputs:
                found.drop(str(each["id"]))
            return web.Response(status=204)
        if (refused := self._unusable(found, verb, inputs)) is not None:
            return refused
        return self._written(request, found, verb, inputs)

    def _read(self, request: web.Request, found: Kind, body: Mapping[str, Any]) -> web.Response:
        name, results, missing = body.get("idProperty"), [], []
        if name is not None and not found.unique(name):
            return refusal(400, "VALIDATION_ERROR", f"{name} is no unique property")
        for each in body["inputs"]:
            held = found.find(name, each["id"])
            if held is None:
                missing.append(each["id"])
            else:
                wanted = {prop: found.records[held].get(prop) for prop in body["properties"]}
                results.append({"id": held, "properties": {**wanted, "hs_object_id": held}, "archived": False})
        return answer(request, results, [self._not_there(found, missing)] if missing else [])

    def _not_there(self, found: Kind, ids: list[str]) -> dict[str, Any]:
        name = found.names[-1].upper()
        message = f"Could not get some {name} objects, they may be deleted or not exist. Check that ids are valid."
        return error("OBJECT_NOT_FOUND", message, {"ids": ids})

    def _unusable(self, found: Kind, verb: str, inputs: list[dict[str, Any]]) -> web.Response | None:
        """The refusal of a whole call."""
        if verb == "create":
            return None
        ids = [str(each["id"]).lower() for each in inputs]
        names = {each.get("idProperty") for each in inputs}
        for name in names:
            if (verb == "upsert" and name is None) or (name is not None and not found.unique(name)):
                message = (
                    f"Unable to perform update/upsert by non-unique {found.type_id} property {name} in portal ID 42"
                )
                return refusal(400, "VALIDATION_ERROR", message)
        if twice := [each for each in dict.fromkeys(ids) if ids.count(each) > 1]:
            message = f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique"
            return reply(error("VALIDATION_ERROR", message, {"ids": twice}), 400)
        return None

    def _written(self, request: web.Request, found: Kind, verb: str, inputs: list[dict[str, Any]]) -> web.Response:
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for each in inputs:
            done = self._write(found, verb, each)
            (errors if "category" in done else results).append(done)
        if errors and not all("objectWriteTraceId" in each for each in inputs):
            for result in results:  # without trace ids, a call is carried out as a whole or not at all
                found.drop(result["id"])
            return reply(errors[0], 409 if errors[0]["category"] == "CONFLICT" else 400)
        return answer(request, results, errors, 201 if verb == "create" else 200)

    def _write(self, found: Kind, verb: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one input; its result or its error."""
        trace = given.get("objectWriteTraceId")
        about = {"objectWriteTraceId": [trace]} if trace else {}
        properties, name = given["properties"], given.get("idProperty")
        held = None if verb == "create" else found.find(name, str(given["id"]))
        if verb == "update" and held is None:
            missing = self._not_there(found, [str(given["id"])])
            return missing | {"context": missing["context"] | about}
        if wrong := list(invalid(found, properties)):
            return error("VALIDATION_ERROR", f"Property values were not valid: {orjson.dumps(wrong).decode()}", about)
        if (refused := self._conflict(found, properties, held, about)) is not None:
            return refused
        for link in given.get("associations", ()):
            self.associations |= {(str(self._next), link["to"]["id"], t["associationTypeId"]) for t in link["types"]}
        new = held is None
        if held is None:
            held, self._next = str(self._next), self._next + 1
            found.put(held, {name: str(given["id"])} if name else {})
        stored = {key: value.lower() if key == "email" else value for key, value in properties.items()}
        found.put(held, stored)
        result = {"id": held, "properties": {**stored, "hs_object_id": held}, "archived": False}
        result |= {"createdAt": "2026-11-22T00:00:00.000Z", "updatedAt": "2026-11-22T00:00:00.000Z"}
        if verb == "upsert":
            result["new"] = new
        return result | ({"objectWriteTraceId": trace} if trace else {})

    def _conflict(
        self, found: Kind, properties: Mapping[str, str], held: str | None, about: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """The error of a record that has a value that only one may have."""
        for key, value in properties.items():
            other = found.find(key, value) if value and found.unique(key) else None
            if other is None or other == held:
                continue
            if key == "email":
                message = f"Contact already exists. Existing ID: {other}"
                return error("CONFLICT", message, {**about, "existingId": [other]})
            wrong = [property_error(key, "CONFLICTING_UNIQUE_VALUE", f"{other} already has that value.")]
            return error("VALIDATION_ERROR", f"Property values were not valid: {orjson.dumps(wrong).decode()}", about)
        return None


def invalid(found: Kind, properties: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """What is wrong with the properties of a record."""
    for name, value in properties.items():
        if name not in found.properties:
            yield property_error(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
        elif (problem := found.properties[name].problem(value)) is not None:
            yield property_error(name, *problem)


def property_error(name: str, code: str, message: str) -> dict[str, Any]:
    words = {"isValid": False, "message": message, "error": code, "name": name}
    return {**words, "localizedErrorMessage": message, "portalId": 42}


def error(category: str, message: str, context: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"status": "error", "category": category, "message": message, "context": dict(context or {})}


def refusal(status: int, category: str, message: str) -> web.Response:
    return reply({**error(category, message), "correlationId": "a43683b0-5717-4ceb-80b4-104d02915d8c"}, status)


def answer(request: web.Request, results: list[Any], errors: list[Any], status: int = 200) -> web.Response:
    body: dict[str, Any] = {"status": "COMPLETE", "results": results}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
        status = status if request.match_info.get("version") == ERRORS_IN_200 else 207
    return reply({**body, "startedAt": "2026-11-22T00:00:00.000Z", "completedAt": "2026-11-22T00:00:00.100Z"}, status)


def schema(found: Kind) -> dict[str, Any]:
    return {
        "id": found.type_id.removeprefix("2-"),
        "objectTypeId": found.type_id,
        "name": found.names[0].partition("_")[2],
        "fullyQualifiedName": found.names[0],
        "labels": {"singular": "Car", "plural": "Cars"},
        "requiredProperties": list(found.required),
        "properties": [each.described() for each in found.properties.values()],
        "associations": [],
    }
