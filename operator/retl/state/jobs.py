"""Jobs that a destination has taken and not spoken of yet, so that the next runner asks for them."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from retl.state.sealing import Sealer
from retl.state.store import HASH_BYTES, OpenJob
from retl.state.tables import jobs


def put(connection: Connection, sync_uid: str, job: OpenJob, sealer: Sealer) -> None:
    """Remember a job; one of the same id is replaced."""
    if not len(job.keys) == len(job.rows) == len(job.marks) or len(job.keys) % HASH_BYTES:
        raise ValueError("keys, rows and marks of a job are not hashes of as many records")
    values = {
        "run_uid": job.run_uid,
        "operation": job.operation,
        "submitted_at": job.submitted_at,
        "handle": sealer.seal(job.handle.encode(), _place(sync_uid, job.id)),
        "hashes": job.keys + job.rows + job.marks,
    }
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(jobs).values(sync_uid=sync_uid, id=job.id, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["sync_uid", "id"], set_=values))


def of(connection: Connection, sync_uid: str, sealer: Sealer) -> list[OpenJob]:
    """The jobs of a sync, oldest first."""
    rows = connection.execute(select(jobs).where(jobs.c.sync_uid == sync_uid).order_by(jobs.c.submitted_at, jobs.c.id))
    found = []
    for row in rows:
        hashes = bytes(row.hashes)
        third = len(hashes) // 3
        found.append(
            OpenJob(
                id=row.id,
                handle=sealer.open(row.handle, _place(sync_uid, row.id)).decode(),
                run_uid=row.run_uid,
                operation=row.operation,
                submitted_at=row.submitted_at,
                keys=hashes[:third],
                rows=hashes[third : 2 * third],
                marks=hashes[2 * third :],
            )
        )
    return found


def end(connection: Connection, sync_uid: str, ids: Sequence[str]) -> None:
    """Forget some jobs."""
    connection.execute(delete(jobs).where(jobs.c.sync_uid == sync_uid, jobs.c.id.in_(ids)))


def drop(connection: Connection, sync_uid: str) -> None:
    """Forget all jobs of a sync: they wrote somewhere else."""
    connection.execute(delete(jobs).where(jobs.c.sync_uid == sync_uid))


def _place(sync_uid: str, id: str) -> str:
    return f"job {id} of sync {sync_uid}"
