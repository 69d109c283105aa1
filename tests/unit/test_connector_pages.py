"""The pages of docs/connectors: what they show is what the models say, and their manifests are right."""

from pathlib import Path

import pytest

from retl.cli import local
from retl.cli.schemas import schema
from retl.cli.validate import judge
from retl.destinations.registry import DESTINATIONS
from retl.resources import KINDS
from retl.runspec.connectors import Registry
from retl.sources.registry import SOURCES
from tools import connectors

MANIFESTS = sorted(connectors.DIRECTORY.glob("*.yaml"))


def test_the_pages_are_what_the_models_say() -> None:
    assert connectors.main(["--check"]) == 0


def test_every_destination_has_its_page() -> None:
    assert {path.stem for path in connectors.pages()} == set(DESTINATIONS.builtin)


def test_the_page_of_all_connectors_leads_to_each() -> None:
    text = (connectors.DIRECTORY.parent / "connectors.md").read_text()
    assert [name for name in DESTINATIONS.builtin if f"(connectors/{name}.md)" not in text] == []


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_manifest_of_a_page_is_right(path: Path) -> None:
    objects = local.read([path])
    assert [problem for each in objects for problem in judge(each, objects).problems] == []


@pytest.mark.parametrize("name", [*KINDS, *SOURCES.names(), *DESTINATIONS.names()])
def test_every_reference_in_a_schema_leads_somewhere(name: str) -> None:
    found = schema(name)

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return here + [each for held in value.values() for each in references(held)]
        return [each for held in value for each in references(held)] if isinstance(value, list) else []

    for root in found.get("oneOf", [found]):
        held = {f"#/$defs/{each}" for each in root["$defs"]}
        assert set(references(root)) <= held


@pytest.mark.parametrize(
    ("registry", "name"), [(each, name) for each in (SOURCES, DESTINATIONS) for name in each.builtin]
)
def test_every_setting_and_every_key_of_a_secret_is_described(registry: Registry, name: str) -> None:
    info = registry.info(name)
    fields = {**info.config.model_fields, **(info.credentials.model_fields if info.credentials else {})}
    assert [field for field, held in fields.items() if not held.description] == []


def test_a_schema_has_durations_as_manifests_do() -> None:
    assert schema("SyncDestination")["$defs"]["RateLimit"]["properties"]["per"]["default"] == "1s"
