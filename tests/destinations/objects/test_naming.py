"""Where files lie and what they are called."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from retl.destinations.base import Target
from retl.destinations.objects.config import FilesConfig
from retl.destinations.objects.naming import file_name, folder, ours
from retl.errors import DestinationError

BEGAN = datetime(2026, 3, 29, 23, 5, 6, 7, tzinfo=UTC)


def target(name: str = "accounts", mode: str = "append") -> Target:
    return Target(name, mode, ("id",), ("id", "name"), timedelta(seconds=5), began=BEGAN)


def config(**given: Any) -> FilesConfig:
    return FilesConfig.model_validate(given)


@pytest.mark.parametrize(
    ("given", "name", "found"),
    [
        ({}, "accounts", "accounts"),
        ({"prefix": "crm/v1"}, "sales/accounts", "crm/v1/sales/accounts"),
        ({"path": "{object}/dt={date}/hour={hour}"}, "accounts", "accounts/dt=2026-03-29/hour=23"),
        ({"path": "everything"}, "accounts", "everything"),
    ],
)
def test_a_folder_is_what_the_path_makes_of_object_and_time(given: dict[str, Any], name: str, found: str) -> None:
    assert folder(config(**given), target(name)) == found


@pytest.mark.parametrize("name", ["../up", "a//b", "/a", "a/", "a b", ".", "a/../b", "a{date}", "a\n"])
def test_an_object_that_is_no_folder_is_refused(name: str) -> None:
    with pytest.raises(DestinationError, match="is no folder"):
        folder(config(), target(name))


def test_a_replacement_has_one_folder_for_all_runs() -> None:
    with pytest.raises(DestinationError, match=r"leave \{date\} and \{hour\} out"):
        folder(config(path="{object}/{date}"), target(mode="replace"))


def test_the_same_batch_is_the_same_file_and_later_runs_come_later_in_the_alphabet() -> None:
    first = file_name(config(), BEGAN, ["a", "b"])
    assert first == file_name(config(), BEGAN, ["a", "b"])
    assert first != file_name(config(), BEGAN, ["ab"])
    assert first < file_name(config(), BEGAN + timedelta(microseconds=1), ["a", "b"])


@pytest.mark.parametrize("given", [{}, {"format": "csv"}, {"format": "jsonl", "compression": "zstd"}])
def test_a_sync_knows_its_files_again_whatever_their_format(given: dict[str, Any]) -> None:
    name = file_name(config(**given), BEGAN, ["a"])
    assert ours(f"crm/accounts/{name}", "crm/accounts")
    assert not ours(f"crm/accounts/below/{name}", "crm/accounts")
    assert not ours(f"crm/accounts/{name}.bak", "crm/accounts")
    assert not ours("crm/accounts/part-0.parquet", "crm/accounts")
