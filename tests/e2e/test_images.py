"""What the images carry, asked of containers that run them."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.chart import SYSTEM
from tests.cluster.kubectl import KubectlError
from tests.e2e.ground import TEAM, Ground, OwnGround
from tests.e2e.images import OPERATOR, RUNNER, archive_of, configuration
from tests.e2e.stage import Stage
from tools.sbom import sbom

pytestmark = pytest.mark.e2e

_ENGINE = ["adbc_driver_manager", "adbc_driver_postgresql", "duckdb", "pyarrow", "sqlglot"]
_INSTALLED = f"""
import json, os, sys
from importlib.util import find_spec
from shutil import which
engine = [name for name in {_ENGINE!r} if find_spec(name)]
kopf = find_spec("kopf") is not None
tools = [name for name in ("pip", "pip3", "gcc", "cc", "ld", "make") if which(name)]
tools += [name for name in ("pip", "ensurepip", "setuptools", "wheel") if find_spec(name)]
print(json.dumps(dict(engine=engine, kopf=kopf, tools=tools, python=sys.version_info[:2], uid=os.getuid())))
"""
LARGEST_MB = {OPERATOR: 420, RUNNER: 500}
"""Of its archive, not compressed. Most of the operator is the Kubernetes client, most of the runner is Arrow."""


@pytest.fixture
def archives(ground: Ground, stage: Stage) -> None:
    """The images as files, which there are where they go to the nodes as such."""
    if not isinstance(ground, OwnGround):
        pytest.skip("the images of a cluster that is named are in a registry, and may have been built elsewhere")


@pytest.mark.parametrize("deployment", ["controller", "api"])
def test_the_operator_image_carries_no_engine_and_no_driver(stage: Stage, deployment: str) -> None:
    told = json.loads(
        stage.kubectl("exec", "-n", SYSTEM, f"deployment/retl-{deployment}", "--", "python", "-c", _INSTALLED)
    )
    assert told == {"engine": [], "tools": [], "python": [3, 13], "uid": 10001, "kopf": True}


def test_the_operator_runs_on_a_read_only_root_where_only_locked_down_pods_are_let_in(stage: Stage) -> None:
    write = "open('/opt/retl/x', 'w')"
    with pytest.raises(KubectlError, match="Read-only file system"):
        stage.kubectl("exec", "-n", SYSTEM, "deployment/retl-controller", "--", "python", "-c", write)
    with pytest.raises(KubectlError, match='violates PodSecurity "restricted'):
        stage.kubectl("run", "careless", "-n", TEAM, f"--image={RUNNER}", "--image-pull-policy=Never")


@pytest.mark.parametrize("image", [OPERATOR, RUNNER])
def test_an_image_says_what_it_is_runs_as_nobody_and_is_no_larger_than_it_has_to_be(
    archives: None, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(image)
    name = image.rpartition("/")[2].partition(":")[0]
    told = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    assert (told["title"], told["licenses"]) == (name, "Apache-2.0")
    assert {"description", "version", "revision", "created"} <= told.keys()
    assert (config["User"], config["Entrypoint"]) == ("10001:10001", ["retl"])
    size = archive_of(image).stat().st_size / 1e6
    with capsys.disabled():
        print(f"{name}: {size:.0f} MB", end=" ")
    assert size < LARGEST_MB[image]


@pytest.mark.parametrize(
    ("image", "carried", "absent"), [(OPERATOR, "kubernetes", "pyarrow"), (RUNNER, "duckdb", "kubernetes")]
)
def test_the_bill_of_materials_of_an_image_names_what_it_carries(
    archives: None, image: str, carried: str, absent: str
) -> None:
    bill = sbom(archive_of(image))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    listed = {each["purl"].partition("@")[0] for each in json.loads(bill)["components"]}
    debians = {"pkg:deb/debian/libc6", "pkg:deb/debian/python3.13"}
    assert {f"pkg:pypi/{carried}", "pkg:pypi/reverse-etl-operator", *debians} <= listed
    assert not {f"pkg:pypi/{absent}", "pkg:pypi/pip", "pkg:deb/debian/python3-pip"} & listed
