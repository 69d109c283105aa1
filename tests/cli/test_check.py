"""`retl validate --check` against a real PostgreSQL at both ends: one connection each, and what only they know."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.retl_command import Answer, retl
from tests.cluster.processes import free_ports
from tests.postgres import Postgres, postgres

DRIVER_SESSIONS = 2
"""A connection of the ADBC driver is two to the server: it first learns the server's types over one of its own."""
TABLE = """
CREATE TABLE account (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    since date,
    name_length int GENERATED ALWAYS AS (length(name)) STORED,
    code text
)"""
ROWS = "CREATE TABLE accounts AS SELECT 1 AS id, 'Ada' AS name, date '2026-01-31' AS since, 'x' AS code"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@dataclass(frozen=True)
class Ends:
    """A sync from one database to another, in a folder with its secrets."""

    server: Postgres
    source: str
    destination: str
    folder: Path

    def check(self, *args: str, **edits: Any) -> Answer:
        """Write the manifests with some fields of the sync's spec set, and validate them."""
        login = {"secretRef": {"name": "login"}}
        place = {"host": self.server.host, "port": self.server.port}
        spec: dict[str, Any] = {
            "query": {"sourceRef": {"name": "here"}, "sql": "SELECT * FROM accounts"},
            "primaryKey": ["id"],
            "destinationRef": {"name": "there"},
            "object": "account",
            "mappings": [{"source": "id", "destination": "id", "key": True}, {"source": "name", "destination": "name"}],
        }
        specs = {
            "SyncSource": ("here", {"connector": "postgres", "config": place | {"database": self.source}}),
            "SyncDestination": ("there", {"connector": "postgres", "config": place | {"database": self.destination}}),
            "ReverseETLSync": ("accounts", {}),
        }
        documents = []
        for kind, (name, body) in specs.items():
            body = spec if kind == "ReverseETLSync" else body | {"credentials": login}
            for path, value in edits.items():
                if path.startswith(f"{kind}__"):
                    at: Any = body
                    *way, last = path.split("__")[1:]
                    for step in way:
                        at = at[step]
                    at[last] = value
            head = {"apiVersion": "reverseetl.io/v1alpha1", "kind": kind, "metadata": {"name": name}}
            documents.append(head | {"spec": body})
        (self.folder / "sync.yaml").write_text(yaml.safe_dump_all(documents))
        return retl("validate", "-f", "sync.yaml", "--secrets-dir", "secrets", *args, cwd=self.folder)

    def logins(self) -> list[int]:
        """How often each database was connected to; a server counts a session once it has ended."""
        with self.server.connect() as connection:
            rows = connection.execute(
                "SELECT datname, sessions FROM pg_stat_database WHERE datname = ANY(%s)",
                [[self.source, self.destination]],
            ).fetchall()
        counted = {str(name): int(sessions) for name, sessions in rows}
        return [counted[self.source], counted[self.destination]]


@pytest.fixture
def ends(server: Postgres, tmp_path: Path) -> Ends:
    source, destination = server.create_database(), server.create_database()
    for database, statement in ((source, ROWS), (destination, TABLE)):
        with server.connect(database) as connection:
            connection.execute(statement)
    login = tmp_path / "secrets" / "login"
    login.mkdir(parents=True)
    (login / "username").write_text(server.user)
    (login / "password").write_text(server.password)
    return Ends(server, source, destination, tmp_path)


def _told(answer: Answer) -> str:
    return answer.out.partition("ReverseETLSync accounts:")[2].strip()


def test_each_end_is_connected_to_once_and_nothing_is_written(ends: Ends) -> None:
    once = [sessions + DRIVER_SESSIONS for sessions in ends.logins()]
    answer = ends.check("--check")
    assert (answer.code, _told(answer)) == (0, "ok")
    until = time.monotonic() + 10
    while ends.logins() < once and time.monotonic() < until:
        pass  # the server writes its statistics down when it gets to it
    assert ends.logins() == once
    with ends.server.connect(ends.destination) as connection:
        assert connection.execute("SELECT count(*) FROM account").fetchone() == (0,)


