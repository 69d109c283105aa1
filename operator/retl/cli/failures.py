"""A failed run in words: at which step, why, what is kept, and what to do. Pure."""

from retl.cli.text import count, plain, wrapped
from retl.engine.progress import Step
from retl.runspec.result import RunResult

_STEPS: dict[Step, str] = {
    "extract": "while reading the source",
    "diff": "while comparing rows with what was sent before",
    "deliver": "while sending",
    "commit": "while sending",  # what ended it is known to the run only when all that was sent is recorded
}
_UNRECORDED = ("StateUnavailable", "SnapshotDamaged", "Fenced")
"""Reasons for which not all that was acknowledged may be recorded."""
_CHECK = "retl validate --check tries both ends without sending anything"
_TO_DO = {
    "InvalidInput": f"correct the manifest; {_CHECK}",
    "SourceFailed": f"correct the query or the SyncSource; {_CHECK}",
    "SourceUnavailable": "see that the warehouse is up and can be reached from here, then run again",
    "DestinationFailed": f"correct the object, the mappings or the SyncDestination; {_CHECK}",
    "DestinationUnavailable": "see that the destination is up and can be reached from here, then run again",
    "DestinationAuth": "put a valid login into the Secret's directory (--secrets-dir), then run again",
    "RunnerExhausted": "let it have more memory, or a larger disk (RETL_STAGING_DIR), then run again",
    "StateUnavailable": "see that --state names a state database that this user can write to, then run again",
    "AnotherRunActive": "wait until the other run has ended (retl runs list shows it), then run again",
    "Fenced": "nothing: another run has taken over (retl runs list shows it)",
    "GuardBreached": "look at retl plan; then correct the query, or the limit in spec.guards",
    "ErrorBudgetExceeded": "look at retl dlq list, mend what the destination refuses, then run again",
    "CanaryFailed": "look at retl dlq list, mend what the destination refuses, then run again",
}


def headline(result: RunResult, step: Step | None) -> str:
    """`accounts-to-crm: failed while sending (DestinationUnavailable)`."""
    reason = f" ({result.reason})" if result.reason else ""
    return f"retl: {result.sync}: failed {_STEPS[step] if step else 'before it read anything'}{reason}"


def story(result: RunResult, width: int) -> str:
    """Why, what is kept, what to do: the lines below the headline."""
    counts = result.counts
    parts = {"cause": "\n".join(map(plain, result.message.splitlines()))}
    kept = counts.created + counts.updated + counts.deleted
    if kept and result.reason in _UNRECORDED:
        again = "those that could not be recorded are sent again by the next run"
        parts["acknowledged"] = f"{count(kept, 'record')}; {again}"
    elif kept:
        parts["kept"] = f"{count(kept, 'record')} that the destination acknowledged; the next run goes on from there"
    if result.reason in _TO_DO:
        parts["to do"] = _TO_DO[result.reason]
    return "\n".join(wrapped(words, width, f"  {name}: ".ljust(9), " " * 9) for name, words in parts.items())
