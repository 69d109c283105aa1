"""Writes files into a container of Azure Blob Storage."""

from typing import TYPE_CHECKING

from obstore.store import AzureStore

from retl.destinations.azure.config import AzureConfig, AzureCredentials
from retl.destinations.objects.access import check_identity, complete_key
from retl.destinations.objects.destination import FilesDestination
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

if TYPE_CHECKING:
    from obstore.store import AzureConfig as Options
    from obstore.store import ClientConfig, RetryConfig


class Azure(FilesDestination):
    """Files in Azure Blob Storage."""

    name = "azure"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, AzureConfig)
        assert isinstance(credentials, AzureCredentials)
        super().__init__(config, config.endpoint, f"container {config.container!r} of {config.account!r}")
        self._settings = config
        self._login = credentials

    def connect(self, client: "ClientConfig", retry: "RetryConfig") -> AzureStore:
        config = self._settings
        options: Options = {"account_name": config.account}
        if self.endpoint is not None:
            options["endpoint"] = self.endpoint
        return AzureStore(
            config.container, config={**options, **self._key()}, client_options=client, retry_config=retry
        )

    def _key(self) -> "Options":
        login = self._login
        if login.account_key is not None:
            return {"account_key": login.account_key.get_secret_value()}
        if login.sas_token is not None:
            return {"sas_key": login.sas_token.get_secret_value()}
        app = {"tenant_id": login.tenant_id, "client_id": login.client_id, "client_secret": login.client_secret}
        if any(app.values()):
            tenant_id, client_id, client_secret = complete_key(self.where, app)
            return {"tenant_id": tenant_id, "client_id": client_id, "client_secret": client_secret}
        check_identity(self.where, "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")
        return {}
