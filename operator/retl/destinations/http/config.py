"""Settings and login of the http connector, as they stand in manifests and Secrets."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from retl.destinations.http.access import HttpCredentials, HttpOAuth2, HttpSignature, HttpTls
from retl.destinations.http.reading import HttpDiscovery, HttpLookup, HttpResults, HttpRule
from retl.destinations.http.shapes import HeaderName, HeaderText, RecordsText, RecordsUrl, StatusCode, Url
from retl.destinations.http.templates import OF_BODY, Json, Slot, compiled, names_in
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig, ConnectorInfo

STANDARD = ("insert", "update", "delete", "append")


class HttpOperation(ConnectorConfig):
    """How one operation is called, where that differs from the base call."""

    url: RecordsUrl | None = Field(default=None, description="As the base url.")
    method: Literal["POST", "PUT", "PATCH", "DELETE"] | None = Field(default=None, description="As the base method.")
    headers: dict[HeaderName, HeaderText] = Field(default_factory=dict, description="Beside the base headers.")
    query: dict[str, RecordsText] | None = Field(default=None, description="Instead of the base query.")
    envelope: str | None = Field(default=None, description="As the base envelope; empty for none.")
    body_template: dict[str, Any] | None = Field(default=None, description="As the base bodyTemplate.")
    record_template: dict[str, Any] | None = Field(default=None, description="As the base recordTemplate.")


class HttpOperations(ConnectorConfig):
    """Calls of the operations. All but delete are the base call if not set; delete is not offered then."""

    insert: HttpOperation | None = Field(default=None, description="How records are created.")
    update: HttpOperation | None = Field(default=None, description="How records are changed.")
    delete: HttpOperation | None = Field(default=None, description="How records are deleted.")
    append: HttpOperation | None = Field(default=None, description="How events are added.")


class HttpIdempotency(ConnectorConfig):
    """How the endpoint is told that a call is one it may have seen before. With it, an append may be repeated."""

    header: HeaderName | None = Field(
        default="Idempotency-Key", description="Header of each call: the record's id, or a digest of all records' ids."
    )
    field: str | None = Field(default=None, min_length=1, description="Field that each record's id is added in.")

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.header is None and self.field is None:
            raise ValueError("set header, or field, or both")
        return self


class HttpConfig(ConnectorConfig):
    """An HTTP endpoint that takes records as JSON, NDJSON or forms, many or one in a call."""

    place: ClassVar[frozenset[str]] = frozenset({"url"})

    url: RecordsUrl = Field(
        description="May contain {object}, which stands for the sync's object, and with body object {key}, for the "
        "record's key, and {record.PATH}, for a field of it."
    )
    method: Literal["POST", "PUT", "PATCH"] = Field(default="POST", description="Of every call that has no own.")
    headers: dict[HeaderName, HeaderText] = Field(
        default_factory=dict, description="Of every call; may have placeholders, as url."
    )
    query: dict[str, RecordsText] = Field(default_factory=dict, description="Parameters, with placeholders as url.")
    format: Literal["json", "ndjson", "form"] = Field(
        default="json", description="ndjson: a record a line; form: a record as the fields of a form."
    )
    body: Literal["array", "object"] = Field(
        default="array", description="A call takes a list of records, or a single record."
    )
    envelope: str | None = Field(
        default=None, min_length=1, description="Key under which the body stands; the body is bare if not set."
    )
    body_template: dict[str, Any] | None = Field(
        default=None,
        description="The body, where an envelope does not do: in it {records}, or with body object {record}, alone in "
        "a text, is what is sent.",
    )
    record_template: dict[str, Any] | None = Field(
        default=None,
        description="What each record is sent as: {record}, alone in a text, is the record, {record.PATH} a field.",
    )
    max_records: int = Field(default=10_000, ge=1, description="Most records that the endpoint takes in a call.")
    max_bytes: int | None = Field(default=None, ge=1, description="Most bytes of their JSON in a call.")
    operations: HttpOperations = Field(
        default=HttpOperations(), description="Operations that have a call of their own."
    )
    idempotency: HttpIdempotency | None = Field(default=None, description="How a call is known that is made again.")
    results: HttpResults | None = Field(
        default=None, description="How the reply speaks of single records; without it, a reply speaks of all of them."
    )
    rules: list[HttpRule] = Field(
        default_factory=list, description="What replies and results mean, before the usual reading of them."
    )
    success_statuses: list[StatusCode] = Field(
        default_factory=list, description="Statuses that mean the request was taken; 200 to 299 if not set."
    )
    lookup: HttpLookup | None = Field(default=None, description="How mappings look values up.")
    discovery: HttpDiscovery | None = Field(default=None, description="Where objects and fields are listed.")
    check_url: Url | None = Field(default=None, description="Read with GET before the run; must answer with 2xx.")
    token_header: HeaderName = Field(
        default="Authorization", description="Where the token goes; as Bearer in Authorization."
    )
    token_query: str | None = Field(
        default=None, min_length=1, description="Parameter of the query that the token goes in, instead of a header."
    )
    oauth2: HttpOAuth2 | None = Field(default=None, description="Fetch a token with the Secret's client_id.")
    signature: HttpSignature | None = Field(default=None, description="Sign each call with the Secret's signing_key.")
    tls: HttpTls = Field(default=HttpTls(), description="What connections must be like.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in _problems(self):
            raise ValueError(problem)
        return self

    def texts(self, operation: str) -> list[str]:
        """Texts of an operation's call that may have placeholders, the URL first."""
        own = self.own(operation)
        query = self.query if own.query is None else own.query
        return [own.url or self.url, *query.values(), *self.headers.values(), *own.headers.values()]

    def record(self, operation: str) -> Json:
        """What a record of an operation is sent as."""
        return self.own(operation).record_template or self.record_template or "{record}"

    def whole(self, operation: str) -> Json:
        """The body of an operation's call."""
        own = self.own(operation)
        content = "{records}" if self.body == "array" else "{record}"
        if own.envelope is None and (template := own.body_template or self.body_template) is not None:
            return template
        envelope = self.envelope if own.envelope is None else own.envelope
        return {envelope: content} if envelope else content

    def own(self, operation: str) -> HttpOperation:
        """Where an operation's call differs."""
        return getattr(self.operations, operation, None) or HttpOperation()