KEY = {"source": "id", "destination": "id", "key": True}
NAME = {"source": "name", "destination": "name"}
THERE = "destination there: PostgreSQL 127.0.0.1:{port}, database '{destination}': "


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        (
            {"mappings": [KEY, {"source": "nmae", "destination": "name"}]},
            'spec.mappings[1].source: unknown column "nmae',
        ),
        (
            {"mappings": [KEY, {"expression": "upper(nmae)", "destination": "name"}]},
            'spec.mappings[1].expression: unknown column "nmae"; did you mean "name"?',
        ),
        ({"primaryKey": ["nr"]}, 'spec.primaryKey[0]: unknown column "nr"'),
        (
            {"changeDetection": {"strategy": "Cursor", "column": "updated_at"}},
            'spec.changeDetection.column: unknown column "updated_at"',
        ),
        (
            {"query": {"sourceRef": {"name": "here"}, "sql": "SELECT * FROM acounts"}},
            "source here: PostgreSQL 127.0.0.1:{port}, database '{source}': relation \"acounts\" does not exist",
        ),
        ({"object": "acount"}, THERE),
        (
            {"mappings": [KEY, {"source": "name", "destination": "nmae"}]},
            THERE + "table 'account' has no column nmae; it has: id, name",
        ),
        (
            {"mappings": [KEY, NAME, {"value": "3", "destination": "name_length", "cast": "integer"}]},
            THERE + "table 'account' fills name_length by itself",
        ),
        (
            {"mappings": [NAME, {"source": "code", "destination": "code", "key": True}], "primaryKey": ["code"]},
            THERE + "table 'account' has no unique constraint on (code)",
        ),
    ],
    ids=["mapping", "expression", "key", "cursor", "table", "object", "field", "read-only", "unique"],
)
def test_what_one_of_the_ends_lacks_is_named(ends: Ends, edits: dict[str, Any], says: str) -> None:
    answer = ends.check("--check", **{f"ReverseETLSync__{field}": value for field, value in edits.items()})
    assert answer.code == 1
    assert _told(answer).startswith(
        says.format(port=ends.server.port, source=ends.source, destination=ends.destination)
    )
    assert len(_told(answer).splitlines()) == 1


def _looking_up(**lookup: str) -> list[dict[str, Any]]:
    found = {"object": "plan", "matchField": "number", "returnField": "code", **lookup}
    return [KEY, NAME, {"source": "code", "destination": "code", "lookup": found}]


@pytest.mark.parametrize(
    ("lookup", "says"),
    [
        ({}, "ok"),
        ({"object": "plans"}, "table 'plans'"),
        ({"matchField": "nr"}, "table 'plan' has no column nr; it has: number, code"),
        ({"returnField": "cod"}, "table 'plan' has no column cod; it has: number, code"),
    ],
    ids=["there", "object", "match", "return"],
)
def test_a_lookup_in_what_is_not_there_is_found(ends: Ends, lookup: dict[str, str], says: str) -> None:
    with ends.server.connect(ends.destination) as connection:
        connection.execute("CREATE TABLE plan (number int, code text)")
    answer = ends.check("--check", ReverseETLSync__mappings=_looking_up(**lookup))
    assert answer.code == (1 if lookup else 0)
    [told] = _told(answer).splitlines()
    assert says in told
    assert not lookup or told.startswith("destination there: spec.mappings[2].lookup: PostgreSQL 127.0.0.1:")


def test_what_is_wrong_at_both_ends_is_told_at_once(ends: Ends) -> None:
    mappings = [KEY, {"source": "nmae", "destination": "nmae"}]
    assert len(_told(ends.check("--check", ReverseETLSync__mappings=mappings)).splitlines()) == 2


def test_a_required_field_that_is_not_mapped_is_a_warning(ends: Ends) -> None:
    mappings = [KEY, {"source": "code", "destination": "code"}]
    answer = ends.check("--check", ReverseETLSync__mappings=mappings)
    assert answer.code == 0
    assert _told(answer).splitlines() == [
        "ok",
        "  warning: destination there: field 'name' is required and not mapped; a new record would be refused",
    ]
    assert ends.check("--check", "-o", "json", ReverseETLSync__mappings=mappings).object["ok"] is True
    assert "warning" not in ends.check("--check", ReverseETLSync__mappings=mappings, ReverseETLSync__mode="update").out


def test_a_wrong_password_is_told_without_it(ends: Ends) -> None:
    (ends.folder / "secrets" / "login" / "password").write_text("wrong-but-secret")
    answer = ends.check("--check")
    source, destination = _told(answer).splitlines()
    assert "password authentication failed" in source
    assert "password authentication failed" in destination
    assert "check username and password in the Secret" in destination
    assert "wrong-but-secret" not in answer.out + answer.err


def test_a_host_that_does_not_answer_is_named(ends: Ends) -> None:
    [closed] = free_ports(1)
    answer = ends.check("--check", SyncDestination__config={"host": "127.0.0.1", "port": closed, "database": "d"})
    assert answer.code == 1
    assert _told(answer).startswith(f"destination there: PostgreSQL 127.0.0.1:{closed}, database 'd': ")


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        (
            {"mode": "merge"},
            "spec.mode: destination connector 'postgres' does not support 'merge'; it supports: upsert, ",
        ),
        ({"mappings": [{**KEY, "skipNulls": True}]}, "spec.mappings[0].skipNulls: a key is never NULL"),
        (
            {"mappings": [KEY, {"expression": "(SELECT 1)", "destination": "name"}]},
            "spec.mappings[1].expression: ",
        ),
    ],
    ids=["mode", "key", "expression"],
)
def test_contradictions_are_found_without_connecting(ends: Ends, edits: dict[str, Any], says: str) -> None:
    before = ends.logins()
    answer = ends.check(**{f"ReverseETLSync__{field}": value for field, value in edits.items()})
    assert answer.code == 2
    assert _told(answer).startswith(says)
    assert ends.logins() == before
