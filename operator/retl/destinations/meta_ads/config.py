"""Settings and login of the meta_ads connector, as they stand in manifests and Secrets."""

from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from retl.resources.destination import RateLimit
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials, ConnectorInfo

ACCOUNT_CALLS = RateLimit(requests=5_000, per=timedelta(hours=1))
"""Of an ad account whose app has standard access; more with advanced access (Marketing API, Rate Limiting)."""


class MetaAdsConfig(ConnectorConfig):
    """People in Meta custom audiences (customer lists): added, removed, mirrored, or the whole list replaced."""

    place: ClassVar[frozenset[str]] = frozenset({"base_url"})

    ad_account_id: str | None = Field(
        default=None,
        pattern=r"^(act_)?[0-9]+$",
        description="Whose audiences `retl` lists; without it, objects and fields are not found beforehand.",
    )
    api_version: str = Field(default="v26.0", pattern=r"^v[0-9]+\.[0-9]+$", description="Of the Graph API.")
    base_url: str = Field(default="https://graph.facebook.com", description="Of the Graph API, without a version.")
    max_records: int = Field(default=10_000, ge=1, le=10_000, description="People in one call; Meta takes 10,000.")
    on_invalid: Literal["search", "unknown"] = Field(
        default="search",
        description="Meta says how many people of a call were refused, not which. `search` halves the call until they "
        "are found; `unknown` sends nothing again, and calls all of them unknown.",
    )


class MetaAdsCredentials(ConnectorCredentials):
    """The access token of a system user, and the secret of its app where the app demands proof of it."""

    access_token: SecretStr = Field(description="Of a system user with the permission ads_management.")
    app_secret: SecretStr | None = Field(
        default=None, description="Signs each call (appsecret_proof); needed where the app requires it."
    )


def meta_ads_capabilities(config: MetaAdsConfig) -> Capabilities:
    """What an audience can do: people are in it or not, and to add or remove one twice does no harm."""
    return Capabilities(
        modes=frozenset({"upsert", "delete", "mirror"}),
        default_batch=config.max_records,
        max_batch=config.max_records,
        payload="json",
        declared={"replace": "mirror"},
        repeatable=frozenset({"upsert", "delete"}),
        results="aggregate",
        nulls="ignore",
        describes=config.ad_account_id is not None,
        every_row=frozenset({"replace"}),
        rate=ACCOUNT_CALLS,
    )


CONNECTOR = ConnectorInfo(
    MetaAdsConfig,
    MetaAdsCredentials,
    "retl.destinations.meta_ads.connector:MetaAds",
    meta_ads_capabilities,
    example={"adAccountId": "act_1234567890"},
)
