"""Whether the process that holds a local claim is gone: yes only when that is certain."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from retl.state.owner import is_gone, owner, this_process


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_living_process_is_not_gone(child: subprocess.Popen[bytes]) -> None:
    assert not is_gone(this_process())
    assert not is_gone(owner(child.pid))


def test_a_process_that_has_ended_is_gone(child: subprocess.Popen[bytes]) -> None:
    claimed_by = owner(child.pid)
    child.kill()
    child.wait()
    assert is_gone(claimed_by)


def test_a_killed_process_is_gone_even_before_its_parent_asked_about_it(child: subprocess.Popen[bytes]) -> None:
    claimed_by = owner(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and left behind as a zombie
    assert is_gone(claimed_by)


def test_a_pid_that_another_process_has_now_is_gone() -> None:
    host, pid, started = this_process().split("/")
    assert is_gone(f"{host}/{pid}/{int(started) - 1}")


@pytest.mark.parametrize("claimed_by", ["", "pod-abc", "elsewhere/1/1", "elsewhere/999999999/1"])
def test_a_pod_or_a_process_of_another_host_is_never_said_to_be_gone(claimed_by: str) -> None:
    assert not is_gone(claimed_by)


@pytest.mark.parametrize("rest", ["", "/", "/x/1", "/1", "/1/"])
def test_an_owner_that_cannot_be_read_is_never_said_to_be_gone(rest: str) -> None:
    assert not is_gone(this_process().split("/")[0] + rest)
