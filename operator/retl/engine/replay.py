"""Dead letters on their way back: which rows a replay sends, and the records that were kept of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from retl.engine.mapping import Projection
from retl.engine.records import kept_keys
from retl.engine.snapshot import hashes
from retl.engine.stage import LAYOUT, Staged
from retl.engine.values import literal, quoted
from retl.engine.workspace import Workspace
from retl.errors import InvalidInput
from retl.resources.run import Replay
from retl.runspec.spec import RunIdentity, RunSpec
from retl.sources.base import Source
from retl.state.store import GONE, Claim, KeptLetter, StateStore

_GROUP = 1_000
_SCHEMA = pa.schema([("p", pa.uuid()), ("k", pa.uuid()), ("r", pa.uuid()), ("payload", pa.string())])


async def chosen(state: StateStore, claim: Claim, run: RunIdentity) -> bytes:
    """Primary key hashes of the rows that a replay sends; none for any other run."""
    if run.mode != "Replay":
        return b""
    keys = bytearray()
    async for letter in state.letters(claim, run.replay or Replay()):
        keys += letter.key
    return bytes(keys)


async def stage_kept(
    spec: RunSpec,
    source: Source,
    letters: AsyncIterator[KeptLetter],
    compile_mapping: Callable[[pa.Schema], Projection],
    work: Workspace,
) -> Staged:
    """Stage the records as they were kept, in the place of what the source has now.

    Raises:
        InvalidInput: no entry has a record that could be sent.
    """
    kept = work.file("kept.parquet")
    count = await _write(letters, kept)
    if not count:
        raise InvalidInput(
            "replay: none of the chosen dead letters has a record that could be sent as it was kept "
            "(deadLetters.storePayload is off, or they were never valid); replay them Fresh"
        )
    columns = await asyncio.to_thread(source.columns, spec.query)
    mapping = compile_mapping(columns)
    path = work.file("stage.parquet")
    row = ", ".join(await asyncio.to_thread(_stage, spec, mapping, columns, kept, path, work))
    return Staged(path, count, pa.schema([]), replace(mapping, row=row, sent=row, payload=None), complete=False)


async def _write(letters: AsyncIterator[KeptLetter], path: Path) -> int:
    count = 0
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        group: list[KeptLetter] = []
        async for letter in letters:
            if letter.payload is None or letter.row == GONE or not letter.operation:
                continue
            group.append(letter)
            count += 1
            if len(group) == _GROUP:
                writer.write_table(_table(group))
                group = []
        writer.write_table(_table(group))
    return count


def _table(letters: list[KeptLetter]) -> pa.Table:
    return pa.table(
        [
            hashes(b"".join(letter.key for letter in letters)),
            hashes(b"".join(letter.record or letter.key for letter in letters)),
            hashes(b"".join(letter.row for letter in letters)),
            pa.array([(letter.payload or b"").decode() for letter in letters], pa.string()),
        ],
        schema=_SCHEMA,
    )


def _stage(
    spec: RunSpec, mapping: Projection, columns: pa.Schema, kept: Path, path: Path, work: Workspace
) -> list[str]:
    """Give the kept records the columns that staged rows have once they are sent, and name those; blocks."""
    with work.database.cursor() as cursor:
        used = [columns.field(at) for at in mapping.columns]
        schema = pa.schema([pa.field(f"c{i}", field.type) for i, field in enumerate(used)])
        cursor.register("source", pa.RecordBatchReader.from_batches(schema, []))
        described = cursor.execute(f"DESCRIBE SELECT {mapping.row} FROM ({mapping.sql})").fetchall()
        types = {name: kind for name, kind, *_ in described}
        names = {f"v{i}": m.destination for i, m in enumerate(spec.mappings)}
        values = {name: _value(names[name], kind) for name, kind in types.items() if name in names}
        keys = [m.destination for m in spec.mappings if m.key]
        given = {"payload": "payload", "key_record": kept_keys(keys, nested=mapping.nested)} | values
        select = ", ".join(f"{given.get(name, f'CAST(NULL AS {kind})')} AS {name}" for name, kind in types.items())
        cursor.execute(
            f"COPY (SELECT p, k, r, CAST(NULL AS SMALLINT) AS bad, {select} FROM read_parquet({literal(str(kept))})) "
            f"TO {literal(str(path))} ({LAYOUT})"
        )
    return list(types)


def _value(field: str, kind: str) -> str:
    """SQL of a field of the record as the type that its column has."""
    where = literal(f"$.{quoted(field)}")
    text = f"json_extract_string(payload, {where})"
    if kind == "BLOB":
        return f"from_base64({text})"
    return f"CAST(json_extract(payload, {where}) AS {kind})" if kind.endswith("[]") else f"CAST({text} AS {kind})"
