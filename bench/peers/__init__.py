"""Other tools on the same rows, each in a virtual environment of its own with the versions of its requirements file.

Telemetry is switched off. Each function runs one of them as its documentation says is fastest.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from bench.environments import environment
from bench.measure import Measured, measure
from bench.stage import Sink, Stage
from bench.tables import Table

HERE = Path(__file__).parent
QUIET = {
    "DO_NOT_TRACK": "1",
    "DRT_TELEMETRY": "0",
    "INGESTR_DISABLE_TELEMETRY": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
}
NO_LIMIT = {"requests_per_second": 1_000_000}


def dlt(stage: Stage, table: Table, rows: int, *, anew: bool = False) -> Measured:
    """Merge into schema `dlt` of the target: ConnectorX, Parquet, ADBC, MERGE; `anew` forgets earlier runs."""
    if anew:
        shutil.rmtree(stage.directory / "dlt", ignore_errors=True)
    script: list[str | Path] = [environment(HERE / "dlt.txt") / "python", HERE / "dlt_copy.py"]
    command = [*script, stage.warehouse, stage.target, table.name, "state"]
    return measure(command, rows=rows, cwd=_directory(stage, "dlt"), env=QUIET)


def ingestr(stage: Stage, table: Table, rows: int) -> Measured:
    """Merge into schema `ingestr` of the target."""
    command: list[str | Path] = [environment(HERE / "ingestr.txt") / "ingestr", "ingest", "--yes", "--progress", "log"]
    command += ["--sql-backend", "pyarrow"]
    command += ["--source-uri", f"{stage.warehouse}?sslmode=disable", "--source-table", f"public.{table.name}"]
    command += ["--dest-uri", f"{stage.target}?sslmode=disable", "--dest-table", f"ingestr.{table.name}"]
    command += ["--incremental-strategy", "merge", "--primary-key", "id"]
    return measure(command, rows=rows, cwd=_directory(stage, "ingestr"), env=QUIET)


def drt(
    stage: Stage, table: Table, rows: int, to: Sink | None = None, *, fields: Sequence[str] = (), verb: str = "run"
) -> Measured:
    """Upsert the rows with the smallest ids into schema `drt` of the target by batches of 5,000, or post 500 a call."""
    destination: dict[str, object]
    if to:
        destination = {
            "type": "rest_api",
            "url": to.url,
            "headers": {"Content-Type": "application/json"},
            "body_mode": "batch",
            "batch_template": '{"records": {{ rows | tojson_safe }}}',
            "max_records_per_request": 500,
        }
    else:
        destination = {**_login(stage, "target"), "table": f"drt.{table.name}", "upsert_key": ["id"]}
    columns = ", ".join(fields) or "*"
    sync = {
        "name": "sync",
        "model": f"SELECT {columns} FROM {table.name} WHERE id <= {rows}",
        "destination": destination,
        "sync": {"mode": "full" if to else "upsert", "batch_size": 5_000, "rate_limit": NO_LIMIT},
    }
    return _drt(stage, sync, rows, verb)


def drt_default(stage: Stage, table: Table, rows: int, to: Sink) -> Measured:
    """Post rows with no setting but the address; without times and decimals, which it cannot write so."""
    columns = "id, name, email, country, city, employees, score, active, notes"
    sync = {
        "name": "sync",
        "model": f"SELECT {columns} FROM {table.name} WHERE id <= {rows}",
        "destination": {"type": "rest_api", "url": to.url},
    }
    return _drt(stage, sync, rows, "run")


def _drt(stage: Stage, sync: Mapping[str, object], rows: int, verb: str) -> Measured:
    directory = _directory(stage, "drt")
    (directory / "drt_project.yml").write_text(yaml.safe_dump({"name": "bench", "version": "0.1", "profile": "pg"}))
    (directory / ".drt").mkdir(exist_ok=True)
    (directory / ".drt" / "profiles.yml").write_text(yaml.safe_dump({"pg": _login(stage, "warehouse")}))
    (directory / "syncs").mkdir(exist_ok=True)
    (directory / "syncs" / "sync.yml").write_text(yaml.safe_dump(dict(sync)))
    env = {**QUIET, "HOME": str(directory), "DRT_PASSWORD": stage.server.password}
    arguments = ["run", "-o", "json"] if verb == "run" else ["plan", "sync", "--out", "plan.json"]
    measured = measure([environment(HERE / "drt.txt") / "drt", *arguments], rows=rows, cwd=directory, env=env)
    if verb == "run" and (synced := json.loads(measured.stdout)["syncs"][0]["rows_synced"]) != rows:
        raise RuntimeError(f"drt wrote {synced} rows, not {rows}")
    return measured


def _login(stage: Stage, database: str) -> dict[str, object]:
    return {
        "type": "postgres",
        "host": stage.server.host,
        "port": stage.server.port,
        "dbname": database,
        "user": stage.server.user,
        "password_env": "DRT_PASSWORD",
    }


def _directory(stage: Stage, name: str) -> Path:
    directory = stage.directory / name
    directory.mkdir(exist_ok=True)
    return directory
