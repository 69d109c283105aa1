"""The example plug-in, installed as a stranger's package is, through the same kit."""

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from retl.destinations.base import Batch, Destination, Outcome
from retl.destinations.registry import DESTINATIONS
from retl.testing import Conformance, Row, Stage
from tests.destinations.simulators.base import Fault
from tests.destinations.simulators.case import SimulatedCase
from tests.destinations.simulators.shelf import ShelfApi

PLUGIN = Path(__file__).parents[3] / "examples" / "plugin"


class Shelves(SimulatedCase):
    """The shelf."""

    connector = "shelf"

    def __init__(self) -> None:
        self.vendor: ShelfApi = ShelfApi()

    def config(self) -> Mapping[str, Any]:
        return {"baseUrl": self.vendor.url}

    def login(self) -> Mapping[str, str]:
        return {"api_key": self.vendor.key}

    def wrong_login(self) -> Mapping[str, str]:
        return {"api_key": "another-key"}

    async def records(self) -> Mapping[str, str]:
        return {key: record["name"] for key, record in self.vendor.records.items()}

    async def seed(self, rows: Sequence[Row]) -> None:
        self.vendor.records |= {row.key: {"id": row.key, "name": row.name} for row in rows}

    def refused(self, number: int) -> Row:
        return Row(self.row(number).key, "refused")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that the package is in, with the metadata that tells of its entry point."""
    into = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    subprocess.run(build, cwd=PLUGIN, check=True, capture_output=True)
    [wheel] = into.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(into)], check=True)
    return into


@pytest.fixture(autouse=True)
def on_the_path(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))


class TestShelf(Conformance):
    """The plug-in."""

    case = Shelves

    @pytest.mark.parametrize("answer", [None, {}, {"results": [{}] * 99}, {"results": ["?"] * 10}, {"results": []}])
    async def test_no_record_is_taken_for_written_that_no_result_speaks_of(self, stage: Stage, answer: Any) -> None:
        assert isinstance(stage.case, Shelves)
        stage.rows([stage.case.row(number) for number in range(10)])
        stage.case.vendor.faults.next += [Fault(200, body={}), *[Fault(200, body=answer)] * 50]
        result = await stage.run()
        assert (result.counts.created, result.counts.unknown) == (0, 10), result.message

    async def test_the_kit_finds_outcomes_that_are_in_another_order(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shelf = importlib.import_module("retl_shelf.connector").Shelf
        write = shelf.write

        async def reversing(connector: Destination, batch: Batch) -> Sequence[Outcome]:
            return [*await write(connector, batch)][::-1]

        monkeypatch.setattr(shelf, "write", reversing)
        with pytest.raises(AssertionError, match="not in the order of the records"):
            await self.test_partial_rejection(stage, "upsert")


def test_the_plugin_is_found_by_its_entry_point_with_the_version_of_its_package() -> None:
    assert "shelf" in DESTINATIONS.names()
    assert DESTINATIONS.version("shelf") == "1.0.0"


def test_the_plugin_is_less_than_a_hundred_lines() -> None:
    assert sum(len(file.read_text().splitlines()) for file in PLUGIN.rglob("*.py")) < 100


def test_the_command_line_lists_the_plugin_and_validates_with_its_models(installed: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "shelf.yaml"
    manifest.write_text(
        "apiVersion: reverseetl.io/v1alpha1\nkind: SyncDestination\nmetadata: {name: shelf}\n"
        "spec: {connector: shelf, config: {baseUri: x}, credentials: {secretRef: {name: s}}}\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}

    def retl(*arguments: str) -> str:
        command = [sys.executable, "-c", "from retl.cli import main; main()", *arguments]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return ran.stdout + ran.stderr

    assert "shelf" in retl("connectors")
    assert "did you mean baseUrl?" in retl("validate", "-f", str(manifest))
