"""`python -m examples.demo`: warehouse to CRM on a real Kubernetes control plane, from nothing, in about a minute.

`--keep` leaves everything up to look around in; `python -m examples.demo down` stops it.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from examples.demo.cluster import DemoFailed
from examples.demo.stage import PROJECT, DemoRunning, Stage, clear
from examples.demo.story import Story
from examples.demo.telling import Telling
from tests.cluster.build import BuildError
from tests.cluster.kubectl import KubectlError
from tests.cluster.processes import ProcessError

DIRECTORY = PROJECT / ".retl" / "demo"


def main(arguments: Sequence[str] | None = None, directory: Path = DIRECTORY) -> int:
    """Play the demo, or stop one that was left up; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["down"], help="stop what --keep left up")
    parser.add_argument("--keep", action="store_true", help="leave everything up at the end")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        stopped = clear(directory)
    except DemoRunning as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    if options.command == "down":
        print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was up")
        return 0
    if stopped:
        print("stopped the demo that was still up")
    directory.mkdir(parents=True)
    return _play(Stage(directory, leave_up=options.keep))


def _play(stage: Stage) -> int:
    telling = Telling()
    story = Story(stage, telling)
    done = False
    try:
        story.play()
        if stage.leave_up:
            story.how_to_look()
        done = True
    except (DemoFailed, ProcessError, KubectlError, BuildError) as error:
        print(f"\ndemo: {error}\n\n{stage.tails()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; stopping everything", file=sys.stderr)
        return 130
    finally:
        if not (done and stage.leave_up):
            stage.close()
    return 0


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
