"""Checks of a connection by the runner's real process: what they find, what they fail with, and what they hand in."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from retl.destinations.registry import DESTINATIONS
from retl.runner.execute import TERMINATION_MESSAGE_MAX, termination_message
from retl.runspec import catalog as catalogs
from retl.runspec import pod
from retl.runspec.catalog import MAX_FIELDS, Catalog, CatalogField, CatalogObject, bounded
from retl.runspec.check import CheckResult, CheckSpec
from retl.state.sql import SqlStateStore
from tests.destinations.endpoint import Endpoint
from tests.engine.warehouse import Warehouse
from tests.postgres import free_port
from tests.rest.service import serving

ACCOUNTS = "CREATE TABLE accounts (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, plan text)"


class Checker:
    """Runs checks of one connection; its Secret is `login`."""

    def __init__(self, directory: Path, state_url: str, kind: str, connector: str, config: dict[str, Any]) -> None:
        self.directory = directory
        self.state_url = state_url
        connection = {"name": "it", "uid": "uid-of-it", "connector": connector, "config": config, "secret": "login"}
        self.spec: dict[str, Any] = {"kind": kind, "namespace": "growth", "number": 1, "connection": connection}
        self.log_in({})
        (directory / "token").write_text("token-of-growth")

    def log_in(self, values: dict[str, str]) -> None:
        secret = self.directory / "secrets" / "login"
        secret.mkdir(parents=True, exist_ok=True)
        for name, value in values.items():
            (secret / name).write_text(value)

    async def check(self, **more: Any) -> tuple[int, CheckResult]:
        """Exit code and termination message of `retl execute`."""
        spec = CheckSpec.model_validate(self.spec | more)
        (self.directory / "check.json").write_text(spec.model_dump_json(by_alias=True, exclude_none=True))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys; from retl.runner.execute import main; sys.exit(main())",
            env={
                "PATH": os.environ["PATH"],
                pod.ENV_CHECK_SPEC: str(self.directory / "check.json"),
                pod.ENV_SECRETS_DIR: str(self.directory / "secrets"),
                pod.ENV_STATE_URL: self.state_url,
                pod.ENV_STATE_TOKEN_FILE: str(self.directory / "token"),
                pod.ENV_TERMINATION_LOG: str(self.directory / "termination"),
            },
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            _, log = await process.communicate()
        assert process.returncode is not None
        said = (self.directory / "termination").read_text()
        assert "secret-word" not in said + log.decode()
        return process.returncode, CheckResult.model_validate_json(said)


@pytest.fixture
async def service(state: SqlStateStore) -> AsyncIterator[str]:
    async with serving(state) as url:
        yield url


async def kept(state: SqlStateStore) -> Catalog:
    text = await state.catalog("growth", "uid-of-it")
    assert text is not None
    return Catalog.model_validate_json(text)


def names(found: CatalogObject | None) -> list[str]:
    assert found is not None
    return [field.name for field in found.fields]


async def test_a_postgres_destination_is_asked_for_its_tables_and_for_what_syncs_write(
    warehouse: Warehouse, service: str, state: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run(ACCOUNTS, "CREATE SCHEMA crm", "CREATE TABLE crm.leads (email text)")
    checker = Checker(tmp_path, service, "SyncDestination", "postgres", warehouse.config)
    checker.log_in(warehouse.login)
    wanted = [{"name": name, "mode": "upsert"} for name in ("accounts", "public.accounts", "nothing_there")]
    code, result = await checker.check(objects=wanted)
    found = await kept(state)

    assert (code, result.succeeded, result.catalog) == (0, True, found.digest())
    assert result.server.startswith("PostgreSQL 1")
    assert result.connector_version == DESTINATIONS.version("postgres") != ""
    accounts = found.object("accounts")
    assert accounts is not None
    assert accounts.fields == [
        CatalogField(name="id", type="integer", read_only=True),
        CatalogField(name="name", type="text", required=True),
        CatalogField(name="plan", type="text"),
    ]
    assert {o.name: o.listed for o in found.objects} == {
        "accounts": True, "crm.leads": True, "public.accounts": False, "nothing_there": False,
    }  # fmt: skip
    missing = found.object("nothing_there")
    assert missing is not None
    assert "there is no table 'nothing_there'" in missing.problem
    assert (result.objects, result.fields) == (4, 7)


async def test_a_source_is_asked_for_the_columns_of_each_row_set_and_one_that_is_wrong_spoils_no_other(
    warehouse: Warehouse, service: str, state: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run(ACCOUNTS)
    checker = Checker(tmp_path, service, "SyncSource", "postgres", warehouse.config)
    checker.log_in(warehouse.login)
    row_sets = [
        {"kind": "SyncModel", "name": "plans", "query": {"sql": "SELECT id, plan AS tier FROM accounts"}},
        {"kind": "ReverseETLSync", "name": "broken", "query": {"sql": "SELECT nothing FROM accounts"}},
    ]
    code, result = await checker.check(rowSets=row_sets)
    found = await kept(state)
    assert (code, result.succeeded) == (0, True)
    assert names(found.object("SyncModel/plans")) == ["id", "tier"]
    assert names(found.object("accounts")) == ["id", "name", "plan"]
    broken = found.object("ReverseETLSync/broken")
    assert broken is not None
    assert 'column "nothing" does not exist' in broken.problem


async def test_what_changed_since_the_check_before_is_told(warehouse: Warehouse, service: str, tmp_path: Path) -> None:
    warehouse.run(ACCOUNTS)
    checker = Checker(tmp_path, service, "SyncDestination", "postgres", warehouse.config)
    checker.log_in(warehouse.login)
    _, first = await checker.check()
    warehouse.run("ALTER TABLE accounts ADD COLUMN phone text", "ALTER TABLE accounts DROP COLUMN plan")
    _, second = await checker.check()
    _, third = await checker.check()
    assert [first.changes, third.changes] == ["", ""]
    assert second.changes == "accounts.plan is gone; accounts.phone is new"
    assert first.catalog != second.catalog == third.catalog


async def test_duckdb_lists_its_tables_and_views(service: str, state: SqlStateStore, tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text("id,name\n1,Ada\n")
    files = {"files": {"accounts": str(tmp_path / "accounts.csv")}}
    code, result = await Checker(tmp_path, service, "SyncSource", "duckdb", files).check()
    assert (code, result.server[:7]) == (0, "DuckDB ")
    assert names((await kept(state)).object("accounts")) == ["id", "name"]


async def test_an_http_endpoint_says_nothing_of_fields_but_is_logged_in_to_where_it_can_be(
    endpoint: Endpoint, service: str, tmp_path: Path
) -> None:
    config = {"url": f"{endpoint.url}/records"}
    checker = Checker(tmp_path, service, "SyncDestination", "http", config | {"checkUrl": "http://127.0.0.1:1/"})
    code, refused = await checker.check()
    assert (code, refused.reason, refused.retriable) == (pod.EXIT_FAILED, "DestinationUnavailable", True)
    checker = Checker(tmp_path, service, "SyncDestination", "http", config)
    code, result = await checker.check(objects=[{"name": "account", "mode": "upsert"}])
    assert (code, result.succeeded, result.objects) == (0, True, 0)


@pytest.mark.parametrize(
    ("login", "database", "reason", "code"),
    [
        ({"password": "secret-word"}, None, "DestinationAuth", pod.EXIT_INVALID),
        ({}, "nowhere", "DestinationFailed", pod.EXIT_INVALID),
    ],
)
async def test_what_a_person_must_mend_is_said_and_not_tried_again(
    warehouse: Warehouse,
    service: str,
    tmp_path: Path,
    login: dict[str, str],
    database: str | None,
    reason: str,
    code: int,
) -> None:
    config = warehouse.config | ({"database": database} if database else {})
    checker = Checker(tmp_path, service, "SyncDestination", "postgres", config)
    checker.log_in(warehouse.login | login)
    ended, result = await checker.check()
    assert (ended, result.reason, result.retriable) == (code, reason, False)
    assert result.message


async def test_an_end_that_cannot_be_reached_may_be_tried_again(service: str, tmp_path: Path) -> None:
    config = {"host": "127.0.0.1", "port": free_port(), "database": "crm"}
    checker = Checker(tmp_path, service, "SyncSource", "postgres", config)
    checker.log_in({"username": "u", "password": "secret-word"})
    code, result = await checker.check()
    assert (code, result.reason, result.retriable) == (pod.EXIT_FAILED, "SourceUnavailable", True)


async def test_a_check_spec_that_is_none_is_said(tmp_path: Path) -> None:
    checker = Checker(tmp_path, "http://127.0.0.1:1", "SyncSource", "duckdb", {})
    code, result = await checker.check()
    assert (code, result.reason, result.retriable) == (pod.EXIT_INVALID, "InvalidInput", False)
    assert "config: set path" in result.message


def test_a_catalog_is_cut_at_its_limits_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = CatalogObject(name="wide", fields=[CatalogField(name=f"f{n}") for n in range(MAX_FIELDS + 1)])
    wanted = CatalogObject(name="z_wanted")
    listed = [CatalogObject(name=name) for name in ("b", "a")]
    assert [o.name for o in bounded([wanted], listed).objects] == ["z_wanted", "a", "b"]
    assert "2001 fields" in bounded([wide], []).objects[0].problem
    monkeypatch.setattr(catalogs, "MAX_OBJECTS", 2)
    cut = bounded([wanted], listed)
    assert ([o.name for o in cut.objects], cut.cut) == (["z_wanted", "a"], True)
    monkeypatch.setattr(catalogs, "MAX_BYTES", 100)
    assert bounded([wanted], listed).cut


def test_a_check_result_fits_into_a_termination_message() -> None:
    large = CheckResult(succeeded=False, message="ü" * 2000, changes="ü" * 400, server="s" * 255)
    assert len(termination_message(large).encode()) <= TERMINATION_MESSAGE_MAX
