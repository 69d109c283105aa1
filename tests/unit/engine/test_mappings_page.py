"""Every example in docs/mappings.md does what the page says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.engine.mapped import AT, mapped, spec

PAGE = (Path(__file__).parents[3] / "docs" / "mappings.md").read_text()
EXAMPLES = re.findall(r"^\| `(\{.*?\})` \| `(\{.*?\})` \|", PAGE, re.MULTILINE)
ROW = """SELECT 7 AS id, 'Ann Lee' AS "name", ' Ann.Lee@Example.COM ' AS email, 'at' AS country, '1200.50' AS revenue,
    12 AS seats, NULL::VARCHAR AS phone, DATE '2026-01-31' AS due, ['new', 'eu'] AS tags"""


def exact(record: str) -> Any:
    """The record with its numbers as they are written."""
    return json.loads(record, parse_float=lambda text: ("number", text))


def test_the_page_has_its_examples() -> None:
    assert len(EXAMPLES) >= 25


@pytest.mark.parametrize(("mapping", "record"), EXAMPLES, ids=[mapping for mapping, _ in EXAMPLES])
def test_the_example_is_true(mapping: str, record: str) -> None:
    mappings: list[dict[str, Any]] = [yaml.safe_load(mapping)]
    (made,) = mapped(ROW, spec(mappings, mode="append"), began=AT).payloads
    assert exact(made) == exact(record)
