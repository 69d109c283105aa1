"""The workspace keeps memory bounded and leaves nothing behind."""

from pathlib import Path

import duckdb
import pytest

from retl.engine.workspace import DEFAULT_MEMORY, DUCKDB_SHARE, MIN_MEMORY, PREFIX, cpus, duckdb_memory, workspace
from retl.runspec.pod import ENV_MEMORY_LIMIT


def test_its_directory_is_removed_however_the_run_ends(tmp_path: Path) -> None:
    def run() -> None:
        with workspace(tmp_path) as work:
            work.file("stage.parquet").write_bytes(b"rows")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        run()
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_run_are_removed_and_those_of_a_living_one_are_not(tmp_path: Path) -> None:
    leftover = tmp_path / f"{PREFIX}killed"
    leftover.mkdir()
    (leftover / "stage.parquet").touch()
    other = tmp_path / "of somebody else"
    other.mkdir()
    with workspace(tmp_path) as living:
        with workspace(tmp_path):
            assert living.directory.exists()
        assert not leftover.exists()
        assert other.exists()


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("1000000000", int(1_000_000_000 * DUCKDB_SHARE)),
        ("1000", MIN_MEMORY),
    ],
)
def test_memory_is_a_share_of_the_limit(monkeypatch: pytest.MonkeyPatch, limit: str, expected: int) -> None:
    monkeypatch.setenv(ENV_MEMORY_LIMIT, limit)
    assert duckdb_memory() == expected


def test_without_a_limit_memory_is_bounded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV_MEMORY_LIMIT, raising=False)
    monkeypatch.setattr("retl.engine.workspace._cgroup", lambda name: "max")
    assert duckdb_memory() == DEFAULT_MEMORY
    assert cpus() >= 1


def test_extensions_are_not_fetched_from_the_network(tmp_path: Path) -> None:
    with workspace(tmp_path) as work, pytest.raises(duckdb.Error, match="httpfs"):
        work.database.execute("SELECT * FROM read_parquet('https://127.0.0.1:1/x.parquet')")
