"""The kinds by their names, and an object as the API server gives it."""

from typing import Any

Manifest = dict[str, Any]
"""An object as the API server gives it, or as it is sent there."""

SYNC, RUN, SOURCE, MODEL, DESTINATION = "ReverseETLSync", "SyncRun", "SyncSource", "SyncModel", "SyncDestination"
