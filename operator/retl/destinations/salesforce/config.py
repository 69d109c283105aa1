"""Settings and login of the salesforce connector, as they stand in manifests and Secrets."""

from typing import Annotated, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from retl.resources.fields import Duration, parse_duration
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials, ConnectorInfo

OLDEST_VERSION = 46
"""The first with upserts of collections."""


def _origin(value: str) -> str:
    try:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError
    except ValueError:
        raise ValueError("is no address of an org; write https://NAME.my.salesforce.com") from None
    return value.rstrip("/")


def _version(value: str) -> str:
    if int(value.partition(".")[0]) < OLDEST_VERSION:
        raise ValueError(f"must be {OLDEST_VERSION}.0 or later, which upsert collections")
    return value


class SalesforceConfig(ConnectorConfig):
    """Records of standard and custom objects of a Salesforce org, found by an external id or by their Id.

    Few records travel as sObject Collections, many as jobs of the Bulk API 2.0.
    """

    place: ClassVar[frozenset[str]] = frozenset({"instance_url"})

    instance_url: Annotated[str, AfterValidator(_origin)] = Field(
        description="The org's My Domain: https://NAME.my.salesforce.com, or https://NAME--SANDBOX.sandbox.my.salesforce.com."
    )
    api_version: Annotated[str, AfterValidator(_version)] = Field(
        default="65.0", pattern=r"^[0-9]{2,3}\.0$", description="Version of the API, without a v."
    )
    audience: str = Field(
        default="https://login.salesforce.com",
        description="Whom the JWT is for; https://test.salesforce.com in a sandbox. Not used with a client secret.",
    )
    collection_records: int = Field(default=200, ge=1, le=200, description="Most records in a collection.")
    bulk_from: int | None = Field(
        default=2_000, ge=1, description="From so many rows of a run on, they travel as jobs; null for never."
    )
    bulk_records: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Records in a job. Salesforce works in batches of 10,000, and takes 15,000 of these in 24 hours.",
    )
    bulk_bytes: int = Field(
        default=100_000_000, ge=1_000, le=100_000_000, description="Most bytes of a job's records; 150 MB in base64."
    )
    lock_retries: int = Field(
        default=2, ge=0, le=10, description="How often a record that is locked is tried again before the next run does."
    )
    daily_reserve: int = Field(
        default=10,
        ge=0,
        le=100,
        description="Percent of the org's API calls of 24 hours that are left to others; then a run pauses.",
    )
    quota_pause: Duration = Field(
        default=parse_duration("15m"), description="How long it pauses when the calls of 24 hours are used up."
    )
    job_patience: Duration = Field(
        default=parse_duration("24h"), description="After so long a job's records are given up as unknown."
    )


class SalesforceCredentials(ConnectorCredentials):
    """The consumer key of an app, with its secret (client credentials flow), or with a user and a key (JWT bearer)."""

    client_id: SecretStr = Field(description="Consumer key of the connected or external client app.")
    client_secret: SecretStr | None = Field(default=None, description="Its consumer secret.")
    username: SecretStr | None = Field(default=None, description="The user that the JWT speaks for.")
    private_key: SecretStr | None = Field(
        default=None, description="RSA key in PEM whose certificate the app has; signs the JWT."
    )

    @model_validator(mode="after")
    def _one_flow(self) -> Self:
        if (self.username is None) != (self.private_key is None):
            raise ValueError("username and private_key belong together")
        if (self.client_secret is None) == (self.private_key is None):
            raise ValueError("set client_secret, or username and private_key")
        return self


def salesforce_capabilities(config: SalesforceConfig) -> Capabilities:
    """What an org can do."""
    return Capabilities(
        modes=frozenset({"upsert", "insert", "update", "delete", "mirror", "append"}),
        default_batch=config.collection_records,
        max_batch=config.collection_records,
        payload="json",
        lookups=True,
        describes=True,
        patience=config.job_patience,
    )


CONNECTOR = ConnectorInfo(
    SalesforceConfig,
    SalesforceCredentials,
    "retl.destinations.salesforce.connector:Salesforce",
    salesforce_capabilities,
    example={"instanceUrl": "https://example.my.salesforce.com"},
)
