"""docs/start/cluster.md as a newcomer follows it, from the operator that is installed to the rows: its own commands."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.chart import PROJECT, SYSTEM
from tests.cluster.processes import wait_until
from tests.e2e.given import GivenError, GivenGround
from tests.e2e.ground import FIRST_SYNC, OURS, TEAM, Stopwatch
from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e

GUIDE = (PROJECT / "docs" / "start" / "cluster.md").read_text()
TICK, TAKES = 300, 60
"""Seconds between runs of that sync by its schedule, and how long this test may take, of which it needs a third."""
ROWS = "kubectl exec -n first-sync deployment/shop -- psql -U shop -h 127.0.0.1 -At -c 'TABLE crm_contacts' shop"


def blocks(language: str) -> list[str]:
    """What the guide shows under "First rows"; retl is installed already."""
    section = GUIDE.partition("## 3. First rows\n")[2].partition("\n## ")[0]
    found = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [re.sub(r"^pip install .*\n", "", block, flags=re.MULTILINE) for block in found]


def matches(said: str, shown: str) -> bool:
    """Whether the end of what was said is what the guide shows, where … stands for anything on a line."""
    return re.search(".+".join(re.escape(part) for part in shown.split("…")) + r"\Z", said) is not None


def test_the_first_rows_come_as_the_guide_says_and_the_namespace_goes_when_it_is_told_to(stage: Stage) -> None:
    # Its schedule must not send the rows first.
    assert wait_until(lambda: time.time() % TICK < TICK - TAKES, limit=TAKES + 5, every=0.5)
    first, ask, mend = blocks("sh")
    [shown] = blocks("text")
    said = stage.shell(f"{first.rstrip()} || [ $? = 3 ]")
    assert matches(said, shown), said
    rows = {"1|Alpenblick Hotels|12|AT", "2|Fjord Analytics|3|NO", "4|Hokuto Seimitsu|7|JP"}
    assert set(stage.shell(ROWS).splitlines()) == rows

    assert "violates check constraint" in stage.shell(ask)
    listed = stage.shell(f"retl dlq list customers-to-crm -n {FIRST_SYNC} -o json")
    [letter] = [json.loads(line) for line in listed.splitlines()]
    assert letter["record_keys"] == {"customer_id": "3"}

    said = stage.shell(mend)
    assert "read 4 = 1 created + 3 unchanged" in said, said
    assert set(stage.shell(ROWS).splitlines()) == {*rows, "3|Garonne Textiles|40|FR"}
    [end] = re.findall(r"`(kubectl delete namespace \S+)`", GUIDE)
    stage.shell(f"{end} --timeout=60s")


def test_the_chart_brings_policies_of_who_reaches_whom(stage: Stage) -> None:
    def policies(namespace: str) -> set[str]:
        return {each["metadata"]["name"] for each in stage.list("networkpolicies", OURS, namespace)}

    assert policies(SYSTEM) == {"retl-controller", "retl-api", "retl-postgresql"}
    assert policies(TEAM) == {"retl-runners"}


def test_a_cluster_that_has_the_operator_is_left_alone(stage: Stage) -> None:
    said = {"RETL_E2E_KUBECONFIG": str(stage.kubectl.kubeconfig), "RETL_E2E_REGISTRY": "localhost"}
    another = GivenGround({**said, "RETL_E2E_IMAGES": "prebuilt", "RETL_E2E_TAG": "none"})
    with pytest.raises(GivenError, match=rf"the cluster has namespace/{SYSTEM}, .* and \d+ more"):
        another.start(Stopwatch())
    another.stop()
    assert stage.get("deployment", "retl-api", SYSTEM)
