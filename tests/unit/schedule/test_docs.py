"""What docs/schedules.md shows and lists is so."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from retl.resources.reasons import TICK_REASONS
from retl.resources.sync import Schedule
from retl.schedule import validate

PAGE = (Path(__file__).parents[3] / "docs" / "schedules.md").read_text()
EXAMPLES = [yaml.safe_load(block)["schedule"] for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["cron"])
def test_each_example_is_a_schedule(example: dict[str, Any]) -> None:
    validate(Schedule.model_validate(example, by_alias=True, by_name=False))


def test_each_field_has_an_example() -> None:
    shown = {field for example in EXAMPLES for field in example}
    assert shown == {field.alias for field in Schedule.model_fields.values()}


def test_each_reason_is_listed_with_what_it_means() -> None:
    for reason, meaning in TICK_REASONS.items():
        assert f"| `{reason}` | {meaning.means} | {meaning.do} |" in PAGE