def _problems(config: HttpConfig) -> Iterator[str]:
    """What does not fit together."""
    if config.envelope and config.body_template:
        yield "envelope and bodyTemplate exclude each other; write the envelope into the template"
    if config.format == "ndjson" and (config.envelope or config.body_template or config.body == "object"):
        yield "format: ndjson is one record a line, without envelope and bodyTemplate, and with body: array"
    if config.format == "form" and config.body == "array":
        yield "format: form needs body: object, because a form holds one record"
    if config.token_query and config.oauth2:
        yield "tokenQuery and oauth2 exclude each other: a token that is fetched goes into a header"
    if config.results is None and any(rule.of == "result" for rule in config.rules):
        yield "a rule of: result needs results, where they stand"
    for operation in ("upsert", *(name for name in STANDARD if getattr(config.operations, name))):
        yield from _template_problems(config, operation)


def _template_problems(config: HttpConfig, operation: str) -> Iterator[str]:
    content, other = ("records", "record") if config.body == "array" else ("record", "records")
    in_texts = [name for text in config.texts(operation) for name in OF_BODY.findall(text)]
    whole, record = compiled(config.whole(operation)), compiled(config.record(operation))
    in_body = names_in(whole)
    of_one = [name for name in [*in_texts, *in_body] if name == "key" or name.startswith("record.")]
    if config.body == "array" and of_one:
        where = "a url" if of_one[0] in in_texts else "a body"
        yield f"{{{of_one[0]}}} in {where} needs body: object, because a call with many records has many"
    if {"record", "records"} & set(in_texts):
        yield "{record} and {records} stand in bodies only; write {record.PATH} for a field"
    if content not in in_body and not of_one:
        yield f"bodyTemplate needs {{{content}}}, which stands for what is sent"
    if other in in_body or "records" in names_in(record):
        yield f"with body: {config.body}, bodyTemplate has {{{content}}}, and recordTemplate {{record}}"
    for part in (*whole, *record):
        text = part.text if isinstance(part, Slot) else ""
        if text not in ("{record}", "{records}") and {"record", "records"} & set(OF_BODY.findall(text)):
            yield f"{{record}} and {{records}} must stand alone in their text, not as in {text!r}"


def http_capabilities(config: HttpConfig) -> Capabilities:
    """What an endpoint can do."""
    single = config.body == "object"
    deletes = {"delete", "mirror"} if config.operations.delete else set()
    repeatable = {"upsert", "insert", "update", "delete"} | ({"append"} if config.idempotency else set())
    return Capabilities(
        modes=frozenset({"upsert", "insert", "update", "append"} | deletes),
        default_batch=1 if single else min(500, config.max_records),
        max_batch=1 if single else config.max_records,
        max_bytes=config.max_bytes,
        payload="json",
        repeatable=frozenset(repeatable),
        lookups=config.lookup is not None,
        describes=config.discovery is not None,
    )


CONNECTOR = ConnectorInfo(
    HttpConfig,
    HttpCredentials,
    "retl.destinations.http.connector:HttpDestination",
    http_capabilities,
    example={"url": "https://crm.example.com/api/{object}"},
)
