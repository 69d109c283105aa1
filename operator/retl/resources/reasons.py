"""The words that say why: of ticks and of runs, each with what it means and what a person can do.

One table for the controller that sets them, `retl why` that explains them, and the documentation that lists them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason says.

    Attributes:
        means: a sentence without a full stop.
        do: what a person can do; empty where nothing needs to be done.
    """

    means: str
    do: str = ""


TICK_REASONS: Mapping[str, Meaning] = {
    "PreviousRunActive": Meaning(
        "another run of the sync was under way", "make runs shorter, ticks rarer, or set schedule.catchUp to All"
    ),
    "AwaitingApproval": Meaning("a run waits for a person's approval", "look at its plan, then approve or cancel it"),
    "Blackout": Meaning("the tick fell into one of schedule.blackouts"),
    "DependencyFailed": Meaning("a sync that it depends on has not succeeded", "look at that sync"),
    "DependencyStale": Meaning("the last success of a sync that it depends on is too old", "look at that sync"),
    "DependencyRunning": Meaning("a sync that it depends on is under way"),
    "DependencyNotFound": Meaning(
        "schedule.dependsOn names a sync that is not there", "create it, or take it out of schedule.dependsOn"
    ),
    "DependencyCycle": Meaning(
        "syncs depend on each other in a circle", "take one of them out of schedule.dependsOn of another"
    ),
    "SourceNotFresh": Meaning("schedule.freshness found nothing new at the source"),
    "NameTaken": Meaning("a SyncRun of the name is there and is not the controller's", "rename or delete it"),
    "Withdrawn": Meaning("it waited when the sync was paused or got another schedule"),
    "NewerTickDue": Meaning("a newer tick was due as well, and answers for it"),
    "Late": Meaning("it was more than 60 s late when it could first be looked at, and schedule.catchUp is None"),
    "CatchUpLimit": Meaning("more ticks were late than schedule.catchUpMax"),
    "StartingDeadlineExceeded": Meaning("it could not start within schedule.startingDeadline"),
    "ClockSkew": Meaning(
        "the controller's clock differed from the API server's by more than 30 s", "correct the node's clock"
    ),
    "Failed": Meaning("its run failed", "look at the run"),
    "Cancelled": Meaning("its run was cancelled"),
}
"""Of verdicts; a sync that cannot run at all gives its ticks the reason of its condition Stalled."""

