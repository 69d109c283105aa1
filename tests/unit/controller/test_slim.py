"""What the cache keeps of an object's metadata."""

import pytest

from retl.controller.kinds import slim
from retl.resources.kinds import RUN
from retl.resources.marks import CHECK_REQUESTED, TRIGGERED_BY


@pytest.mark.parametrize(
    ("there", "kept"),
    [
        ({CHECK_REQUESTED: "now", "team": "growth"}, {CHECK_REQUESTED: "now"}),
        (
            {TRIGGERED_BY: "someone", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
            {TRIGGERED_BY: "someone"},
        ),
        ({"team": "growth"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_annotations_that_are_read_are_kept_and_no_others(
    there: dict[str, str] | None, kept: dict[str, str] | None
) -> None:
    found = slim(RUN, {"metadata": {"name": "run-1", "managedFields": [], "annotations": there}, "spec": {}})
    assert found["metadata"] == {"name": "run-1"} | ({} if kept is None else {"annotations": kept})
