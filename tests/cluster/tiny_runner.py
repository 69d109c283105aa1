"""A runner that does what the sync's `object` says, for tests of the controller alone.

It speaks the contract of the pod: the RunSpec comes as a file, the RunResult goes into the termination log. A check of
a connection always succeeds, and finds nothing.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

PLAN = "0123456789abcdef0123456789abcdef"
COUNTS = {"read": 7, "unchanged": 2, "created": 3, "updated": 1, "invalid": 1}


def main() -> int:
    if "RETL_CHECK_SPEC" in os.environ:
        return _say({"succeeded": True}, 0)
    spec = json.loads(Path(os.environ["RETL_RUN_SPEC"]).read_text())
    run = spec["run"]
    behaviour = spec["object"]
    if behaviour == "flaky":
        behaviour = "succeed" if run["attempt"] > 1 else "fail"
    if behaviour == "approval":
        behaviour = "succeed" if run.get("approvedPlan") == PLAN else "hold"
    if behaviour == "silent":
        return 1
    if behaviour == "wait":
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        stop.wait()
    result, code = _RESULTS[behaviour]
    said = {"run": run["name"], "sync": spec["sync"]["name"], "counts": COUNTS, "deadLetters": 1} | result
    return _say(said, code)


def _say(last_words: dict[str, Any], code: int) -> int:
    Path(os.environ["RETL_TERMINATION_LOG"]).write_text(json.dumps(last_words))
    return code


_RESULTS: dict[str, tuple[dict[str, Any], int]] = {
    "succeed": ({"status": "Succeeded"}, 0),
    "hold": (
        {"status": "AwaitingApproval", "reason": "GuardBreached", "message": "4 changes, 3 allowed", "planHash": PLAN},
        0,
    ),
    "wait": ({"status": "Cancelled", "reason": "Cancelled"}, 0),
    "fail": ({"status": "Failed", "reason": "DestinationUnavailable", "message": "it is down", "retriable": True}, 1),
    "wrong": ({"status": "Failed", "reason": "SourceFailed", "message": "no such table"}, 2),
}

if __name__ == "__main__":
    sys.exit(main())
