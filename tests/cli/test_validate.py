"""`retl validate` names each object, and whatever can be known to be wrong without connecting to anything."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.accounts import project
from tests.cli.retl_command import retl
from tests.examples.crm_process import RunningCrm, running_crm

GOOD = """
apiVersion: reverseetl.io/v1alpha1
kind: SyncSource
metadata: {name: files}
spec: {connector: duckdb, config: {files: {accounts: accounts.csv}}}
---
apiVersion: reverseetl.io/v1alpha1
kind: SyncModel
metadata: {name: accounts}
spec: {sourceRef: {name: files}, table: accounts, primaryKey: [id]}
---
apiVersion: reverseetl.io/v1alpha1
kind: SyncDestination
metadata: {name: crm}
spec: {connector: http, config: {url: "http://127.0.0.1:1/{object}"}}
---
apiVersion: reverseetl.io/v1alpha1
kind: ReverseETLSync
metadata: {name: accounts-to-crm}
spec:
  modelRef: {name: accounts}
  destinationRef: {name: crm}
  object: account
  mappings: [{source: id, destination: id, key: true}]
  schedule: {cron: "0 6 * * *"}
---
apiVersion: reverseetl.io/v1alpha1
kind: SyncRun
metadata: {generateName: by-hand-}
spec: {syncRef: {name: accounts-to-crm}}
"""

ALWAYS = [{"cron": "0 0 * * *", "duration": "1d"}]


def _write(folder: Path, text: str = GOOD) -> str:
    (folder / "all.yaml").write_text(text)
    return "all.yaml"


def _changed(kind: str, path: str, value: Any) -> str:
    documents = list(yaml.safe_load_all(GOOD))
    target = next(d for d in documents if d["kind"] == kind)["spec"]
    *parents, last = path.split(".")
    for part in parents:
        target = target[part]
    target[last] = value
    return yaml.safe_dump_all(documents)


def test_every_object_that_is_right_is_said_to_be_ok(tmp_path: Path) -> None:
    answer = retl("validate", "-f", _write(tmp_path), cwd=tmp_path)
    assert answer.out.splitlines() == [
        "SyncSource files: ok",
        "SyncModel accounts: ok",
        "SyncDestination crm: ok",
        "ReverseETLSync accounts-to-crm: ok",
        "SyncRun by-hand-*: ok",
    ]
    assert (answer.code, answer.err) == (0, "")


def test_files_directories_and_stdin_are_read_together(tmp_path: Path) -> None:
    documents = GOOD.split("---\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "source.yaml").write_text(documents[0])
    (tmp_path / "model.yaml").write_text(documents[1])
    args = ["validate", "-f", "folder", "-f", "model.yaml", "-f", "-"]
    answer = retl(*args, cwd=tmp_path, stdin="---\n".join(documents[2:]))
    assert (answer.code, len(answer.out.splitlines())) == (0, 5)


BAD_CONSTANT = [
    {"source": "id", "destination": "id", "key": True},
    {"value": "many", "destination": "seats", "cast": "integer"},
]


@pytest.mark.parametrize(
    ("kind", "path", "value", "says"),
    [
        ("SyncSource", "connector", "duckbd", "spec.connector: there is no source connector 'duckbd'; did you mean"),
        ("SyncSource", "config", {"pth": "x.duckdb"}, "spec.config.pth: unknown field; did you mean path?"),
        ("SyncSource", "connector", "postgres", "spec.config.host: is required"),
        ("SyncDestination", "config.url", "ftp://x", "spec.config.url: must begin with http:// or https://"),
        (
            "SyncDestination",
            "config.idempotency",
            {"header": "Idempotency Key"},
            "spec.config.idempotency.header: 'Idempotency Key': a header's name has letters",
        ),
        ("SyncModel", "sourceRef.name", "lake", "spec.sourceRef.name: there is no SyncSource 'lake' in these files"),
        ("SyncRun", "syncRef.name", "x", "spec.syncRef.name: there is no ReverseETLSync 'x' in these files"),
        ("ReverseETLSync", "destinationRef.name", "x", "spec.destinationRef.name: there is no SyncDestination 'x'"),
        ("ReverseETLSync", "modelRef.name", "x", "spec.modelRef.name: there is no SyncModel 'x'"),
        ("ReverseETLSync", "schedule.cron", "61 * * * *", "spec.schedule.cron: "),
        ("ReverseETLSync", "schedule.cron", "0 0 30 2 *", "spec.schedule.cron: '0 0 30 2 *' never fires"),
        ("ReverseETLSync", "schedule.timeZone", "Europe/Wien", "spec.schedule.timeZone: there is no time zone"),
        ("ReverseETLSync", "schedule.blackouts", ALWAYS, "spec.schedule.blackouts: they cover every tick until"),
        ("ReverseETLSync", "mappings", BAD_CONSTANT, "spec.mappings[1].value: 'many' cannot be cast to integer"),
    ],
)
def test_a_problem_is_named_at_its_field(tmp_path: Path, kind: str, path: str, value: Any, says: str) -> None:
    file = _write(tmp_path, _changed(kind, path, value))
    answer = retl("validate", "-f", file, cwd=tmp_path)
    lines = answer.out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(kind))
    assert lines[at].endswith(":")
    assert lines[at + 1].startswith(f"  {says}")
    assert answer.code == 2


def test_a_circle_of_syncs_is_named_in_each_of_its_members(tmp_path: Path) -> None:
    documents = list(yaml.safe_load_all(GOOD))
    first = next(d for d in documents if d["kind"] == "ReverseETLSync")
    second = yaml.safe_load(yaml.safe_dump(first)) | {"metadata": {"name": "second"}}
    first["spec"]["schedule"]["dependsOn"] = [{"syncRef": {"name": "second"}}]
    second["spec"]["schedule"]["dependsOn"] = [{"syncRef": {"name": "accounts-to-crm"}}]
    _write(tmp_path, yaml.safe_dump_all([*documents, second]))
    finished = retl("validate", "-f", "all.yaml", cwd=tmp_path)
    assert finished.code == 2
    circle = "spec.schedule.dependsOn: syncs wait for each other in a circle: "
    assert f"{circle}accounts-to-crm → second → accounts-to-crm" in finished.out
    assert f"{circle}second → accounts-to-crm → second" in finished.out


def test_a_connector_that_needs_a_login_says_so(tmp_path: Path) -> None:
    config = {"host": "h", "database": "d"}
    text = _changed("SyncSource", "config", config).replace("connector: duckdb", "connector: postgres")
    answer = retl("validate", "-f", _write(tmp_path, text), cwd=tmp_path)
    assert "spec.credentials.username: is required" in answer.out
    assert "set credentials.secretRef.name" in answer.out


def test_a_broken_manifest_is_named_with_its_line(tmp_path: Path) -> None:
    file = _write(tmp_path, GOOD.replace("modelRef:", "modelref:"))
    answer = retl("validate", "-f", file, cwd=tmp_path)
    assert answer.code == 2
    assert (
        "all.yaml:21: ReverseETLSync accounts-to-crm: spec.modelref: unknown field; did you mean modelRef?"
        in answer.err
    )
    assert not answer.out


def test_json_is_one_object(tmp_path: Path) -> None:
    file = _write(tmp_path, _changed("SyncModel", "sourceRef.name", "lake"))
    found = retl("validate", "-f", file, "-o", "json", cwd=tmp_path).object
    assert found["ok"] is False
    model = next(each for each in found["objects"] if each["kind"] == "SyncModel")
    assert model == {
        "kind": "SyncModel",
        "namespace": "default",
        "name": "accounts",
        "ok": False,
        "problems": ["spec.sourceRef.name: there is no SyncSource 'lake' in these files"],
        "warnings": [],
    }


def test_files_that_hold_nothing_of_ours_are_wrong_input(tmp_path: Path) -> None:
    answer = retl(
        "validate", "-f", _write(tmp_path, "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n"), cwd=tmp_path
    )
    assert answer.code == 2
    assert "no objects of reverseetl.io" in answer.err


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ({"ReverseETLSync.primaryKey": ["acount_id"]}, 'spec.primaryKey[0]: unknown column "acount_id"'),
        (
            {"ReverseETLSync.query": {"sourceRef": {"name": "files"}, "sql": "SELECT * FROM acounts"}},
            "source files: ",
        ),
        (
            {"SyncDestination.config": {"url": "http://127.0.0.1:1/", "checkUrl": "http://127.0.0.1:1/"}},
            "destination crm: ",
        ),
        ({"SyncDestination.credentials": {"secretRef": {"name": "nowhere"}}}, "Secret nowhere: there is no directory"),
    ],
    ids=["column", "table", "address", "secret"],
)
def test_connecting_finds_what_only_the_two_ends_know(tmp_path: Path, edits: dict[str, Any], says: str) -> None:
    accounts = project(tmp_path, RunningCrm("http://127.0.0.1:1", "token"))
    for where, value in edits.items():
        kind, field = where.split(".")
        accounts.edit(kind, **{field: value})
    options = ["-f", "accounts.yaml", "--secrets-dir", "secrets"]
    assert retl("validate", *options, cwd=tmp_path).code == 0
    answer = retl("validate", *options, "--check", cwd=tmp_path)
    assert answer.code == 1
    problem = answer.out.splitlines()[-1]
    assert problem.startswith(f"  {says}")
    assert answer.out.splitlines()[:2] == ["SyncSource files: ok", "SyncDestination crm: ok"]


def test_connecting_to_ends_that_are_there_is_ok_and_writes_nothing(tmp_path: Path) -> None:
    with running_crm() as crm:
        accounts = project(tmp_path, crm)
        accounts.edit(
            "SyncDestination", config=accounts.config("SyncDestination") | {"checkUrl": f"{crm.url}/api/stats"}
        )
        options = ["-f", "accounts.yaml", "--secrets-dir", "secrets", "--check"]
        assert retl("validate", *options, cwd=tmp_path).code == 0
        (accounts.secrets / "crm-login" / "token").write_text("wrong")
        answer = retl("validate", *options, cwd=tmp_path)
        assert answer.code == 1
        assert "refused the credentials" in answer.out
        assert crm.stats()["calls"] == 0


def test_what_needs_no_engine_is_checked_where_it_is_not_installed(tmp_path: Path) -> None:
    without = (
        "import sys; sys.modules.update(dict.fromkeys(['duckdb', 'pyarrow', 'sqlglot', 'adbc_driver_postgresql']))\n"
        "from retl.cli import main; main()"
    )

    def validate(mapping: dict[str, Any]) -> tuple[int, str]:
        key = {"source": "id", "destination": "id", "key": True}
        file = _write(tmp_path, _changed("ReverseETLSync", "mappings", [key, {"destination": "name"} | mapping]))
        command = [sys.executable, "-c", without, "validate", "-f", file]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    assert "accounts-to-crm: ok" in validate({"source": "name"})[1]
    code, said = validate({"expression": "upper(name)"})
    assert code == 0
    assert "warning: spec.mappings[1].expression: not checked without the engine" in said
    code, said = validate({"metadata": "RunId", "cast": "integer"})
    assert code == 2
    assert "spec.mappings[1].cast: RunId cannot be cast to integer" in said
