"""What a run is about to write, as a hash that a person's approval can name."""

import hashlib

from retl.destinations.registry import DESTINATIONS
from retl.engine.diff import Changes
from retl.engine.snapshot import raw_hashes
from retl.engine.values import literal
from retl.engine.workspace import Workspace
from retl.runspec.spec import RunSpec

HASH_LENGTH = 32
_ROWS = 65_536


def baseline(spec: RunSpec) -> str:
    """Fingerprint of where the snapshot's records are: another place, object or key begins a new snapshot.

    Raises:
        InvalidInput: the destination's settings are not valid.
    """
    config = DESTINATIONS.check(spec.destination.connector, spec.destination.config)
    place = [f"{name}={getattr(config, name)}" for name in sorted(config.place)]
    parts = [spec.destination.uid, spec.destination.connector, *place, "", spec.object, *spec.primary_key]
    keys = [m.destination for m in spec.mappings if m.key]
    text = "\0".join([*parts, "", *keys])
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def plan_hash(spec: RunSpec, changes: Changes, work: Workspace) -> str:
    """Hash over the planned changes in the order of their keys, the baseline and the mode; blocks."""
    digest = hashlib.sha256(f"{baseline(spec)}\0{spec.mode}\0".encode())
    with work.database.cursor() as cursor:
        planned = cursor.sql(
            f"SELECT CAST(k AS BLOB) AS k, CAST(r AS BLOB) AS r FROM read_parquet({literal(str(changes.path))}) "
            "WHERE verdict IN ('create', 'update') ORDER BY 1, 2"
        ).to_arrow_reader(_ROWS)
        for batch in planned:
            digest.update(raw_hashes(batch.column("k")))
            digest.update(raw_hashes(batch.column("r")))
    return digest.hexdigest()[:HASH_LENGTH]
