"""SyncModel: a named row set of a source."""

from typing import ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from retl.resources.fields import Column, Model, NameRef
from retl.resources.meta import Resource
from retl.resources.rules import Rule, rules
from retl.resources.source import ModelStatus

SQL_MAX = 65_536

ONE_ROW_SET = Rule("has(self.sql) != has(self.table)", "set exactly one of sql and table")


class SyncModelSpec(Model):
    """Which rows: a query or a whole table."""

    model_config = ConfigDict(json_schema_extra=rules(ONE_ROW_SET))

    source_ref: NameRef = Field(description="The SyncSource to read from.")
    sql: str | None = Field(default=None, min_length=1, max_length=SQL_MAX, description="A SELECT statement.")
    table: str | None = Field(
        default=None, min_length=1, max_length=255, description="A table or view, with its schema: analytics.accounts."
    )
    primary_key: list[Column] = Field(
        default_factory=list,
        max_length=16,
        description="Columns that identify a row; a sync without its own primaryKey takes these.",
    )

    @model_validator(mode="after")
    def _one_row_set(self) -> Self:
        if (self.sql is None) == (self.table is None):
            raise ValueError(ONE_ROW_SET.message)
        return self


class SyncModel(Resource):
    """A named row set."""

    plural: ClassVar[str] = "syncmodels"
    singular: ClassVar[str] = "syncmodel"
    short_names: ClassVar[tuple[str, ...]] = ("retlmodel",)

    kind: Literal["SyncModel"]
    spec: SyncModelSpec = Field(description="Which rows: a query or a whole table.")
    status: ModelStatus = ModelStatus()
