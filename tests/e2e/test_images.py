"""What the images carry, asked of containers that run them."""

from __future__ import annotations

import json

import pytest

from tests.chart import SYSTEM
from tests.cluster.kubectl import KubectlError
from tests.e2e.images import RUNNER
from tests.e2e.stage import TEAM, Stage

pytestmark = pytest.mark.e2e

_ENGINE = ["adbc_driver_manager", "adbc_driver_postgresql", "duckdb", "pyarrow", "sqlglot"]
_INSTALLED = f"""
import json, os, sys
from importlib.util import find_spec
engine = [name for name in {_ENGINE!r} if find_spec(name)]
kopf = find_spec("kopf") is not None
print(json.dumps(dict(engine=engine, kopf=kopf, python=sys.version_info[:2], uid=os.getuid())))
"""


@pytest.mark.parametrize("deployment", ["controller", "api"])
def test_the_operator_image_carries_no_engine_and_no_driver(stage: Stage, deployment: str) -> None:
    told = json.loads(
        stage.kubectl("exec", "-n", SYSTEM, f"deployment/retl-{deployment}", "--", "python", "-c", _INSTALLED)
    )
    assert told == {"engine": [], "python": [3, 13], "uid": 10001, "kopf": True}


def test_the_operator_runs_on_a_read_only_root_where_only_locked_down_pods_are_let_in(stage: Stage) -> None:
    write = "open('/opt/retl/x', 'w')"
    with pytest.raises(KubectlError, match="Read-only file system"):
        stage.kubectl("exec", "-n", SYSTEM, "deployment/retl-controller", "--", "python", "-c", write)
    with pytest.raises(KubectlError, match='violates PodSecurity "restricted'):
        stage.kubectl("run", "careless", "-n", TEAM, f"--image={RUNNER}", "--image-pull-policy=Never")
