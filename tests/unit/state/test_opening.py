"""Opening a state database: the schema it gets, and what is said when it cannot be used."""

import asyncio
import sqlite3
import stat
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

import retl.state.migrations
from retl.errors import InvalidInput, StateError
from retl.resources.run import RunCounts
from retl.state.database import Database
from retl.state.migrate import NewerDatabase
from retl.state.sql import SqlStateStore
from retl.state.store import Commit
from retl.state.tables import REVISION, REVISION_TABLE, metadata
from tests.postgres import Postgres
from tests.unit.state.databases import hashes, parts, request, result


async def test_the_migrations_build_exactly_the_tables_that_the_code_uses(
    url: str,
) -> None:
    migrated = await Database.open(url)
    built = await migrated.run(_schema)
    differences = await migrated.run(_differences)
    await migrated.run(lambda connection: connection.execute(text(f"DROP TABLE {REVISION_TABLE}")))
    await migrated.run(metadata.drop_all)
    await migrated.run(metadata.create_all)
    meant = await migrated.run(_schema)
    await migrated.close()
    assert built == meant
    assert differences == []


def _schema(connection: Connection) -> list[tuple[str, ...]]:
    """Columns, keys and indexes in the database's own words."""
    if connection.dialect.name == "sqlite":
        found = inspect(connection)
        columns: list[tuple[str, ...]] = [
            (table, *(f"{key}={value}" for key, value in sorted(column.items())))
            for table in found.get_table_names()
            for column in found.get_columns(table)
        ]
        indexes = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"))
    else:
        columns = [
            tuple(map(str, row))
            for row in connection.execute(
                text(
                    "SELECT c.table_name, column_name, data_type, is_nullable, column_default, "
                    "col_description((quote_ident(c.table_name))::regclass, ordinal_position::int) "
                    "FROM information_schema.columns c WHERE table_schema = 'public'"
                )
            )
        ]
        indexes = connection.execute(text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"))
    return sorted(
        row for row in [*columns, *(tuple(map(str, index)) for index in indexes)] if REVISION_TABLE not in row[0]
    )


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"version_table": REVISION_TABLE, "compare_type": True})
    return list(compare_metadata(context, metadata))


