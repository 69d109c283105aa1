"""Manifests that must be taken or refused, whoever reads them.

One table for two readers: the unit tests put it before `manifests.parse`, the cluster tests before a real API server.
So what `retl validate` passes is what `kubectl apply` will pass.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]
GONE = object()
"""As the value of a change: take the field away."""

_ENVELOPE: Manifest = {"apiVersion": "reverseetl.io/v1alpha1"}
SOURCE: Manifest = {
    **_ENVELOPE,
    "kind": "SyncSource",
    "metadata": {"name": "warehouse"},
    "spec": {"connector": "postgres"},
}
MODEL: Manifest = {
    **_ENVELOPE,
    "kind": "SyncModel",
    "metadata": {"name": "active-accounts"},
    "spec": {"sourceRef": {"name": "warehouse"}, "table": "analytics.accounts"},
}
DESTINATION: Manifest = {
    **_ENVELOPE,
    "kind": "SyncDestination",
    "metadata": {"name": "crm"},
    "spec": {"connector": "http"},
}
SYNC: Manifest = {
    **_ENVELOPE,
    "kind": "ReverseETLSync",
    "metadata": {"name": "accounts"},
    "spec": {
        "modelRef": {"name": "active-accounts"},
        "destinationRef": {"name": "crm"},
        "object": "Account",
        "mappings": [{"source": "id", "destination": "Id", "key": True}, {"source": "name", "destination": "Name"}],
    },
}
RUN: Manifest = {
    **_ENVELOPE,
    "kind": "SyncRun",
    "metadata": {"name": "accounts-202601312359"},
    "spec": {"syncRef": {"name": "accounts"}},
}
INLINE: Manifest = {"sourceRef": {"name": "warehouse"}, "sql": "SELECT id, name FROM accounts"}


def change(base: Manifest, changes: Mapping[str, Any]) -> Manifest:
    """A copy of a manifest with fields set (or GONE) by dotted path; numbers index lists."""
    result = copy.deepcopy(base)
    for dotted, value in changes.items():
        *parents, last = [int(part) if part.isdigit() else part for part in dotted.split(".")]
        target: Any = result
        for part in parents:
            target = target[part] if isinstance(part, int) else target.setdefault(part, {})
        if value is GONE:
            del target[last]
        else:
            target[last] = value
    return result


MAXIMAL_SYNC = change(
    SYNC,
    {
        "metadata.name": "a" * 45,
        "metadata.labels": {"team": "growth"},
        "spec.displayName": "Accounts",
        "spec.description": "Active accounts, every four hours",
        "spec.modelRef": GONE,
        "spec.query": INLINE,
        "spec.mode": "upsert",
        "spec.primaryKey": ["tenant", "id"],
        "spec.mappings": [
            {"source": "id", "destination": "Id", "key": True, "cast": "string"},
            {"value": "warehouse", "destination": "LeadSource"},
            {"value": "2026-01-31", "destination": "Since", "cast": "date"},
            {"expression": "upper(country)", "destination": "address.country", "skipNulls": True, "onlyIfEmpty": True},
            {"metadata": "RunTime", "destination": "SyncedAt"},
            {
                "source": "email",
                "destination": "Email",
                "hash": {"algorithm": "SHA256", "normalize": "Email"},
                "sensitive": True,
            },
            {
                "source": "owner",
                "destination": "OwnerId",
                "lookup": {"object": "User", "matchField": "Email", "returnField": "Id", "onMiss": "Null"},
            },
            *({"source": f"c{n}", "destination": f"C{n}"} for n in range(493)),
        ],
        "spec.schedule": {"cron": "15 */4 * * MON-FRI", "timeZone": "Europe/Vienna"},
        "spec.state": "Paused",
        "spec.allColumns": {"exclude": ["internal_note"]},
        "spec.changeDetection": {"strategy": "Cursor", "column": "updated_at", "lag": "10m"},
        "spec.delivery": {
            "batchSize": 200,
            "maxInFlight": 8,
            "maxAttempts": 20,
            "timeout": "1m30s",
            "onUnknown": "Hold",
            "canary": {"records": 10, "maxErrors": 0},
        },
        "spec.guards": {
            "maxCreates": 500,
            "maxChanges": "100%",
            "maxDeletes": "10%",
            "minRows": 1,
            "maxRejected": "5%",
            "onBreach": "Fail",
        },
        "spec.deadLetters": {"storePayload": False, "retention": "90d", "maxEntries": 1000},
        "spec.history": {"successful": 0, "failed": 1000},
        "spec.runner": {
            "resources": {"requests": {"cpu": 1, "memory": "512Mi"}, "limits": {"cpu": "1500m", "memory": "1Gi"}},
            "timeout": "2d",
            "retries": 0,
        },
    },
)

ACCEPTED: Mapping[str, Manifest] = {
    "a minimal source": SOURCE,
    "a source with settings of any shape and a login": change(
        SOURCE,
        {
            "spec.config": {"host": "db", "port": 5432, "options": {"a": [1, None, {"b": True}]}, "nothing": None},
            "spec.credentials": {"secretRef": {"name": "warehouse-login"}},
        },
    ),
    "a model of a table": MODEL,
    "a model of a query": change(MODEL, {"spec.table": GONE, "spec.sql": "SELECT 1", "spec.primaryKey": ["id"]}),
    "a minimal destination": DESTINATION,
    "a destination whose account has a rate": change(DESTINATION, {"spec.rateLimit": {"requests": 100, "per": "1m"}}),
    "a minimal sync": SYNC,
    "a sync with everything": MAXIMAL_SYNC,
    "a sync with an inline query": change(
        SYNC, {"spec.modelRef": GONE, "spec.query": INLINE, "spec.primaryKey": ["id"]}
    ),
    "a number as the limit of changes": change(SYNC, {"spec.guards.maxChanges": 500}),
    "no changes allowed at all": change(SYNC, {"spec.guards.maxChanges": 0}),
    "a percentage as the limit of deletes, in a mirror": change(
        SYNC, {"spec.mode": "mirror", "spec.guards": {"maxDeletes": "0%", "minRows": 0}}
    ),
    "a mirror that sends every row": change(
        SYNC, {"spec.mode": "mirror", "spec.changeDetection": {"strategy": "None"}}
    ),
    "a mode that a connector may declare": change(SYNC, {"spec.mode": "add-to_Audience2"}),
    "events without a key": change(SYNC, {"spec.mode": "append", "spec.mappings.0.key": GONE}),
    "a cursor over times": change(
        SYNC, {"spec.changeDetection": {"strategy": "Cursor", "column": "updated_at", "lag": "1h30m"}}
    ),
    "a cursor over numbers": change(SYNC, {"spec.changeDetection": {"strategy": "Cursor", "column": "id", "lag": 0}}),
    "all columns and no mapping": change(SYNC, {"spec.mappings": GONE, "spec.allColumns": {}}),
    "all columns but one, and a mapping without a key": change(
        SYNC, {"spec.mappings": [{"source": "a", "destination": "A"}], "spec.allColumns": {"exclude": ["secret"]}}
    ),
    "fields that are null": change(SYNC, {"spec.schedule": None, "spec.displayName": None, "spec.delivery": None}),
    "cron with tabs and spaces around": change(SYNC, {"spec.schedule": {"cron": " 0\t6  * * 1 "}}),
    "a minimal run": RUN,
    "a run with everything": change(
        RUN,
        {
            "metadata.name": "a" * 58,
            "spec.mode": "Plan",
            "spec.fullRefresh": True,
            "spec.tick": "2026-01-31T23:59:00+01:00",
            "spec.cancel": False,
            "spec.approval": {"planHash": "0" * 32},
        },
    ),
    "a replay of all open dead letters": change(RUN, {"spec.mode": "Replay"}),
    "a replay of some dead letters as they were kept": change(
        RUN, {"spec.mode": "Replay", "spec.replay": {"entries": ["e1"], "codes": ["NULL_KEY"], "payload": "Stored"}}
    ),
    "a run whose name the API server makes": change(RUN, {"metadata": {"generateName": "accounts-"}}),
}


@dataclass(frozen=True, slots=True)
class Refused:
    """A manifest that must not pass, and the part of the message that a person needs.

    `here` is our own wording where the API server's is not ours to choose.
    """

    manifest: Manifest
    api: str
    here: str = ""

    @property
    def ours(self) -> str:
        return self.here or self.api


def _sync(api: str, here: str = "", /, **changes: Any) -> Refused:
    return _refused(SYNC, api, here, changes)


def _refused(base: Manifest, api: str, here: str, changes: Mapping[str, Any]) -> Refused:
    return Refused(change(base, {path.replace("__", "."): value for path, value in changes.items()}), api, here)


def _source(api: str, here: str = "", /, **changes: Any) -> Refused:
    return _refused(SOURCE, api, here, changes)


def _model(api: str, here: str = "", /, **changes: Any) -> Refused:
    return _refused(MODEL, api, here, changes)


def _destination(api: str, here: str = "", /, **changes: Any) -> Refused:
    return _refused(DESTINATION, api, here, changes)


def _run(api: str, here: str = "", /, **changes: Any) -> Refused:
    return _refused(RUN, api, here, changes)


_NAME = "a name has lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit"
_CRON = "write five fields (minute, hour, day of month, month, day of week), for example 15 */4 * * *"
_DURATION = "write a duration such as 30s, 15m, 1h30m or 7d"
_LIMIT = "write a number of records (500) or a percentage (10%)"
_ORIGIN = "set exactly one of source, expression, value and metadata"
_KEY = "mark at least one mapping with key: true; the destination finds its record by it"
_CURSOR = "strategy Cursor needs column, and the others take none"
_LAG = "write a length of time (10m) for a column of times, or a number (1000) for a column of numbers"

REFUSED: Mapping[str, Refused] = {
    # connections
    "a source without a connector": _source(
        "spec.connector: Required value", "spec.connector: is required", spec__connector=GONE
    ),
    "a source without a spec": _source("spec: Required value", "spec: is required", spec=GONE),
    "a connector with capitals": _source(
        "a connector's name has lower-case letters, digits, '_' and '-', such as postgres", spec__connector="Postgres"
    ),
    "a misspelt field of a source": _source(
        'unknown field "spec.conector"', "spec.conector: unknown field; did you mean connector?", spec__conector="x"
    ),
    "a field in snake_case": _source(
        'unknown field "spec.credentials.secret_ref"',
        "spec.credentials.secret_ref: unknown field; did you mean secretRef?",
        spec__credentials={"secretRef": {"name": "login"}, "secret_ref": {"name": "login"}},
    ),
    "settings that are text": _source(
        "spec.config in body must be of type object", "spec.config: must be an object", spec__config="host=db"
    ),
    "credentials without a Secret": _source(
        "spec.credentials.secretRef: Required value", "spec.credentials.secretRef: is required", spec__credentials={}
    ),
    "a Secret with an impossible name": _source(_NAME, spec__credentials={"secretRef": {"name": "My_Login"}}),
    "an unknown field of metadata": _source(
        'unknown field "metadata.lables"', "metadata.lables: unknown field; did you mean labels?", metadata__lables={}
    ),
    "a label that is a number": _source(
        "cannot unmarshal number into Go struct field ObjectMeta.metadata.labels",
        "metadata.labels.team: must be text; put it in quotes",
        metadata__labels={"team": 5},
    ),
    "an object without a name": _source(
        "metadata.name: Required value", "metadata.name: is required", metadata={"labels": {"team": "growth"}}
    ),
    "a name with capitals": _source(
        "a lowercase RFC 1123 subdomain must consist of lower case", _NAME, metadata__name="Warehouse"
    ),
    # destinations
    "a rate of no calls": _destination(
        "spec.rateLimit.requests in body should be greater than or equal to 1",
        "spec.rateLimit.requests: must be at least 1",
        spec__rateLimit={"requests": 0},
    ),
    "a rate without a number": _destination(
        "spec.rateLimit.requests: Required value", "spec.rateLimit.requests: is required", spec__rateLimit={"per": "1s"}
    ),
    "a rate per second in words": _destination(_DURATION, spec__rateLimit={"requests": 10, "per": "second"}),
    # models
    "a model of nothing": _model("set exactly one of sql and table", spec__table=GONE),
    "a model of both a query and a table": _model("set exactly one of sql and table", spec__sql="SELECT 1"),
    "a model without a source": _model(
        "spec.sourceRef: Required value", "spec.sourceRef: is required", spec__sourceRef=GONE
    ),
    "an empty query": _model(
        "spec.sql in body should be at least 1 chars long",
        "spec.sql: must not be empty",
        spec__table=GONE,
        spec__sql="",
    ),
    "a query of more than 64 KiB": _model(
        "spec.sql: Too long: may not be more than 65536 bytes",
        "spec.sql: may have at most 65536 characters",
        spec__table=GONE,
        spec__sql="x" * 65_537,
    ),
    "a key of too many columns": _model(
        "spec.primaryKey: Too many: 17: must have at most 16 items",
        "spec.primaryKey: may have at most 16 items, and has 17",
        spec__primaryKey=[f"c{n}" for n in range(17)],
    ),
    "a key column without a name": _model(
        "spec.primaryKey[0] in body should be at least 1 chars long",
        "spec.primaryKey[0]: must not be empty",
        spec__primaryKey=[""],
    ),
    # syncs
    "a sync of nothing": _sync("set exactly one of modelRef and query", spec__modelRef=GONE),
    "a sync of both a model and a query": _sync("set exactly one of modelRef and query", spec__query=INLINE),
    "an inline query without a key": _sync(
        "primaryKey is required with an inline query: name the columns that identify a row",
        spec__modelRef=GONE,
        spec__query=INLINE,
    ),
    "an inline query with an empty key": _sync(
        "primaryKey is required with an inline query: name the columns that identify a row",
        spec__modelRef=GONE,
        spec__query=INLINE,
        spec__primaryKey=[],
    ),
    "a sync to nowhere": _sync(
        "spec.destinationRef: Required value", "spec.destinationRef: is required", spec__destinationRef=GONE
    ),
    "a sync without an object": _sync("spec.object: Required value", "spec.object: is required", spec__object=GONE),
    "a sync without mappings": _sync("set mappings, or allColumns, or both", spec__mappings=GONE),
    "an empty list of mappings": _sync("set mappings, or allColumns, or both", spec__mappings=[]),
    "501 mappings": _sync(
        "spec.mappings: Too many: 501: must have at most 500 items",
        "spec.mappings: may have at most 500 items, and has 501",
        spec__mappings=[{"source": "id", "destination": f"F{n}", "key": True} for n in range(501)],
    ),
    "mappings without a key": _sync(_KEY, spec__mappings__0__key=GONE),
    "a mapping from a column and a constant": _sync(_ORIGIN, spec__mappings__1__value="x"),
    "a mapping from an expression and from the run": _sync(
        _ORIGIN, spec__mappings__1={"destination": "Name", "expression": "upper(name)", "metadata": "RunId"}
    ),
    "a mapping from nowhere": _sync(_ORIGIN, spec__mappings__1__source=GONE),
    "an empty expression": _sync(
        "spec.mappings[1].expression in body should be at least 1 chars long",
        "spec.mappings[1].expression: must not be empty",
        spec__mappings__1={"destination": "Name", "expression": ""},
    ),
    "a run that is asked for what it does not know": _sync(
        'spec.mappings[1].metadata: Unsupported value: "Host": supported values: "RunId", "RunName", "RunTime"',
        "spec.mappings[1].metadata: must be 'RunId', 'RunName', 'RunTime', 'Tick' or 'Sync'",
        spec__mappings__1={"destination": "Name", "metadata": "Host"},
    ),
    "a hash that ad platforms do not take": _sync(
        'spec.mappings[1].hash.algorithm: Unsupported value: "MD5": supported values: "SHA256"',
        "spec.mappings[1].hash.algorithm: must be 'SHA256'",
        spec__mappings__1__hash={"algorithm": "MD5"},
    ),
    "a hash of a value made uniform in an unknown way": _sync(
        'spec.mappings[1].hash.normalize: Unsupported value: "Upper": supported values: "None", "Trim"',
        "spec.mappings[1].hash.normalize: must be 'None', 'Trim', 'Lowercase', 'Email', 'Phone' or 'Digits'",
        spec__mappings__1__hash={"normalize": "Upper"},
    ),
    "a lookup that returns nothing": _sync(
        "spec.mappings[1].lookup.returnField: Required value",
        "spec.mappings[1].lookup.returnField: is required",
        spec__mappings__1__lookup={"object": "User", "matchField": "Email"},
    ),
    "a lookup that does not know what to do on a miss": _sync(
        'spec.mappings[1].lookup.onMiss: Unsupported value: "Create": supported values: "Skip", "Fail", "Null"',
        "spec.mappings[1].lookup.onMiss: must be 'Skip', 'Fail' or 'Null'",
        spec__mappings__1__lookup={"object": "User", "matchField": "Email", "returnField": "Id", "onMiss": "Create"},
    ),
    "a column left out that has no name": _sync(
        "spec.allColumns.exclude[0] in body should be at least 1 chars long",
        "spec.allColumns.exclude[0]: must not be empty",
        spec__allColumns={"exclude": [""]},
    ),
    "a destination field that is mapped twice": _sync(
        'spec.mappings[1]: Duplicate value: {"destination":"Id"}',
        "spec.mappings[1].destination: Id is mapped twice",
        spec__mappings__1__destination="Id",
    ),
    "an unknown cast": _sync(
        'Unsupported value: "int": supported values: "string", "number", "integer"',
        "spec.mappings[1].cast: must be 'string', 'number', 'integer'",
        spec__mappings__1__cast="int",
    ),
    "a constant that is a number": _sync(
        "spec.mappings[1].value in body must be of type string",
        "spec.mappings[1].value: must be text; put it in quotes",
        spec__mappings__1={"destination": "Name", "value": 5},
    ),
    "a key flag in quotes": _sync(
        "spec.mappings[0].key in body must be of type boolean",
        "spec.mappings[0].key: must be true or false",
        spec__mappings__0__key="yes",
    ),
    "a misspelt field of a mapping": _sync(
        'unknown field "spec.mappings[1].sorce"',
        "spec.mappings[1].sorce: unknown field; did you mean source?",
        spec__mappings__1__sorce="name",
    ),
    "a mode in words": _sync(
        "a mode is upsert, insert, update, delete, mirror, append, or one that the destination's connector declares",
        spec__mode="Full Refresh",
    ),
    "mappings without a key in mode insert": _sync(_KEY, spec__mappings__0__key=GONE, spec__mode="insert"),
    "an unknown way to find changes": _sync(
        'changeDetection.strategy: Unsupported value: "Log": supported values: "Snapshot", "Cursor", "None"',
        "spec.changeDetection.strategy: must be 'Snapshot', 'Cursor' or 'None'",
        spec__changeDetection={"strategy": "Log"},
    ),
    "a cursor without a column": _sync(_CURSOR, spec__changeDetection={"strategy": "Cursor"}),
    "a column for a snapshot": _sync(_CURSOR, spec__changeDetection={"strategy": "Snapshot", "column": "updated_at"}),
    "a column without a strategy": _sync(_CURSOR, spec__changeDetection={"column": "updated_at"}),
    "a lag of a snapshot": _sync("lag belongs to strategy Cursor", spec__changeDetection={"lag": "10m"}),
    "a lag in words": _sync(
        _LAG, spec__changeDetection={"strategy": "Cursor", "column": "updated_at", "lag": "a while"}
    ),
    "a lag of less than nothing": _sync(
        _LAG, spec__changeDetection={"strategy": "Cursor", "column": "updated_at", "lag": -1}
    ),
    "a mirror that does not read every row": _sync(
        "mode mirror must read every row to know which are gone; use changeDetection Snapshot",
        spec__mode="mirror",
        spec__changeDetection={"strategy": "Cursor", "column": "updated_at"},
    ),
    "an unknown state": _sync(
        'spec.state: Unsupported value: "Stopped": supported values: "Active", "Paused", "Draft"',
        "spec.state: must be 'Active', 'Paused' or 'Draft'",
        spec__state="Stopped",
    ),
    "cron with four fields": _sync(_CRON, spec__schedule__cron="0 6 * *"),
    "cron with seconds": _sync(_CRON, spec__schedule__cron="0 0 6 * * *"),
    "a cron nickname that nobody knows": _sync(_CRON, spec__schedule__cron="@reboot"),
    "a schedule without cron": _sync(
        "spec.schedule.cron: Required value", "spec.schedule.cron: is required", spec__schedule={"timeZone": "UTC"}
    ),
    "an empty time zone": _sync(
        "spec.schedule.timeZone in body should be at least 1 chars long",
        "spec.schedule.timeZone: must not be empty",
        spec__schedule={"cron": "0 6 * * *", "timeZone": ""},
    ),
    "a batch of nothing": _sync(
        "spec.delivery.batchSize in body should be greater than or equal to 1",
        "spec.delivery.batchSize: must be at least 1",
        spec__delivery__batchSize=0,
    ),
    "a batch beyond all measure": _sync(
        "spec.delivery.batchSize in body should be less than or equal to 100000",
        "spec.delivery.batchSize: must be at most 100000",
        spec__delivery__batchSize=100_001,
    ),
    "a number in quotes": _sync(
        "spec.delivery.batchSize in body must be of type integer",
        "spec.delivery.batchSize: must be a whole number",
        spec__delivery__batchSize="200",
    ),
    "65 calls in flight": _sync(
        "spec.delivery.maxInFlight in body should be less than or equal to 64",
        "spec.delivery.maxInFlight: must be at most 64",
        spec__delivery__maxInFlight=65,
    ),
    "no attempts": _sync(
        "spec.delivery.maxAttempts in body should be greater than or equal to 1",
        "spec.delivery.maxAttempts: must be at least 1",
        spec__delivery__maxAttempts=0,
    ),
    "a duration without a unit": _sync(_DURATION, spec__delivery__timeout="30"),
    "a duration in words": _sync(_DURATION, spec__runner__timeout="one hour"),
    "a time-out of nothing": _sync("must be longer than nothing: write for example 30s", spec__delivery__timeout="0s"),
    "an unknown answer to an unknown outcome": _sync(
        'spec.delivery.onUnknown: Unsupported value: "Drop": supported values: "Resend", "Hold", "Accept"',
        "spec.delivery.onUnknown: must be 'Resend', 'Hold' or 'Accept'",
        spec__delivery__onUnknown="Drop",
    ),
    "a canary of nothing": _sync(
        "spec.delivery.canary.records in body should be greater than or equal to 1",
        "spec.delivery.canary.records: must be at least 1",
        spec__delivery__canary={"records": 0},
    ),
    "a canary with fewer than no errors": _sync(
        "spec.delivery.canary.maxErrors in body should be greater than or equal to 0",
        "spec.delivery.canary.maxErrors: must be at least 0",
        spec__delivery__canary={"maxErrors": -1},
    ),
    "more than all deletes": _sync(_LIMIT, spec__guards__maxDeletes="101%"),
    "half a percent of creates": _sync(_LIMIT, spec__guards__maxCreates="0.5%"),
    "an error budget in words": _sync(_LIMIT, spec__guards__maxRejected="none"),
    "dead letters kept for ever": _sync(_DURATION, spec__deadLetters__retention="forever"),
    "room for no dead letter": _sync(
        "spec.deadLetters.maxEntries in body should be greater than or equal to 1",
        "spec.deadLetters.maxEntries: must be at least 1",
        spec__deadLetters__maxEntries=0,
    ),
    "more than all changes": _sync(_LIMIT, spec__guards__maxChanges="110%"),
    "fewer than no changes": _sync(_LIMIT, spec__guards__maxChanges=-1),
    "a limit in words": _sync(_LIMIT, spec__guards__maxChanges="few"),
    "fewer than no rows": _sync(
        "spec.guards.minRows in body should be greater than or equal to 0",
        "spec.guards.minRows: must be at least 0",
        spec__guards__minRows=-1,
    ),
    "an unknown answer to a breach": _sync(
        'spec.guards.onBreach: Unsupported value: "Ignore": supported values: "AwaitApproval", "Fail"',
        "spec.guards.onBreach: must be 'AwaitApproval' or 'Fail'",
        spec__guards__onBreach="Ignore",
    ),
    "cores in words": _sync(
        "write a number of cores, such as 2 or 500m", spec__runner__resources__limits={"cpu": "two"}
    ),
    "memory with a space": _sync(
        "write a number of bytes, such as 512Mi or 1Gi", spec__runner__resources__limits={"memory": "1 Gi"}
    ),
    "retries without end": _sync(
        "spec.runner.retries in body should be less than or equal to 20",
        "spec.runner.retries: must be at most 20",
        spec__runner__retries=21,
    ),
    "a history of less than nothing": _sync(
        "spec.history.failed in body should be greater than or equal to 0",
        "spec.history.failed: must be at least 0",
        spec__history__failed=-1,
    ),
    "a name too long for what is named after it": _sync(
        "metadata.name of a ReverseETLSync may have 45 characters, because others are named after it",
        metadata__name="a" * 46,
    ),
    "a reference with an impossible name": _sync(_NAME, spec__destinationRef__name="CRM"),
    # runs
    "a run of nothing": _run("spec.syncRef: Required value", "spec.syncRef: is required", spec={}),
    "a run in an unknown mode": _run(
        'spec.mode: Unsupported value: "Dry": supported values: "Sync", "Plan", "Replay"',
        "spec.mode: must be 'Sync', 'Plan' or 'Replay'",
        spec__mode="Dry",
    ),
    "a replay in a run that syncs": _run("replay belongs to mode Replay", spec__mode="Sync", spec__replay={}),
    "a replay in a run of no mode": _run("replay belongs to mode Replay", spec__replay={"codes": ["NULL_KEY"]}),
    "a replay of payloads that were never kept": _run(
        'spec.replay.payload: Unsupported value: "Old": supported values: "Fresh", "Stored"',
        "spec.replay.payload: must be 'Fresh' or 'Stored'",
        spec__mode="Replay",
        spec__replay={"payload": "Old"},
    ),
    "a replay of more entries than one can name": _run(
        "spec.replay.entries: Too many: 1001: must have at most 1000 items",
        "spec.replay.entries: may have at most 1000 items, and has 1001",
        spec__mode="Replay",
        spec__replay={"entries": [f"e{n}" for n in range(1001)]},
    ),
    "a tick without a zone": _run(
        "spec.tick in body must be of type date-time",
        "spec.tick: '2026-01-31T23:59:00': write a moment with its zone, such as 2026-01-31T23:59:00Z",
        spec__tick="2026-01-31T23:59:00",
    ),
    "a tick in words": _run(
        "spec.tick in body must be of type date-time", "write a moment with its zone", spec__tick="yesterday"
    ),
    "a run with a name too long for its Jobs": _run(
        "metadata.name of a SyncRun may have 58 characters, because others are named after it",
        metadata__name="a" * 59,
    ),
    "an approval of nothing in particular": _run(
        "spec.approval.planHash: Required value", "spec.approval.planHash: is required", spec__approval={}
    ),
    "a cancellation in words": _run(
        "spec.cancel in body must be of type boolean", "spec.cancel: must be true or false", spec__cancel="now"
    ),
}
