"""`retl migrate`: what it says and how it exits; an upgrade waits for that."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from retl.state.sql import SqlStateStore
from retl.state.tables import REVISION
from tests.cli.retl_command import RETL, retl
from tests.postgres import free_port, postgres


def test_it_says_from_which_revision_to_which(tmp_path: Path) -> None:
    url = tmp_path / "url"
    url.write_text(f"sqlite:///{tmp_path}/state.db\n")
    first = retl("migrate", "--state-url-file", str(url), cwd=tmp_path)
    assert (first.code, first.out) == (0, f"state database: from nothing to revision {REVISION}\n")
    again = retl("migrate", "--state-url-file", str(url), cwd=tmp_path)
    assert (again.code, again.out) == (0, f"state database: has revision {REVISION} already\n")


async def test_a_database_of_a_newer_version_is_left_alone_and_says_what_to_do(tmp_path: Path) -> None:
    await (await SqlStateStore.open(f"sqlite:///{tmp_path}/state.db")).close()
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection, connection:
        connection.execute("UPDATE retl_revision SET version_num = '0099'")
    refused = retl("migrate", "--state", f"sqlite:///{tmp_path}/state.db", cwd=tmp_path)
    assert refused.code == 2
    assert "(revision 0099)" in refused.err
    assert "upgrade retl, or bring back the database as it was before" in refused.err


def test_a_database_that_stays_away_ends_it_after_the_time_it_may_wait(tmp_path: Path) -> None:
    url = f"postgresql://u:secret-word@127.0.0.1:{free_port()}/state"
    gone = retl("migrate", "--state", url, "--wait", "1s", cwd=tmp_path)
    assert gone.code == 1
    assert gone.err.count("trying again") == 1
    assert "Connection refused" in gone.err.splitlines()[-1]
    assert "secret-word" not in gone.err


def test_it_waits_for_a_database_that_starts_later(tmp_path: Path) -> None:
    port = free_port()
    command = [RETL, "migrate", "--state", f"postgresql://postgres:secret-word@127.0.0.1:{port}/postgres"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "trying again" in process.stderr.readline()
        with postgres(port=port) as server:
            with server.connect() as connection:
                connection.execute("ALTER ROLE postgres PASSWORD 'secret-word'")
            out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, f"state database: from nothing to revision {REVISION}\n")
