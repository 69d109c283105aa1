"""What clients may send.

Only the form is judged here. What a sync may be is judged by the resources themselves, once the wish is merged into
what is there: a client can always send back what it was shown, also of a sync that was written by other means.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from retl.resources.sync import Cast
from retl.rest.requests.bodies import Body

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHOWN_MAX = 2 * 4096 + 2
"""Longest text by which the origin of a mapping is shown: a constant in quotes, of which each character may be two."""


def lower_uuid(text: str) -> str:
    """A UUID in its usual form, in lower case (raises ValueError)."""
    if not _UUID.fullmatch(lower := text.lower()):
        raise ValueError("must be a UUID, such as 550e8400-e29b-41d4-a716-446655440000")
    return lower


Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"\S")]
Uuid = Annotated[str, AfterValidator(lower_uuid), Field(json_schema_extra={"format": "uuid"})]
ReadOnly = Annotated[str | None, Field(json_schema_extra={"readOnly": True})]
JsonObject = dict[str, Any]


class FieldMapping(Body):
    """Which column goes to which field of the destination."""

    source_column: str = Field(
        min_length=1,
        max_length=SHOWN_MAX,
        description="Column name from the model. An origin that is no column is shown as its expression, as a "
        "constant in single quotes, or as {{RunId}} and the like, and may be sent back so.",
    )
    destination_field: str = Field(min_length=1, max_length=255, description="Field name in the destination.")
    type_cast: Cast | None = Field(default=None, description="Type conversion to apply.")


class Config(Body):
    """Further settings of the sync; each is set whole, null takes it back to its default."""

    model_config = ConfigDict(alias_generator=to_camel)

    object: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="Object, table or resource of the destination. A new sync without it: the annotation "
        "reverseetl.io/default-object of the SyncDestination, else the name of the SyncModel.",
    )
    key: list[str] | None = Field(
        default=None,
        max_length=500,
        description="Destination fields by which the destination identifies its records. Without it: those that "
        "columns of the primary key go to, else the first.",
    )
    all_columns: JsonObject | None = Field(default=None, description="spec.allColumns of the manifest.")
    change_detection: JsonObject | None = Field(default=None, description="spec.changeDetection of the manifest.")
    delivery: JsonObject | None = Field(default=None, description="spec.delivery of the manifest.")
    guards: JsonObject | None = Field(default=None, description="spec.guards of the manifest.")
    dead_letters: JsonObject | None = Field(default=None, description="spec.deadLetters of the manifest.")
    history: JsonObject | None = Field(default=None, description="spec.history of the manifest.")
    runner: JsonObject | None = Field(default=None, description="spec.runner of the manifest.")
    schedule: JsonObject | None = Field(default=None, description="spec.schedule of the manifest, without its cron.")


class ChangeSync(Body):
    """What is to change of a sync; what is not sent stays as it is, and so does what is sent as it is shown.

    The defaults stand for nothing: a field counts only if it was sent.
    """

    name: Name = Field(default="", description="Display name.")
    description: str | None = Field(default=None, max_length=4096, description="Description; null: none.")
    model_id: Uuid = Field(
        default="", description="Source model; the sync's own id if the query is written in the sync itself."
    )
    destination_id: Uuid = Field(default="", description="Target destination.")
    field_mapping: list[FieldMapping] = Field(default=[], max_length=500, description="All column-to-field mappings.")
    sync_mode: str = Field(default="", min_length=1, max_length=63, description="upsert, insert, update, or mirror.")
    schedule: str | None = Field(
        default=None,
        max_length=255,
        description="Cron expression of five fields, @hourly and the like, or @after; empty or null: none.",
    )
    primary_key: str = Field(
        default="", max_length=8192, description="Column that identifies a row; several are divided by commas."
    )
    config: Config | None = Field(default=None, description="Further settings of the sync.")
    status: str | None = Field(
        default=None, description="draft, active or paused; error can be sent back where it is shown."
    )
    id: ReadOnly = None
    workspace_id: ReadOnly = None
    status_error: ReadOnly = None
    created_by: ReadOnly = None
    created_at: ReadOnly = None
    updated_at: ReadOnly = None
    last_synced_at: ReadOnly = None
    last_run_id: ReadOnly = None


class CreateSync(ChangeSync):
    """A new sync; it is active unless `status` says otherwise."""

    name: Name = Field(description="Display name.")
    model_id: Uuid = Field(description="Source model.")
    destination_id: Uuid = Field(description="Target destination.")
    field_mapping: list[FieldMapping] = Field(
        max_length=500, description="Column-to-field mappings; empty only with config.allColumns."
    )
    sync_mode: str = Field(min_length=1, max_length=63, description="upsert, insert, update, or mirror.")
    primary_key: str = Field(
        max_length=8192, description="Column that identifies a row; several are divided by commas."
    )


class Trigger(Body):
    """How a run is to be."""

    full_refresh: bool | None = Field(default=None, description="Send every row again, also those that did not change.")


class ApproveRun(Body):
    """Consent to exactly one plan."""

    plan_hash: str = Field(min_length=1, max_length=64, description="plan_hash of the plan, as it was looked at.")
