"""Settings and login of the azure connector, as they stand in manifests and Secrets."""

from typing import ClassVar

from pydantic import Field, SecretStr

from retl.destinations.objects.config import PLACE, FilesConfig, files_capabilities
from retl.runspec.connectors import ConnectorCredentials, ConnectorInfo


class AzureConfig(FilesConfig):
    """Files in a container of Azure Blob Storage or Data Lake Storage Gen2: Parquet, CSV or JSON lines."""

    place: ClassVar[frozenset[str]] = PLACE | {"account", "container"}

    account: str = Field(pattern=r"^[a-z0-9]{3,24}$", description="Name of the storage account.")
    container: str = Field(pattern=r"^[a-z0-9](-?[a-z0-9]){2,62}$", description="Name of the container.")
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^@?#]+$",
        description="URL of the account where it is not the public cloud's: sovereign clouds, Azurite.",
    )


class AzureCredentials(ConnectorCredentials):
    """The account's key, a shared access signature, or an app. Without a Secret, the runner's workload identity."""

    account_key: SecretStr | None = Field(default=None, description="A key of the account.")
    sas_token: SecretStr | None = Field(
        default=None, description="A shared access signature that may read, write, delete and list."
    )
    tenant_id: SecretStr | None = Field(default=None, description="Of the app (service principal).")
    client_id: SecretStr | None = Field(default=None, description="Of the app.")
    client_secret: SecretStr | None = Field(default=None, description="Of the app.")


CONNECTOR = ConnectorInfo(
    AzureConfig,
    AzureCredentials,
    "retl.destinations.azure.connector:Azure",
    files_capabilities,
    example={"account": "exports", "container": "crm"},
)
