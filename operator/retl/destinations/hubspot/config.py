"""Settings and login of the hubspot connector, as they stand in manifests and Secrets."""

from datetime import timedelta
from typing import ClassVar, Self

from pydantic import Field, SecretStr, model_validator

from retl.resources.destination import RateLimit
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials, ConnectorInfo


class HubSpotAssociation(ConnectorConfig):
    """An association that has a label."""

    object: str = Field(min_length=1, description="The other object, as in `object` of a sync: companies, p123_car.")
    label: str = Field(min_length=1, description="The label as people see it in HubSpot, such as Primary.")


class HubSpotConfig(ConnectorConfig):
    """Records of HubSpot's CRM, standard or custom objects, by batches of its object APIs."""

    place: ClassVar[frozenset[str]] = frozenset({"base_url"})

    base_url: str = Field(
        default="https://api.hubapi.com",
        pattern=r"^https?://[^/?#\s]+/?$",
        description="Where the API is; it is the same for the accounts of all regions.",
    )
    api_version: str = Field(
        default="2026-03",
        pattern=r"^(v3|20[0-9]{2}-[0-9]{2})$",
        description="Version of the API: a dated one, or v3, which came before them.",
    )
    max_records: int = Field(default=100, ge=1, le=1_000, description="Most records that HubSpot takes in one call.")
    max_associations: int = Field(
        default=2_000, ge=1, le=10_000, description="Most associations that HubSpot takes in one call."
    )
    associations: dict[str, HubSpotAssociation] = Field(
        default_factory=dict,
        description="Names for associations with a label, for mappings into `associations.NAME`. A NAME that is not "
        "here is the other object itself, and its association has no label.",
    )


class HubSpotCredentials(ConnectorCredentials):
    """The access token of a private app; or client and refresh token of an app that was installed by OAuth."""

    access_token: SecretStr | None = Field(default=None, description="Of a private app; it does not expire.")
    client_id: SecretStr | None = Field(default=None, description="Of an OAuth app.")
    client_secret: SecretStr | None = Field(default=None, description="Of the same app.")
    refresh_token: SecretStr | None = Field(default=None, description="As the installation in the account gave it.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        oauth = (self.client_id, self.client_secret, self.refresh_token)
        if self.access_token is None and None in oauth:
            raise ValueError("give access_token; or client_id, client_secret and refresh_token")
        if self.access_token is not None and oauth != (None, None, None):
            raise ValueError("give access_token, or client_id, client_secret and refresh_token, and not both")
        return self


def hubspot_capabilities(config: HubSpotConfig) -> Capabilities:
    """What HubSpot can do. Its records are told apart by a unique property, so only an append is not repeatable."""
    return Capabilities(
        modes=frozenset({"upsert", "insert", "update", "delete", "mirror", "append"}),
        default_batch=config.max_records,
        max_batch=config.max_records,
        payload="json",
        lookups=True,
        describes=True,
        rate=RateLimit(requests=100, per=timedelta(seconds=10)),
    )


CONNECTOR = ConnectorInfo(
    HubSpotConfig, HubSpotCredentials, "retl.destinations.hubspot.connector:HubSpot", hubspot_capabilities
)
