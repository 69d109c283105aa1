"""What the connector's page shows can be written as it stands."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from retl.destinations.registry import DESTINATIONS

NOTES = Path(__file__).parents[3] / "docs" / "connectors" / "notes" / "http.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", NOTES.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_page_is_valid(example: str) -> None:
    found = yaml.safe_load(dedent(example))
    assert DESTINATIONS.check("http", found.get("config") or {"url": "https://crm.example.com", "results": {}, **found})
