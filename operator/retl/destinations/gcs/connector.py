"""Writes files into a bucket of Google Cloud Storage."""

from typing import TYPE_CHECKING

from obstore.store import GCSStore

from retl.destinations.gcs.config import GcsConfig, GcsCredentials
from retl.destinations.objects.access import check_identity
from retl.destinations.objects.config import files_capabilities
from retl.destinations.objects.destination import FilesDestination
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSConfig, RetryConfig


class Gcs(FilesDestination):
    """Files in Google Cloud Storage."""

    name = "gcs"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, GcsConfig)
        assert isinstance(credentials, GcsCredentials)
        self.capabilities = files_capabilities(config)
        self.config = config
        self.endpoint = config.endpoint
        self.where = f"bucket {config.bucket!r}"
        self._settings = config
        self._login = credentials

    def connect(self, client: "ClientConfig", retry: "RetryConfig") -> GCSStore:
        options: GCSConfig = {}
        if self._settings.endpoint is not None:
            options["base_url"] = self._settings.endpoint.rstrip("/")
        if self._login.service_account_key is not None:
            options["service_account_key"] = self._login.service_account_key.get_secret_value()
        elif self._login.bearer_token is not None:
            options["bearer_token"] = self._login.bearer_token.get_secret_value()
        else:
            check_identity(self.where, "GOOGLE_APPLICATION_CREDENTIALS")
        return GCSStore(self._settings.bucket, config=options, client_options=client, retry_config=retry)
