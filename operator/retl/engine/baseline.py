"""What the snapshot is a snapshot of: the destination's place, the object, the mode and the keys.

When one of these changes, what was recorded speaks of other records: the sync starts anew, and nothing is deleted. When
only the mappings change, rows differ and are sent again. Both are said in the plan before they happen.
"""

import hashlib
import json
from collections.abc import Sequence

from retl.destinations.registry import DESTINATIONS
from retl.resources.sync import Mapping
from retl.runspec.spec import RunSpec

_LENGTH = 32
_WORDS = {
    "destination": "the destination",
    "object": "the object",
    "mode": "the mode",
    "primaryKey": "the primary key",
    "key": "the key fields",
    "cursor": "the cursor",
}


def baseline(spec: RunSpec) -> str:
    """The baseline as JSON.

    Raises:
        InvalidInput: the destination's settings are not valid.
    """
    config = DESTINATIONS.check(spec.destination.connector, spec.destination.config)
    place = [f"{name}={getattr(config, name)}" for name in sorted(config.place)]
    keys = [[m.destination, m.source or m.expression] for m in spec.mappings if m.key] or spec.primary_key
    return json.dumps(
        {
            "destination": _digest([spec.destination.uid, spec.destination.connector, *place]),
            "object": spec.object,
            "mode": spec.mode,
            "primaryKey": spec.primary_key,
            "key": keys,
            "cursor": spec.change_detection.column if spec.change_detection.strategy == "Cursor" else None,
        },
        sort_keys=True,
    )


def mapping_fingerprint(mappings: Sequence[Mapping]) -> str:
    """Changes whenever the mappings do."""
    return _digest([m.model_dump_json(exclude_defaults=True) for m in mappings])


def notes(previous: str | None, now: str, mapping_before: str, mapping_now: str) -> list[str]:
    """What is to be said of a sync that changed since its last run."""
    if previous is None:
        return ["first run: this sync has written nothing yet"]
    if previous != now:
        before, after = json.loads(previous), json.loads(now)
        changed = [words for name, words in _WORDS.items() if before.get(name) != after.get(name)]
        kept = "" if after["mode"] == "delete" else ", and nothing that was written before is deleted"
        return [
            f"{' and '.join(changed)} changed since the last run: the snapshot starts anew, all rows count as new{kept}"
        ]
    if mapping_before and mapping_before != mapping_now:
        return ["the mappings changed since the last run: rows whose mapped values differ by it are sent again"]
    return []


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_LENGTH]
