"""The error hierarchy: every failure a person can cause or must mend.

A message says what is wrong, where, and what to change. The command line maps each class to an exit code, the
controller to a condition's reason, the API to a problem type; nobody matches on text.
"""


class RetlError(Exception):
    """Base of all errors with a message meant for people."""

    reason = "Error"
    retriable = False
    """Whether the same run may succeed if it is only tried again later."""


class InvalidInput(RetlError):
    """A manifest, option or connector configuration is wrong; trying again will not help."""

    reason = "InvalidInput"


class Unresolved(InvalidInput):
    """A reference names an object that is not there.

    Args:
        message: names the object, the field and what to do.
        reason: CamelCase word for the condition, e.g. ``SourceNotFound``.
    """

    def __init__(self, message: str, *, reason: str = "ReferenceNotFound") -> None:
        super().__init__(message)
        self.reason = reason


class SourceError(RetlError):
    """The warehouse cannot be reached, refused the login, or refused the query."""

    reason = "SourceFailed"


class SourceUnavailable(SourceError):
    """The warehouse cannot be reached at the moment, or broke off."""

    reason = "SourceUnavailable"
    retriable = True


class DestinationError(RetlError):
    """The destination cannot take anything at all: unreachable, or the credentials were refused."""

    reason = "DestinationFailed"


class DestinationUnavailable(DestinationError):
    """The destination cannot be reached at the moment."""

    reason = "DestinationUnavailable"
    retriable = True


class RunnerExhausted(RetlError):
    """The machine that runs the sync has too little memory or disk for it."""

    reason = "RunnerExhausted"


class StateError(RetlError):
    """The state store cannot be used: unreachable, locked, or written by a newer version."""

    reason = "StateUnavailable"
    retriable = True


class SnapshotDamaged(StateError):
    """A part of a snapshot is missing or not what was written; to go on without it would send or delete wrongly."""

    reason = "SnapshotDamaged"
    retriable = False


class Busy(StateError):
    """Another run of the same sync holds the claim."""

    reason = "AnotherRunActive"


class Fenced(StateError):
    """A later claim took over; this runner must stop at once and write nothing more."""

    reason = "Fenced"
    retriable = False


class ErrorBudgetExceeded(RetlError):
    """The destination refused more records than the sync allows."""

    reason = "ErrorBudgetExceeded"


class CanaryFailed(RetlError):
    """The destination refused too many of the records that were sent before all others."""

    reason = "CanaryFailed"
