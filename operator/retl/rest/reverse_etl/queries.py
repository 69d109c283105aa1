"""Query parameters, snake_case as published."""

from typing import Annotated

from pydantic import Field

from retl.rest.requests.queries import Flag, Formatted, Moment, Paged, Query, Writing
from retl.rest.reverse_etl.answers import RunStatus

_Id = Annotated[str, Field(min_length=1, max_length=255)]
_OfSync = Field(None, description="Of one sync.")
_DestinationId = Annotated[_Id, Field(description="Id of the destination, or its name.")]


class Syncs(Paged, Formatted):
    """Which syncs."""

    destination_id: _DestinationId | None = None
    enabled: Flag | None = Field(None, description="True: those that run by themselves; false: all others.")


class SyncWrite(Writing, Formatted):
    """A write that can be answered by the manifest."""


class Destinations(Query):
    """Which destinations."""

    connector: str | None = Field(None, min_length=1, max_length=63, description="Of one connector, such as http.")


class Objects(Query):
    """Which objects of a destination."""

    destination_id: _DestinationId
    search: str = Field("", max_length=255, description="Part of the label or name, whatever its case.")
    refresh: Flag = Field(False, description="Have the destination looked at now, and wait for it (up to 60 s).")


class Fields(Query):
    """Which fields of an object."""

    destination_id: _DestinationId
    object_name: str = Field(min_length=1, max_length=255, description="`api_name` of the object.")
    refresh: Flag = Field(False, description="Have the destination looked at now, and wait for it (up to 60 s).")


class Runs(Paged):
    """Which runs."""

    sync_id: _Id | None = _OfSync
    status: RunStatus | None = Field(None, description="In this status.")


class Letters(Paged):
    """Which entries of the dead letter queue."""

    sync_id: _Id | None = _OfSync
    resolved: Flag = Field(False, description="False: open ones; true: those that are resolved.")


class LetterStatistics(Query):
    """Which entries count."""

    sync_id: _Id | None = _OfSync
    since: Moment | None = Field(None, description="Entries last seen, or resolved, at this moment or later.")
