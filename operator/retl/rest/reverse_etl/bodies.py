"""What clients may send: camelCase, nothing unknown, nothing of another type.

A rule that the manifest has is the manifest's own type, so that both say the same. What only makes sense with the rest
of the sync (a field that is mapped twice, a mode that reads every row) the service finds out, as for a manifest.
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from retl.resources.fields import Column
from retl.resources.model import SQL_MAX
from retl.resources.rules import Matches
from retl.resources.sync import CRON_FORM, Cast, Hash, Lookup, Metadata, Mode
from retl.rest.requests import bodies


class Body(bodies.Body):
    """Base of all bodies: camelCase."""

    model_config = ConfigDict(alias_generator=to_camel)


def _schema(form: Matches, longest: int) -> WithJsonSchema:
    """Text of a form as JSON Schema says it, without the words for the API server."""
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": longest, "pattern": f"^(?:{form.pattern})$"})


_WORD = Matches("[A-Za-z0-9_.-]+", "write letters, digits, '_', '.' and '-', such as fixed_upstream")

Id = Annotated[str, Field(min_length=1, max_length=255)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"\S")]


class LookupBody(Lookup):
    """As in the manifest, by its camelCase names alone."""

    model_config = ConfigDict(populate_by_name=False)


class FieldMapping(Body):
    """One destination field and where its value comes from: exactly one of source, value and metadata.

    What is not sent of a destination field that is mapped already stays as it is.
    """

    source: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description='A column of the query, in double quotes where it is no identifier ("Account Name"); anything else '
        "is a scalar SQL expression over columns, such as upper(country).",
    )
    value: str | None = Field(default=None, max_length=4096, description="A constant; use cast for other types.")
    metadata: Metadata | None = Field(default=None, description="What the run says of itself.")
    destination: Column = Field(description="Field of the destination object.")
    key: bool | None = Field(default=None, description="The destination finds its record by this field.")
    cast: Cast | None = Field(default=None, description="Type that the value is turned into before it is sent.")
    skip_nulls: bool | None = Field(default=None, description="Leave the field out where the value is null.")
    only_if_empty: bool | None = Field(default=None, description="Write only where the destination has no value yet.")
    hash: Hash | None = Field(default=None, description="Send the hash instead of the value.")
    lookup: LookupBody | None = Field(default=None, description="Send what the destination holds for the value.")
    sensitive: bool | None = Field(default=None, description="Never show the value in messages and dead letters.")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if sum(origin is not None for origin in (self.source, self.value, self.metadata)) != 1:
            raise ValueError("set exactly one of source, value and metadata")
        return self


class ScheduleBody(Body):
    """When the sync runs by itself."""

    type: Literal["cron", "manual"]
    expression: Annotated[str, Field(min_length=1, max_length=255), CRON_FORM, _schema(CRON_FORM, 255)] | None = Field(
        default=None, description="Of type cron: minute, hour, day of month, month, day of week."
    )
    timezone: str | None = Field(
        default=None, min_length=1, max_length=64, description="Of type cron: IANA name; UTC if not set."
    )

    @model_validator(mode="after")
    def _of_its_type(self) -> Self:
        if self.type == "cron" and self.expression is None:
            raise ValueError("type cron needs expression, for example 15 */4 * * *")
        if self.type == "manual" and (self.expression, self.timezone) != (None, None):
            raise ValueError("type manual takes neither expression nor timezone")
        return self


Query = Annotated[
    str,
    StringConstraints(min_length=1, max_length=SQL_MAX, pattern=r"\S"),
    Field(
        description="One SELECT statement for the workspace's default source; or model:NAME, or ref('NAME'), "
        "for the rows of a SyncModel."
    ),
]
Destination = Annotated[Id, Field(description="As GET destinations shows it.")]
ObjectName = Annotated[Text, Field(description="Object of the destination, as GET objects shows it.")]
SyncMode = Annotated[
    Mode,
    _schema(get_args(Mode)[-1], 63),
    Field(description="upsert, insert, update, delete, or another of the connector."),
]
PrimaryKey = Annotated[
    list[Column],
    Field(
        max_length=16,
        description="Columns that identify a row; if not set those of the model, else those mapped with key: true.",
    ),
]


class CreateSync(Body):
    """A new sync."""

    name: Text
    source_query: Query
    destination_id: Destination
    object_name: ObjectName
    field_mappings: list[FieldMapping] = Field(min_length=1, max_length=500)
    sync_mode: SyncMode
    schedule: ScheduleBody | None = Field(default=None, description="Runs by hand only if not set.")
    primary_key: PrimaryKey | None = None
    enabled: bool | None = Field(default=None, description="True if not set.")


class ChangeSync(Body):
    """What a sync is to become; what is not sent stays as it is."""

    name: Text = ""
    source_query: Query = ""
    destination_id: Destination = ""
    object_name: ObjectName = ""
    field_mappings: list[FieldMapping] = Field(default=[], max_length=500, description="All of them.")
    sync_mode: SyncMode = ""
    schedule: ScheduleBody | None = Field(default=None, description="null: by hand only.")
    primary_key: PrimaryKey | None = Field(default=None, description="null: as if it had never been set.")
    enabled: bool = True


class RunSync(Body):
    """Which syncs to run: one of syncId and syncIds."""

    sync_id: Id | None = None
    sync_ids: list[Id] | None = Field(default=None, min_length=1, max_length=100, description="Each is run once.")
    full_refresh: bool | None = Field(default=None, description="Send every row again, also those that did not change.")

    @model_validator(mode="after")
    def _one_or_many(self) -> Self:
        if (self.sync_id is None) == (self.sync_ids is None):
            raise ValueError("set exactly one of syncId and syncIds")
        return self


class PlanSync(Body):
    """Which sync to plan a run of."""

    sync_id: Id


class ToggleSync(Body):
    """Switches a sync on or off."""

    sync_id: Id
    enabled: bool = Field(description="False: it runs no more by itself, but still when it is asked to.")


class ApproveRun(Body):
    """Consent to exactly one plan."""

    plan_hash: str = Field(min_length=1, max_length=64, description="plan_hash of the run, as it was looked at.")


class ResolveLetters(Body):
    """Which entries of the dead letter queue are dealt with, and how."""

    entry_ids: list[Id] = Field(min_length=1, max_length=1000)
    resolution: Annotated[str, Field(min_length=1, max_length=63), _WORD, _schema(_WORD, 63)] = Field(
        description="Why: fixed_upstream, skipped, manual_push, or a word of your own."
    )
    replay: bool | None = Field(
        default=None, description="Send the records again; an entry stays open until its record is written."
    )
