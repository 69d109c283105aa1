"""Settings and Secret of whoever calls an endpoint: tokens, signatures, certificates."""

import re
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from retl.destinations.http.shapes import HEADER_TEXT, HeaderName, Url
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials


class HttpOAuth2(ConnectorConfig):
    """A token is fetched by client credentials (RFC 6749, 4.4), renewed in time, and once more when it is refused."""

    token_url: Url = Field(description="Where tokens are fetched.")
    scope: str | None = Field(default=None, description="Scopes, with spaces between.")
    parameters: dict[str, str] = Field(default_factory=dict, description="Further fields, such as audience.")
    client: Literal["header", "body"] = Field(
        default="header", description="Where the client's id and secret stand: Basic in a header, or in the body."
    )


class HttpSignature(ConnectorConfig):
    """Each call is signed with HMAC by the Secret's signing_key."""

    header: HeaderName = Field(default="X-Signature", description="Where the signature stands.")
    value: str = Field(
        default="{signature}",
        pattern=r"^[\x20-\x7e]*\{signature\}[\x20-\x7e]*$",
        description="What that header holds, such as sha256={signature} or t={timestamp},v1={signature}.",
    )
    content: str = Field(
        default="{body}",
        min_length=1,
        description="What is signed; {timestamp}, {method}, {path} (with its query) and {body} stand for the call's.",
    )
    algorithm: Literal["sha256", "sha512", "sha1"] = Field(default="sha256", description="Hash of the HMAC.")
    encoding: Literal["hex", "base64"] = Field(default="hex", description="How the signature is written.")
    key: Literal["text", "hex", "base64"] = Field(default="text", description="How the Secret writes the key.")
    timestamp_header: HeaderName | None = Field(
        default=None, description="Header with the timestamp: seconds since 1970."
    )


class HttpTls(ConnectorConfig):
    """What a connection must be like. Certificates stand in the Secret."""

    minimum_version: Literal["1.2", "1.3"] = Field(default="1.2", description="Oldest version of TLS that is spoken.")


class HttpCredentials(ConnectorCredentials):
    """A token, a user name with its password, or a client's id and secret for `oauth2`; further keys as settings ask
    for them. An endpoint that needs none of them has no Secret.
    """

    token: SecretStr | None = Field(default=None, description="A bearer token or an API key.")
    username: SecretStr | None = Field(default=None, description="For basic login, with password.")
    password: SecretStr | None = Field(default=None, description="For basic login, with username.")
    client_id: SecretStr | None = Field(default=None, description="For `oauth2`.")
    client_secret: SecretStr | None = Field(default=None, description="For `oauth2`.")
    signing_key: SecretStr | None = Field(default=None, description="For `signature`.")
    ca_certificate: SecretStr | None = Field(
        default=None, description="Certificates in PEM that are trusted beside the usual ones."
    )
    client_certificate: SecretStr | None = Field(
        default=None, description="A client's certificate in PEM, and those between it and its authority."
    )
    client_key: SecretStr | None = Field(default=None, description="Its key in PEM, without a passphrase.")

    @field_validator("token")
    @classmethod
    def _plain(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(HEADER_TEXT, value.get_secret_value()):
            raise ValueError("must be printable ASCII on one line")
        return value

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        for one, other in (
            ("username", "password"),
            ("client_id", "client_secret"),
            ("client_certificate", "client_key"),
        ):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{one} and {other} belong together")
        return self

    def plain(self, name: str) -> str:
        """The value of a key; empty if it is not there."""
        value: SecretStr | None = getattr(self, name)
        return value.get_secret_value() if value is not None else ""
