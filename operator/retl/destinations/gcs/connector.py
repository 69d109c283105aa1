"""Writes files into a bucket of Google Cloud Storage."""

import json
from typing import TYPE_CHECKING

from obstore.store import GCSStore

from retl.destinations.gcs.config import GcsConfig, GcsCredentials
from retl.destinations.objects.access import check_identity
from retl.destinations.objects.destination import FilesDestination
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSConfig, RetryConfig

OF_KEY = ("type", "private_key", "private_key_id", "client_email")
"""What a service account's key says of who it is."""


class Gcs(FilesDestination):
    """Files in Google Cloud Storage."""

    name = "gcs"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, GcsConfig)
        assert isinstance(credentials, GcsCredentials)
        super().__init__(config, config.endpoint, f"bucket {config.bucket!r}")
        self._settings = config
        self._login = credentials

    def connect(self, client: "ClientConfig", retry: "RetryConfig") -> GCSStore:
        options: GCSConfig = {}
        if self.endpoint is not None:
            options["base_url"] = self.endpoint
        if self._login.service_account_key is not None:
            options["service_account_key"] = identity(self._login.service_account_key.get_secret_value())
        elif self._login.bearer_token is not None:
            options["bearer_token"] = self._login.bearer_token.get_secret_value()
        else:
            check_identity(self.where, "GOOGLE_APPLICATION_CREDENTIALS")
        return GCSStore(self._settings.bucket, config=options, client_options=client, retry_config=retry)


def identity(key: str) -> str:
    """A service account's key without what the library would obey: where to call, and whether to log in at all."""
    try:
        held = json.loads(key)
    except ValueError:
        return key  # which the library refuses
    return json.dumps({name: held[name] for name in OF_KEY if name in held}) if isinstance(held, dict) else key
