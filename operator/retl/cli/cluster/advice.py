"""What a person can do about a reason, and the command for it. Pure.

What reasons mean stands in `retl.resources.reasons`; here is what only the command line knows: what to type.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from retl.cli.cluster.access import Reach
from retl.cli.options import program
from retl.resources.reasons import RUN_REASONS, TICK_REASONS


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do, and what to type; each may be empty."""

    do: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands that a person can copy: they reach the same cluster and namespace as this one did."""

    reach: Reach
    namespace: str

    def retl(self, verb: str, *words: str) -> str:
        """`retl VERB WORDS -n NAMESPACE`."""
        return f"{program()} {verb} {shlex.join([*words, *self.reach.words()])}"

    def dlq(self, verb: str, *words: str) -> str:
        """A command on the cluster's dead letters."""
        return self.retl(f"dlq {verb}", *words)

    def kubectl(self, *words: str) -> str:
        """A kubectl command; names no namespace by itself."""
        options = Reach(self.reach.kubeconfig, self.reach.context).words()
        return f"kubectl {shlex.join([*words, *options])}"


_TO_DO: Mapping[str, str] = {
    "SecretNotFound": "create the Secret; it is looked for again every 30 s",
    "InvalidConfig": "correct the fields that it names, and apply the manifest again",
    "InvalidSchedule": "correct spec.schedule, and apply the manifest again",
    "FieldNotFound": "correct the mapping, or have the destination looked at again if the field is new there",
    "ColumnNotFound": "correct the mapping, or have the source looked at again if the column is new there",
}
"""Of conditions, beside the reasons of ticks and runs, which say it themselves."""


def advice_for(reason: str, commands: Commands, name: str, run: str = "") -> Advice:
    """What to do about a reason.

    Args:
        name: of the object whose reason it is; of SecretNotFound, of the Secret.
        run: of the run, if it is a run's.
    """
    meaning = TICK_REASONS.get(reason) or RUN_REASONS.get(reason)
    do = _TO_DO.get(reason) or (meaning.do if meaning else "")
    return Advice(do, _command(reason, commands, name, run))


def _command(reason: str, commands: Commands, name: str, run: str) -> str:
    match reason:
        case "SecretNotFound":
            return commands.kubectl(
                "create", "secret", "generic", name, "--from-literal=KEY=VALUE", "-n", commands.namespace
            )
        case "AwaitingApproval" | "GuardBreached":
            return commands.retl("approve", run or name)
        case "PreviousRunActive":
            return commands.retl("status", name)
        case "ErrorBudgetExceeded" | "CanaryFailed":
            return commands.dlq("list", name)
        case "Blackout":
            return commands.retl("next", name)
        case "Failed" | "Retrying" | "RunnerFailed":
            return commands.retl("logs", run or name)
        case _:
            return ""
