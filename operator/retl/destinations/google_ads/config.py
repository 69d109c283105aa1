"""Settings and login of the google_ads connector, as they stand in manifests and Secrets."""

from datetime import timedelta
from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator

from retl.resources.destination import RateLimit
from retl.resources.fields import Duration
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials, ConnectorInfo

AccountType = Literal["GOOGLE_ADS", "DISPLAY_VIDEO_ADVERTISER", "DISPLAY_VIDEO_PARTNER", "DATA_PARTNER"]
ConsentStatus = Literal["CONSENT_GRANTED", "CONSENT_DENIED"]
PROJECT_CALLS = RateLimit(requests=300, per=timedelta(minutes=1))
"""Of a Google Cloud project (Data Manager API, Limits and quotas); 100,000 a day besides."""


class GoogleAccount(ConnectorConfig):
    """An account of Google Ads or another Google product."""

    id: str = Field(pattern=r"^[0-9]+$", description="Digits only, without dashes.")
    type: AccountType = "GOOGLE_ADS"


class GoogleConsent(ConnectorConfig):
    """What the people of all records agreed to; a record's own fields adUserData and adPersonalization go before it."""

    ad_user_data: ConsentStatus | None = Field(default=None, description="That their data is used for ads.")
    ad_personalization: ConsentStatus | None = Field(default=None, description="That ads are personalised for them.")


class GoogleAdsConfig(ConnectorConfig):
    """Members of Google customer match audiences, through the Data Manager API: added, removed, mirrored, replaced."""

    place: ClassVar[frozenset[str]] = frozenset({"base_url", "account"})

    account: GoogleAccount = Field(description="Whose audiences they are.")
    login_account: GoogleAccount | None = Field(
        default=None, description="That the login may use, such as a manager account; `account` itself if not set."
    )
    linked_account: GoogleAccount | None = Field(
        default=None, description="That a data partner reaches the account through."
    )
    consent: GoogleConsent | None = Field(
        default=None, description="What the people have agreed to, sent in each call."
    )
    accept_customer_match_terms: bool = Field(
        default=False, description="Say in each call that the customer match terms are accepted."
    )
    acknowledge: Literal["processed", "accepted"] = Field(
        default="processed",
        description="`processed`: a run waits until Google has processed what it took. `accepted`: what Google took "
        "counts as written, and what fails in processing is never heard of.",
    )
    status_interval: Duration = Field(
        default=timedelta(minutes=1), description="How often to ask whether a request was processed."
    )
    patience: Duration = Field(
        default=timedelta(hours=24), description="After how long nobody waits for a request any more."
    )
    clock_tolerance: Duration = Field(
        default=timedelta(minutes=1),
        description="In mode replace, members are dropped that were last added this long before the run began, or "
        "earlier: as far as its clock may be ahead of Google's.",
    )
    max_members: int = Field(default=10_000, ge=1, le=10_000, description="In one call; Google takes 10,000.")
    quota_project: str | None = Field(
        default=None, description="Google Cloud project whose quota is used, if not the login's own."
    )
    api_version: str = Field(default="v1", pattern=r"^v[0-9]+[a-z0-9]*$", description="Of the Data Manager API.")
    base_url: str = Field(default="https://datamanager.googleapis.com", description="Of the Data Manager API.")
    token_url: str = Field(default="https://oauth2.googleapis.com/token", description="Where tokens are fetched.")


class GoogleAdsCredentials(ConnectorCredentials):
    """A service account's key, or a refresh token with the OAuth client that it was given to."""

    service_account: SecretStr | None = Field(default=None, description="The key as its JSON file has it.")
    client_id: SecretStr | None = Field(default=None, description="Of the OAuth client.")
    client_secret: SecretStr | None = Field(default=None, description="Of the OAuth client.")
    refresh_token: SecretStr | None = Field(
        default=None, description="Of a user, with the scope https://www.googleapis.com/auth/datamanager."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        client = (self.client_id, self.client_secret, self.refresh_token)
        if self.service_account is None and None in client:
            raise ValueError("set service_account, or client_id, client_secret and refresh_token")
        if self.service_account is not None and any(client):
            raise ValueError("set either service_account or a refresh token, not both")
        return self


def google_ads_capabilities(config: GoogleAdsConfig) -> Capabilities:
    """What an audience can do: people are members or not, and to add or remove one twice does no harm."""
    return Capabilities(
        modes=frozenset({"upsert", "delete", "mirror"}),
        default_batch=config.max_members,
        max_batch=config.max_members,
        payload="json",
        declared={"replace": "mirror"},
        repeatable=frozenset({"upsert", "delete"}),
        results="job" if config.acknowledge == "processed" else "record",
        nulls="ignore",
        describes=True,
        every_row=frozenset({"replace"}),
        rate=PROJECT_CALLS,
        patience=config.patience,
    )


CONNECTOR = ConnectorInfo(
    GoogleAdsConfig,
    GoogleAdsCredentials,
    "retl.destinations.google_ads.connector:GoogleAds",
    google_ads_capabilities,
    example={"account": {"id": "1234567890"}},
)
