"""Any spec that a sync may have, in every form in which a manifest may write it: for proofs that nothing is lost."""

from typing import Any

from hypothesis import strategies as st

from retl.resources.sync import ReverseETLSyncSpec

Spec = dict[str, Any]

_SIGNS = st.characters(codec="utf-8", exclude_characters="\0")
TEXT = st.text(_SIGNS, max_size=12)
COLUMN = st.sampled_from(["id", "email", "first name", "a,b", " ", "'x'", "{{RunId}}", 'say "no"']) | st.text(
    _SIGNS, min_size=1, max_size=12
)
NAME = st.sampled_from(["accounts", "crm", "a-1.b"])
NAMED = st.fixed_dictionaries({"name": NAME})
DURATION = st.sampled_from(["30s", "90s", "1h30m", "7d"])
LIMIT = st.integers(0, 5000) | st.sampled_from(["0%", "10%"])
CRON = st.sampled_from(["0 */6 * * *", "15 3 * * mon-fri", "@daily"])
MOMENT = "2026-0{}-01T00:00:00+02:00"


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    """An object with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


LOOKUP = st.fixed_dictionaries(
    {"object": COLUMN, "matchField": COLUMN, "returnField": COLUMN},
    optional={"onMiss": st.sampled_from(["Skip", "Fail", "Null"])},
)
HASH = _some(algorithm=st.just("SHA256"), normalize=st.sampled_from(["None", "Trim", "Email"]))
ORIGIN = st.one_of(
    st.fixed_dictionaries({"source": COLUMN}),
    st.fixed_dictionaries({"expression": st.sampled_from(["upper(country)", "email", "'a'"]) | COLUMN}),
    st.fixed_dictionaries({"value": TEXT}),
    st.fixed_dictionaries({"metadata": st.sampled_from(["RunId", "RunTime", "Sync"])}),
)
FURTHER = _some(
    cast=st.sampled_from(["string", "number", "timestamp"]),
    key=st.booleans(),
    skipNulls=st.booleans(),
    onlyIfEmpty=st.booleans(),
    hash=HASH,
    lookup=LOOKUP,
    sensitive=st.booleans(),
)
MAPPINGS = st.lists(
    st.builds(lambda destination, origin, rest: {"destination": destination} | origin | rest, COLUMN, ORIGIN, FURTHER),
    max_size=4,
    unique_by=lambda mapping: str(mapping["destination"]),
)
BLACKOUT = st.one_of(
    st.fixed_dictionaries({"cron": CRON, "duration": DURATION}, optional={"reason": TEXT}),
    st.just({"start": MOMENT.format(1), "end": MOMENT.format(2)}),
)
DEPENDENCY = st.fixed_dictionaries(
    {"syncRef": NAMED}, optional={"maxAge": DURATION, "onFailure": st.sampled_from(["Skip", "Wait"])}
)
SCHEDULE = st.fixed_dictionaries(
    {"cron": CRON},
    optional={
        "timeZone": st.sampled_from(["UTC", "Europe/Vienna"]),
        "startingDeadline": DURATION,
        "catchUp": st.sampled_from(["None", "Latest", "All"]),
        "jitter": DURATION,
        "blackouts": st.lists(BLACKOUT, max_size=2),
        "dependsOn": st.lists(DEPENDENCY, max_size=2),
        "freshness": st.just({"sql": "SELECT max(loaded_at) FROM accounts"}),
    },
)
CHANGE_DETECTION: st.SearchStrategy[Spec] = st.one_of(
    st.just({}),
    st.sampled_from([{"strategy": "Snapshot"}, {"strategy": "None"}]),
    st.fixed_dictionaries({"strategy": st.just("Cursor"), "column": COLUMN}, optional={"lag": DURATION}),
)
ROWS = st.one_of(
    st.fixed_dictionaries({"modelRef": NAMED}, optional={"primaryKey": st.lists(COLUMN, max_size=2)}),
    st.fixed_dictionaries(
        {
            "query": st.fixed_dictionaries({"sourceRef": NAMED, "sql": st.just("SELECT * FROM accounts")}),
            "primaryKey": st.lists(COLUMN, min_size=1, max_size=2),
        }
    ),
)
REST = st.fixed_dictionaries(
    {"destinationRef": NAMED, "object": COLUMN},
    optional={
        "displayName": TEXT,
        "description": TEXT,
        "mode": st.sampled_from(["upsert", "insert", "mirror", "append", "delete", "own_mode"]),
        "mappings": MAPPINGS,
        "allColumns": _some(exclude=st.lists(COLUMN, max_size=2)),
        "schedule": SCHEDULE,
        "state": st.sampled_from(["Active", "Paused", "Draft"]),
        "changeDetection": CHANGE_DETECTION,
        "delivery": _some(
            concurrency=st.integers(1, 64),
            onUnknown=st.sampled_from(["Resend", "Hold", "Accept"]),
            timeout=DURATION,
        ),
        "guards": _some(maxCreates=LIMIT, maxDeletes=LIMIT, onBreach=st.sampled_from(["AwaitApproval", "Fail"])),
        "deadLetters": _some(storePayload=st.booleans(), maxEntries=st.integers(1, 100)),
        "history": _some(successful=st.integers(0, 20)),
        "runner": _some(
            retries=st.integers(0, 5), resources=_some(limits=_some(memory=st.sampled_from(["512Mi", "1Gi"])))
        ),
    },
)


def valid(spec: Spec) -> bool:
    """Whether the manifest's own rules take it."""
    try:
        read(spec)
    except ValueError:
        return False
    return True


def read(spec: Spec) -> ReverseETLSyncSpec:
    """A spec with all its defaults, to compare what two of them mean."""
    return ReverseETLSyncSpec.model_validate(spec, by_alias=True, by_name=False)


def _completed(rows: Spec, rest: Spec) -> Spec:
    """With a key and something to map, so that most of what is drawn is valid."""
    spec = rows | rest
    if not spec.get("mappings") and "allColumns" not in spec:
        spec["mappings"] = [{"destination": "Id", "source": "id"}]
    if spec.get("mappings") and "allColumns" not in spec and not any(m.get("key") for m in spec["mappings"]):
        spec["mappings"] = [spec["mappings"][0] | {"key": True}, *spec["mappings"][1:]]
    return spec


SPECS = st.builds(_completed, ROWS, REST).filter(valid)
