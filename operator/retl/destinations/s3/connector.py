"""Writes files into a bucket of Amazon S3, or of what speaks its API."""

from typing import TYPE_CHECKING

from obstore.store import S3Store

from retl.destinations.objects.access import check_identity, complete_key
from retl.destinations.objects.destination import FilesDestination
from retl.destinations.s3.config import S3Config, S3Credentials
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import S3Config as Options


class S3(FilesDestination):
    """Files in S3."""

    name = "s3"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, S3Config)
        assert isinstance(credentials, S3Credentials)
        super().__init__(config, config.endpoint, f"bucket {config.bucket!r}")
        self._settings = config
        self._login = credentials

    def connect(self, client: "ClientConfig", retry: "RetryConfig") -> S3Store:
        config = self._settings
        options: Options = {"region": config.region}
        if self.endpoint is not None:
            options["endpoint"] = self.endpoint
        if config.kms_key is not None:
            options |= {"server_side_encryption": "aws:kms", "sse_kms_key_id": config.kms_key}
        return S3Store(config.bucket, config={**options, **self._key()}, client_options=client, retry_config=retry)

    def _key(self) -> "Options":
        login = self._login
        if login.access_key_id is None and login.secret_access_key is None:
            check_identity(self.where, "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")
            return {}
        key = {"access_key_id": login.access_key_id, "secret_access_key": login.secret_access_key}
        key_id, secret = complete_key(self.where, key)
        found: Options = {"access_key_id": key_id, "secret_access_key": secret}
        if login.session_token is not None:
            found["session_token"] = login.session_token.get_secret_value()
        return found
