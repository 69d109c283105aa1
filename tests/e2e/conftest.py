"""One cluster with the operator for the whole session, or the reason why this machine cannot have it."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.e2e.given import GivenError, GivenGround
from tests.e2e.ground import Ground, OwnGround
from tests.e2e.machine import missing
from tests.e2e.runs import GATE
from tests.e2e.stage import Stage


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "e2e: needs root on Debian and a few minutes; leave out with -m 'not e2e'")


@contextmanager
def said_plainly() -> Iterator[None]:
    """What is wrong with a cluster that somebody names is said once, and no test is begun."""
    try:
        yield
    except GivenError as error:
        pytest.exit(f"e2e: {error}", returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="session")
def ground() -> Ground:
    """The cluster that somebody named, else one of this machine."""
    if os.environ.get("RETL_E2E_KUBECONFIG"):
        with said_plainly():
            return GivenGround(os.environ)
    if reason := missing():
        pytest.skip(reason)
    return OwnGround()


@pytest.fixture(scope="session")
def stage(ground: Ground) -> Iterator[Stage]:
    """The product on a real cluster; what cannot be built or started is an error, not a skip."""
    started = Stage(ground)
    with said_plainly():
        started.start()
    print("seconds:", {step: round(seconds, 1) for step, seconds in started.seconds.items()})
    yield started
    started.stop()


@pytest.fixture
def gate(stage: Stage) -> Iterator[psycopg.Connection]:
    """Holds the lock for which the query of the sync `gated` waits; closing the connection opens the gate."""
    connection = stage.warehouse.connect()
    connection.execute(f"SELECT pg_advisory_lock({GATE})")
    yield connection
    connection.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test tells what the cluster looked like."""
    report = yield
    found = getattr(item, "funcargs", {}).get("stage")
    if report.when == "call" and report.failed and found is not None:
        report.sections.append(("the cluster at that moment", found.account()))
    return report
