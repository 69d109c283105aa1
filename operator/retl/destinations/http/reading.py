"""Settings of how replies are read: results of single records, rules, lookups, discovery, pages."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from retl.destinations.http.shapes import FieldsUrl, ListPath, LookupText, LookupUrl, StatusCode, Url, ValuePath
from retl.runspec.connectors import ConnectorConfig

Verdict = Literal["taken", "skipped", "refused", "later", "rateLimit", "login", "stop"]


class HttpResults(ConnectorConfig):
    """Where a reply says what became of each record, and in which words.

    A result is a success if `successField` is true, or else if `statusField` holds a value of `successValues`. A result
    that has neither field is a success when the reply's own status is.
    """

    path: ListPath = Field(
        default="results", description="Path of the list in the reply, as $.data.results; empty if the reply is it."
    )
    by: Literal["index", "key"] = Field(
        default="index", description="Results belong to records by their index in the request, or by the record's key."
    )
    covers: Literal["all", "failures"] = Field(
        default="all", description="Whether the list names every record, or only those that were refused."
    )
    index_field: str = Field(default="index", description="Counts from 0; without it, the place in the list counts.")
    key_field: str | None = Field(default=None, description="The mapping's key field if not set.")
    status_field: str = Field(default="status", description="Of a result, as all fields here by name or path.")
    success_field: str = Field(default="success", description="True or false.")
    success_values: list[int | str] = Field(
        default_factory=list, description="Values of statusField that mean success; 200 to 299 if not set."
    )
    code_field: str = Field(default="code", description="Stands in dead letters, before the message.")
    message_field: str = Field(default="message", description="Stands in dead letters.")


class HttpRule(ConnectorConfig):
    """What a reply, or one record's result, means that the usual reading gets wrong. The first that fits counts."""

    of: Literal["reply", "result"] = Field(
        default="reply", description="A rule of results is asked of each item of `results`."
    )
    statuses: list[StatusCode] = Field(
        default_factory=list, description="Statuses that it fits, of the reply or of the result; any if not set."
    )
    path: ValuePath | None = Field(
        default=None, description="JSONPath of a value that must be there: $.error.code, $..errors[*].type."
    )
    values: list[bool | int | str] = Field(
        default_factory=list, description="It must be one of these; any but null and an empty one if not set."
    )
    means: Verdict = Field(
        description="taken; skipped (as it is already); refused (the record's fault); later (an outage); rateLimit; "
        "and of a reply also login (refused credentials) and stop (a wrong setting)."
    )

    @model_validator(mode="after")
    def _fits_something(self) -> Self:
        if not self.statuses and self.path is None:
            raise ValueError("set statuses, or path, or both; a rule without them would fit everything")
        if self.values and self.path is None:
            raise ValueError("values needs path: where they stand")
        if self.of == "result" and self.means in ("login", "stop"):
            raise ValueError(f"means: {self.means} speaks of a whole reply; write of: reply")
        return self


class HttpPages(ConnectorConfig):
    """How a list goes on where it comes in pages. Where a reply names the next page, it must be of the same server."""

    by: Literal["link", "next", "cursor", "page", "offset"] = Field(
        description="link: header Link with rel=next; next: the reply has the next page's URL at `path`; cursor: it "
        "has at `path` what `parameter` holds for the next page; page, offset: `parameter` counts pages, or items."
    )
    path: ValuePath | None = Field(default=None, description="For next and cursor: $.paging.next.after.")
    parameter: str | None = Field(
        default=None,
        min_length=1,
        description="Of the query; for cursor, page and offset. The call names no size by itself: write it into url.",
    )
    first: int = Field(default=1, ge=0, description="Number of the first page.")
    most: int = Field(default=1_000, ge=1, le=100_000, description="Pages that are read; more is an error.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.by in ("next", "cursor") and self.path is None:
            raise ValueError(f"by: {self.by} needs path: where a reply says what comes next")
        if self.by in ("cursor", "page", "offset") and self.parameter is None:
            raise ValueError(f"by: {self.by} needs parameter")
        return self


class HttpLookup(ConnectorConfig):
    """How `lookup` of mappings finds records by a field's values."""

    url: LookupUrl = Field(
        description="May contain {object}, {matchField}, {returnField}, and {value} (one value a call) or {values}."
    )
    method: Literal["GET", "POST"] = Field(default="GET", description="POST for a search with a body.")
    query: dict[str, LookupText] = Field(default_factory=dict, description="Further parameters, as url.")
    body: dict[str, Any] | None = Field(
        default=None, description="JSON of a POST; a text that is {values} alone becomes the list."
    )
    list: ListPath = Field(default="", description="Path of the records in the reply; empty if the reply is them.")
    at_once: int = Field(default=50, ge=1, le=500, description="Values that one call asks for.")
    separator: str = Field(default=",", description="Stands between values in a URL.")
    ignore_case: bool = Field(default=False, description="The endpoint finds Jane@x for jane@x.")
    pages: HttpPages | None = Field(default=None, description="Where the reply comes in pages.")

    @model_validator(mode="after")
    def _asks_for_values(self) -> Self:
        if self.body is not None and self.method == "GET":
            raise ValueError("body needs method: POST")
        if not any(f"{{{name}}}" in self.texts for name in ("value", "values")):
            raise ValueError("write {value} or {values} into url, query or body: what is looked up")
        return self

    @property
    def texts(self) -> str:
        """Everything that may have placeholders."""
        return f"{self.url} {self.query} {self.body}"

    @property
    def single(self) -> bool:
        """Whether a call asks for one value."""
        return "{value}" in self.texts


class HttpObjects(ConnectorConfig):
    """Where the endpoint lists its objects."""

    url: Url = Field(description="Read with GET.")
    list: ListPath = Field(default="", description="Path of the list in the reply; empty if the reply is it.")
    name: str = Field(default="name", description="Field of an item with the object's name.")
    pages: HttpPages | None = Field(default=None, description="Where the list comes in pages.")


class HttpFields(ConnectorConfig):
    """Where the endpoint lists the fields of an object."""

    url: FieldsUrl = Field(description="Read with GET; may contain {object}.")
    list: ListPath = Field(default="", description="Path of the list in the reply; empty if the reply is it.")
    name: str = Field(default="name", description="Field of an item with the field's name.")
    type: str = Field(default="type", description="… with its type.")
    required: str = Field(default="required", description="… that is true if a new record needs it.")
    read_only: str = Field(default="readOnly", description="… that is true if it cannot be written.")
    pages: HttpPages | None = Field(default=None, description="Where the list comes in pages.")


class HttpDiscovery(ConnectorConfig):
    """How checks and `retl validate --check` learn what the endpoint has."""

    objects: HttpObjects = Field(description="Where the objects are listed.")
    fields: HttpFields = Field(description="Where the fields of one are listed.")