RUN_REASONS: Mapping[str, Meaning] = {
    # It is under way.
    "Waiting": Meaning("another run of the sync comes first"),
    "WaitingForSlot": Meaning(
        "as many runs as the destination's maxConcurrentRuns are under way", "wait, or raise spec.maxConcurrentRuns"
    ),
    "Queued": Meaning("its Job is suspended: a queue has not admitted it yet", "look at the queue (Kueue's Workload)"),
    "Starting": Meaning("the Job of an attempt is being made"),
    "Running": Meaning("its runner is at work"),
    "Cancelling": Meaning("its runner was told to stop, and has a minute to do so"),
    "Retrying": Meaning("an attempt failed, and the next one starts after a pause", "see status.failedAttempts"),
    "GuardBreached": Meaning(
        "a limit in spec.guards of the sync would be passed, so nothing was written",
        "look at its plan, then approve or cancel it",
    ),
    "ApprovalOfAnotherPlan": Meaning(
        "spec.approval names another plan than the run has", "set spec.approval.planHash to status.planHash"
    ),
    # It is over, and well.
    "Succeeded": Meaning("its work is done"),
    "SourceNotFresh": Meaning("schedule.freshness found nothing new at the source, so nothing was read"),
    "Cancelled": Meaning("somebody ended it by spec.cancel; what was acknowledged is kept"),
    "NotReserved": Meaning("another run answers its tick"),
    # What it refers to.
    "SyncNotFound": Meaning("there is no sync of the name in spec.syncRef", "create it, then another SyncRun"),
    "SourceNotFound": Meaning("there is no SyncSource of that name", "create it, or correct the field it names"),
    "ModelNotFound": Meaning("there is no SyncModel of that name", "create it, or correct the field it names"),
    "DestinationNotFound": Meaning("there is no SyncDestination of that name", "create it, or correct the field"),
    "ReferenceNotFound": Meaning(
        "something that it refers to is not there", "create it, or correct the field it names"
    ),
    "SecretNotFound": Meaning("a Secret that a connection names is not there", "create it in the run's namespace"),
    "SyncIsDraft": Meaning("a draft has no runs", "set spec.state of the sync to Active or Paused"),
    "InvalidSync": Meaning("the sync cannot be understood", "look at the sync's condition Stalled"),
    "InvalidSpec": Meaning("the sync or the run asks for what cannot be done", "correct the field that is named"),
    "InvalidInput": Meaning("a setting is wrong", "correct the field that is named"),
    "ReservationLost": Meaning("the sync was deleted meanwhile, or is reserved for another run", "create another run"),
    # Its Job and its pod.
    "NameTaken": Meaning("a Job of the name is there and is not of this run", "delete or rename it, then run again"),
    "JobRefused": Meaning("Kubernetes calls the Job invalid", "correct spec.runner of the sync"),
    "JobForbidden": Meaning(
        "a quota, an admission policy or a missing right keeps the Job from being made; tried again every 30 s",
        "raise the quota, or change the policy that is named",
    ),
    "FailedCreate": Meaning(
        "a quota, an admission policy or a missing ServiceAccount keeps the pod from being made",
        "mend what the message names; the attempt goes on by itself",
    ),
    "ImagePullBackOff": Meaning(
        "the runner's image cannot be pulled", "check the image's name, the registry and the pull secret"
    ),
    "InvalidImageName": Meaning("the runner's image has a name that is none", "correct --runner-image"),
    "ErrImageNeverPull": Meaning(
        "the image is not on the node, and may not be pulled", "load it, or change the policy"
    ),
    "CreateContainerConfigError": Meaning("the container's settings refer to what is not there", "see the message"),
    "CreateContainerError": Meaning("the node cannot make the container", "see the message, and the pod's events"),
    "RunContainerError": Meaning("the node cannot start the container", "see the message, and the pod's events"),
    "Unschedulable": Meaning(
        "no node takes the pod", "lower spec.runner.resources.requests of the sync, or add nodes; see the message"
    ),
    "FailedMount": Meaning("a volume of the pod cannot be mounted", "mend what the message names, often a Secret"),
    "FailedAttachVolume": Meaning("a volume of the pod cannot be attached", "see the message"),
    "FailedMapVolume": Meaning("a volume of the pod cannot be mapped", "see the message"),
    "FailedCreatePodSandBox": Meaning("the node cannot set up the pod, often its network", "see the message"),
    "PodNotStarting": Meaning("the pod does not start, for the reason in the message", "see the pod's events"),
    "OOMKilled": Meaning("the runner used more memory than it may", "raise spec.runner.resources.limits.memory"),
    "Evicted": Meaning("the node needed the pod's place", "see the message; raise the runner's memory request"),
    "PodFailed": Meaning("the node ended the pod, for the reason in the message"),
    "StartError": Meaning("the runner's command cannot be executed", "check the runner's image"),
    "RunnerFailed": Meaning("the runner ended without a result", "read its log: kubectl logs job/NAME"),
    "PodLost": Meaning("the pod is gone, and nobody saw how it ended"),
    "JobDeleted": Meaning("somebody deleted the Job while it was under way", "use spec.cancel to stop a run"),
    "DeadlineExceeded": Meaning("the attempt took longer than it may", "raise spec.runner.timeout of the sync"),
    "Interrupted": Meaning("the pod was told to stop from outside"),
    # What the runner says itself.
    "SourceFailed": Meaning("the warehouse refused the query or the login", "the message has the server's words"),
    "SourceUnavailable": Meaning("the warehouse cannot be reached, or broke off"),
    "DestinationFailed": Meaning("the destination refused everything", "the message has the server's words"),
    "DestinationUnavailable": Meaning("the destination cannot be reached"),
    "DestinationAuth": Meaning("the destination refused the login", "renew the Secret that the connection names"),
    "StateUnavailable": Meaning("the state service or its database cannot be reached", "look at the API pod"),
    "StateNewer": Meaning("the state database was written by a newer version", "use that version, or a newer one"),
    "SnapshotDamaged": Meaning(
        "a part of the snapshot is missing or was changed",
        "restore it, or delete the sync's state and send everything again",
    ),
    "AnotherRunActive": Meaning("another runner holds the sync at the moment"),
    "Fenced": Meaning("a later run took the sync over, so this one stopped writing"),
    "RunnerExhausted": Meaning(
        "the runner has too little memory or disk for the sync", "raise spec.runner.resources of the sync"
    ),
    "ErrorBudgetExceeded": Meaning(
        "the destination refused more records than guards.maxRejected", "look at the dead letters, correct the mappings"
    ),
    "CanaryFailed": Meaning(
        "the destination refused too many of the first records", "look at the dead letters, correct the mappings"
    ),
    "InternalError": Meaning("the runner met a mistake of its own", "its log says where; report it"),
    "Error": Meaning("it failed, for the reason in the message"),
}
"""Of a SyncRun's condition Succeeded."""
