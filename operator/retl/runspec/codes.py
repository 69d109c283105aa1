"""Why a record is a dead letter: the words that destinations, engine and state store share."""

from typing import Literal

Code = Literal[
    "DESTINATION_VALIDATION",
    "RATE_LIMIT",
    "DESTINATION_UNAVAILABLE",
    "DESTINATION_AUTH",
    "CAST_FAILED",
    "NULL_KEY",
    "DUPLICATE_KEY",
    "CONFLICT",
    "NOT_FOUND",
    "OUTCOME_UNKNOWN",
    "UNKNOWN",
]

FOR_ITS_OWN_SAKE: frozenset[Code] = frozenset(
    {"DESTINATION_VALIDATION", "CAST_FAILED", "NULL_KEY", "DUPLICATE_KEY", "CONFLICT", "NOT_FOUND"}
)
"""Codes of records that are refused again until they change; all others are sent again by the next run."""
