"""Settings and login of the http connector, as they stand in manifests and Secrets."""

import re
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials, ConnectorInfo

HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
HEADER_TEXT = r"[\x20-\x7e\t]*"
StatusCode = Annotated[int, Field(ge=100, le=599)]


class HttpResults(ConnectorConfig):
    """Where a reply says what became of each record, and in which words.

    A result is a success if `successField` is true, or else if `statusField` holds a value of `successValues`. A result
    that has neither field is a success when the reply's own status is.
    """

    path: str = Field(default="results", description="Dotted path of the list in the reply; empty if the reply is it.")
    by: Literal["index", "key"] = Field(
        default="index", description="Results belong to records by their index in the request, or by the record's key."
    )
    covers: Literal["all", "failures"] = Field(
        default="all", description="Whether the list names every record, or only those that were refused."
    )
    index_field: str = Field(default="index", description="Counts from 0; without it, the place in the list counts.")
    key_field: str | None = Field(default=None, description="The mapping's key field if not set.")
    status_field: str = "status"
    success_field: str = "success"
    success_values: list[int | str] = Field(
        default_factory=list, description="Values of statusField that mean success; 200 to 299 if not set."
    )
    code_field: str = "code"
    message_field: str = "message"


def _endpoint(value: str | None) -> str | None:
    if value is None:
        return value
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    try:
        parts = urlsplit(value)
        if not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError:
        raise ValueError("is not a URL; write for example https://crm.example.com:8443/api/{object}") from None
    return value


def _placeholders(value: str | None) -> str | None:
    if value is not None and "{" in value.replace("{object}", "").replace("{key}", ""):
        raise ValueError("{object} and {key} are the only placeholders")
    return value


Url = Annotated[str, AfterValidator(_endpoint)]
RecordsUrl = Annotated[str, AfterValidator(_endpoint), AfterValidator(_placeholders)]
HeaderName = Annotated[str, Field(pattern=f"^{HEADER_NAME}$")]


class HttpOperation(ConnectorConfig):
    """How one operation is called, where that differs from the base call."""

    url: RecordsUrl | None = Field(default=None, description="As the base url.")
    method: Literal["POST", "PUT", "PATCH", "DELETE"] | None = None
    envelope: str | None = Field(default=None, description="As the base envelope; empty for none.")


class HttpOperations(ConnectorConfig):
    """Calls of the operations. All but delete are the base call if not set; delete is not offered then."""

    insert: HttpOperation | None = None
    update: HttpOperation | None = None
    delete: HttpOperation | None = None
    append: HttpOperation | None = None


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
    """An HTTP endpoint that takes JSON records, many or one in a call."""

    place: ClassVar[frozenset[str]] = frozenset({"url"})

    url: RecordsUrl = Field(
        description="May contain {object}, which stands for the sync's object, and with body object {key}, for the "
        "record's key."
    )
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, str] = Field(default_factory=dict)
    body: Literal["array", "object"] = Field(
        default="array", description="A call takes a list of records, or a single record."
    )
    envelope: str | None = Field(
        default=None, min_length=1, description="Key under which the body stands; the body is bare if not set."
    )
    operations: HttpOperations = Field(
        default=HttpOperations(), description="Operations that have a call of their own."
    )
    idempotency: HttpIdempotency | None = None
    results: HttpResults | None = Field(
        default=None, description="How the reply speaks of single records; without it, a reply speaks of all of them."
    )
    success_statuses: list[StatusCode] = Field(
        default_factory=list, description="Statuses that mean the request was taken; 200 to 299 if not set."
    )
    check_url: Url | None = Field(default=None, description="Read with GET before the run; must answer with 2xx.")
    token_header: HeaderName = Field(
        default="Authorization", description="Where the token goes; as Bearer in Authorization."
    )

    @field_validator("headers")
    @classmethod
    def _plain(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not re.fullmatch(HEADER_NAME, name) or not re.fullmatch(HEADER_TEXT, text):
                raise ValueError(f"{name!r}: names and values of headers are printable ASCII on one line")
        return value

    @model_validator(mode="after")
    def _key_of_one(self) -> Self:
        own = (self.operations.insert, self.operations.update, self.operations.delete, self.operations.append)
        urls = [self.url, *(operation.url for operation in own if operation)]
        if self.body == "array" and any("{key}" in (url or "") for url in urls):
            raise ValueError("{key} in a url needs body: object, because a call with many records has many keys")
        return self


def http_capabilities(config: HttpConfig) -> Capabilities:
    """What an endpoint can do."""
    single = config.body == "object"
    deletes = {"delete", "mirror"} if config.operations.delete else set()
    repeatable = {"upsert", "insert", "update", "delete"} | ({"append"} if config.idempotency else set())
    return Capabilities(
        modes=frozenset({"upsert", "insert", "update", "append"} | deletes),
        default_batch=1 if single else 500,
        max_batch=1 if single else 10_000,
        payload="json",
        repeatable=frozenset(repeatable),
    )


class HttpCredentials(ConnectorCredentials):
    """A bearer token, or a user name with its password. An endpoint that needs neither has no Secret."""

    token: SecretStr | None = None
    username: SecretStr | None = None
    password: SecretStr | None = None

    @field_validator("token")
    @classmethod
    def _plain(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(HEADER_TEXT, value.get_secret_value()):
            raise ValueError("must be printable ASCII on one line")
        return value

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        return self


CONNECTOR = ConnectorInfo(
    HttpConfig,
    HttpCredentials,
    "retl.destinations.http.connector:HttpDestination",
    http_capabilities,
    example={"url": "https://crm.example.com/api/{object}"},
)
