"""A few hundred seeds of the simulation, and the proof that it would notice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.mutations import MUTATIONS, broken
from tests.faults.simulation import run

SEEDS = 300
CHUNK = 25
ENOUGH = 200
"""Seeds within which each known bug shows; README.md names the first."""


@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK), ids=lambda first: f"seeds-{first}-{first + CHUNK - 1}")
def test_whatever_fails_no_tick_is_lost_or_doubled_and_all_comes_to_rest(first: int) -> None:
    failed = {seed: found for seed in range(first, first + CHUNK) if (found := run(seed).violations)}
    assert not failed, f"replay with python -m tests.faults --seed {next(iter(failed))} --trace"


@pytest.mark.parametrize("seed", [8, 39])
def test_a_seed_is_the_same_run_in_every_process(seed: int) -> None:
    here = "\n".join(run(seed).trace)
    command = [sys.executable, "-m", "tests.faults", "--seed", str(seed), "--trace"]
    project = Path(__file__).parents[2]
    path = os.pathsep.join([str(project), str(project / "operator")])
    environment = os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": path}
    there = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert there.stdout.startswith(here)
    assert len(here.splitlines()) > 50


@pytest.mark.parametrize("bug", sorted(MUTATIONS))
def test_a_known_bug_that_is_put_back_is_caught(bug: str) -> None:
    with broken(bug):
        assert any(run(seed).violations for seed in range(1, ENOUGH + 1))
