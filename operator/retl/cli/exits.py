"""Exit codes: what a script may rely on."""

from collections.abc import Iterable

from retl.errors import InvalidInput, RetlError
from retl.runspec.pod import EXIT_AWAITING_APPROVAL, EXIT_DEAD_LETTERS, EXIT_FAILED, EXIT_INVALID, EXIT_SUCCEEDED
from retl.runspec.result import RunResult

SIGNAL_BASE = 128
"""A command that a signal stopped exits with this and the signal's number: 130 for SIGINT, 143 for SIGTERM."""

_GOOD_TO_BAD = (EXIT_SUCCEEDED, EXIT_DEAD_LETTERS, EXIT_AWAITING_APPROVAL, EXIT_FAILED, EXIT_INVALID)


def code_of(error: RetlError) -> int:
    """Exit code of a command that ended with this error."""
    return EXIT_INVALID if isinstance(error, InvalidInput) else EXIT_FAILED


def of_result(result: RunResult) -> int:
    """Exit code of a run."""
    if result.status == "AwaitingApproval":
        return EXIT_AWAITING_APPROVAL
    if result.status != "Succeeded":
        return EXIT_INVALID if result.reason == InvalidInput.reason else EXIT_FAILED
    return EXIT_DEAD_LETTERS if result.dead_letters else EXIT_SUCCEEDED


def worst(codes: Iterable[int]) -> int:
    """The code that most needs a person's attention."""
    return max(codes, key=_GOOD_TO_BAD.index, default=EXIT_SUCCEEDED)