def test_the_code_names_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(retl.state.migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


async def test_opening_again_changes_nothing(url: str) -> None:
    store = await SqlStateStore.open(url)
    claim = await store.claim(request())
    await store.commit(claim, Commit(1, RunCounts(), hashes(1), hashes(1)))
    await store.close()
    store = await SqlStateStore.open(url)
    assert len(await parts(store, claim)) == 1
    await store.finish(claim, result())
    await store.close()
    await store.close()


async def test_many_openers_at_once_all_find_the_schema(url: str) -> None:
    stores = await asyncio.gather(*(SqlStateStore.open(url) for _ in range(6)))
    for store in stores:
        await store.ping()
        await store.close()


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(url: str) -> None:
    database = await Database.open(url)
    await database.run(lambda c: c.execute(text(f"UPDATE {REVISION_TABLE} SET version_num = '0099'")))
    await database.close()
    with pytest.raises(NewerDatabase) as refusal:
        await SqlStateStore.open(url)
    assert str(refusal.value) == (
        f"state database: written by a newer retl (revision 0099); this one knows up to {REVISION}: upgrade retl"
    )


async def test_a_migration_that_fails_leaves_the_database_as_it_was(url: str, tmp_path: Path) -> None:
    database = await Database.open(url)
    await database.run(metadata.drop_all)
    await database.run(lambda c: c.execute(text(f"DROP TABLE {REVISION_TABLE}")))
    await database.run(lambda c: c.execute(text("CREATE TABLE retl_dead_letters (mine INTEGER)")))
    await database.close()
    with pytest.raises(StateError, match="already exists"):
        await SqlStateStore.open(url)
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    assert inspect(engine).get_table_names() == ["retl_dead_letters"]
    engine.dispose()


# SQLite


async def test_the_file_and_its_directory_are_made_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a" / ".retl" / "state.db"
    store = await SqlStateStore.open(f"sqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await store.close()


async def test_the_default_url_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await (await SqlStateStore.open("sqlite:///.retl/state.db")).close()
    assert (tmp_path / ".retl" / "state.db").is_file()


async def test_sqlite_writes_ahead_and_syncs_at_checkpoints(sqlite_url: str) -> None:
    database = await Database.open(sqlite_url)
    assert await database.run(lambda c: c.execute(text("PRAGMA journal_mode")).scalar_one()) == "wal"
    assert await database.run(lambda c: c.execute(text("PRAGMA synchronous")).scalar_one()) == 1
    await database.close()


@pytest.fixture
def locked(sqlite_url: str, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The file, with another process' write lock on it."""
    path = tmp_path / ".retl" / "state.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield other


async def test_a_locked_file_is_said_to_be_locked(sqlite_url: str, locked: sqlite3.Connection) -> None:
    with pytest.raises(StateError, match=r"state\.db: locked by another process"):
        await SqlStateStore.open(sqlite_url, busy_timeout=timedelta(milliseconds=50))
    locked.execute("COMMIT")
    await (await SqlStateStore.open(sqlite_url)).close()


async def test_a_file_locked_later_on_is_said_to_be_locked_and_the_store_goes_on_after_that(
    sqlite_url: str, tmp_path: Path
) -> None:
    store = await SqlStateStore.open(sqlite_url, busy_timeout=timedelta(milliseconds=50))
    with closing(sqlite3.connect(tmp_path / ".retl" / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="locked by another process"):
            await store.claim(request())
    await store.claim(request())
    await store.close()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary, " * 1000)
    with pytest.raises(StateError, match=r"notes\.txt: not an SQLite database"):
        await SqlStateStore.open(f"sqlite:///{path}")
    assert path.read_text() == "dear diary, " * 1000


async def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="directory"):
        await SqlStateStore.open(f"sqlite:///{tmp_path}")


# PostgreSQL


async def test_a_wrong_password_is_said_without_the_password(server: Postgres) -> None:
    with pytest.raises(StateError) as refusal:
        await SqlStateStore.open(replace(server, password="hunter2-secret").url())
    said = str(refusal.value)
    assert "password authentication failed" in said
    assert f"postgresql://postgres@127.0.0.1:{server.port}/postgres" in said
    assert "hunter2" not in said


async def test_a_password_in_the_query_is_not_said_either(server: Postgres) -> None:
    with pytest.raises(StateError) as refusal:
        await SqlStateStore.open(f"postgresql://postgres@127.0.0.1:{server.port}/postgres?password=hunter2-secret")
    assert "hunter2" not in str(refusal.value)


async def test_an_unreachable_server_is_said_with_its_place() -> None:
    with pytest.raises(StateError, match=r"postgresql://retl@127\.0\.0\.1:1/state: .*Connection refused"):
        await SqlStateStore.open("postgresql://retl:hunter2@127.0.0.1:1/state")


async def test_a_connection_that_the_server_ended_is_replaced(server: Postgres, postgres_url: str) -> None:
    store = await SqlStateStore.open(postgres_url)
    database = postgres_url.rpartition("/")[2]
    with server.connect() as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database]
        ).fetchall()
    assert ended
    await store.claim(request())
    await store.close()


# URLs


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "state URL: cannot be read"),
        ("state.db", "state URL: cannot be read"),
        ("mysql://root:hunter2@localhost/x", "mysql:// is not known; there are: sqlite, postgresql"),
        ("sqlite://", "sqlite needs a file"),
        ("sqlite:///:memory:", "sqlite needs a file"),
        ("postgresql://u:hunter2@host:port/x", "state URL: cannot be read"),
    ],
)
async def test_a_url_that_names_no_state_database_is_refused(url: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await SqlStateStore.open(url)
    assert said in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


async def test_no_error_of_the_database_quotes_a_record(url: str) -> None:
    database = await Database.open(url)
    with pytest.raises(StateError) as refusal:
        await database.run(
            lambda c: c.execute(text("INSERT INTO retl_runs (uid) VALUES (:uid)"), {"uid": "ada@example.com"})
        )
    assert "ada@example.com" not in "".join(traceback.format_exception(refusal.value))
    await database.close()
