"""Settings and login of the gcs connector, as they stand in manifests and Secrets."""

from typing import ClassVar

from pydantic import Field, SecretStr

from retl.destinations.objects.config import PLACE, FilesConfig, files_capabilities
from retl.runspec.connectors import ConnectorCredentials, ConnectorInfo


class GcsConfig(FilesConfig):
    """Files in a bucket of Google Cloud Storage: Parquet, CSV or JSON lines."""

    place: ClassVar[frozenset[str]] = PLACE | {"bucket"}

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", description="Name of the bucket.")
    endpoint: str | None = Field(
        default=None, pattern=r"^https?://[^/@?#]+/?$", description="URL of another server than Google's."
    )


class GcsCredentials(ConnectorCredentials):
    """A service account's key, or a token. Without a Secret, the workload identity of the runner is used."""

    service_account_key: SecretStr | None = Field(default=None, description="The key's JSON, as Google gives it.")
    bearer_token: SecretStr | None = Field(
        default=None, description="A token that somebody else renews in the Secret; it is used as it is."
    )


CONNECTOR = ConnectorInfo(
    GcsConfig, GcsCredentials, "retl.destinations.gcs.connector:Gcs", files_capabilities, example={"bucket": "exports"}
)
