"""Settings and login of the s3 connector, as they stand in manifests and Secrets."""

from typing import ClassVar

from pydantic import Field, SecretStr

from retl.destinations.objects.config import PLACE, FilesConfig, files_capabilities
from retl.runspec.connectors import ConnectorCredentials, ConnectorInfo


class S3Config(FilesConfig):
    """Files in a bucket of Amazon S3, or of what speaks its API (MinIO, R2, Ceph): Parquet, CSV or JSON lines."""

    place: ClassVar[frozenset[str]] = PLACE | {"bucket"}

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="Name of the bucket.")
    region: str = Field(default="us-east-1", pattern=r"^[a-z0-9-]+$", description="In which the bucket is.")
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^/@?#]+/?$",
        description="URL of another server than Amazon's; the bucket's name is then in the path.",
    )
    kms_key: str | None = Field(
        default=None,
        min_length=1,
        description="Id of the KMS key that files are encrypted with; without it, as the bucket says.",
    )


class S3Credentials(ConnectorCredentials):
    """An access key. Without a Secret, the role of the runner's ServiceAccount (IRSA) is used."""

    access_key_id: SecretStr | None = Field(default=None, description="Id of the key.")
    secret_access_key: SecretStr | None = Field(default=None, description="The key.")
    session_token: SecretStr | None = Field(default=None, description="Of a key that expires.")


CONNECTOR = ConnectorInfo(
    S3Config,
    S3Credentials,
    "retl.destinations.s3.connector:S3",
    files_capabilities,
    example={"bucket": "exports", "region": "eu-central-1"},
)
