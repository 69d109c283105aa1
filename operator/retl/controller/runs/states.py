"""What a SyncRun can be, and which changes of its phase there are. The decisions go no other way."""

from retl.controller.states import Edge, State

NEW = "New"
"""In the place of a phase: the controller has not looked at the run yet."""

RUN_STATES = (
    State(NEW, "it was created and nobody has looked at it yet"),
    State("Pending", "it waits for its sync, a slot at the destination, a queue, a Job, or the next attempt"),
    State("Running", "the Job of an attempt is under way, and the reason says so where its pod cannot start"),
    State("AwaitingApproval", "a limit of the sync would be passed, nothing was written, and a person decides"),
    State("Succeeded", "its work is done, and records that the destination refused are dead letters"),
    State("Failed", "it is given up for the reason that it names, and what was acknowledged is kept"),
    State("Cancelled", "somebody ended it, or another run answers its tick, and what was acknowledged is kept"),
)

RUN_EDGES = (
    Edge(NEW, "Pending", "it waits for its sync or a slot, or its first attempt is written down"),
    Edge(NEW, "Running", "the first Job of a tick, which is made before anything is written down, was taken up"),
    Edge(NEW, "AwaitingApproval", "that Job ended at a limit before it was seen running"),
    Edge(NEW, "Succeeded", "that Job ended well before it was seen running"),
    Edge(NEW, "Failed", "it cannot be run as it is, because of its spec, its sync, or a reference that is not there"),
    Edge(NEW, "Cancelled", "spec.cancel, or the run of a tick whose sync is not reserved for it"),
    Edge("Pending", "Running", "the Job of the attempt was taken up"),
    Edge("Pending", "AwaitingApproval", "the attempt ended at a limit before it was seen running"),
    Edge("Pending", "Succeeded", "the attempt ended well before it was seen running"),
    Edge("Pending", "Failed", "it cannot be run, its Job was refused, or no attempt is left"),
    Edge("Pending", "Cancelled", "spec.cancel"),
    Edge("Running", "Pending", "the attempt failed and another one may do better, or a queue took its place back"),
    Edge("Running", "AwaitingApproval", "a guard with onBreach AwaitApproval was breached, before the first write"),
    Edge("Running", "Succeeded", "the runner said so"),
    Edge("Running", "Failed", "another attempt would fail as well, or none is left"),
    Edge("Running", "Cancelled", "spec.cancel, and the runner has stopped"),
    Edge("AwaitingApproval", "Pending", "spec.approval names its plan, which the next attempt carries out"),
    Edge("AwaitingApproval", "Failed", "its sync, or what that refers to, is gone"),
    Edge("AwaitingApproval", "Cancelled", "spec.cancel"),
)
