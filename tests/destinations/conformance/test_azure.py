"""The azure connector against Azurite, which looks at signatures: JSON lines."""

import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from obstore.store import AzureStore

from bench.destinations import Bench
from tests.destinations.conformance.files import Files, FilesConformance
from tests.destinations.simulators.base import Window
from tests.destinations.simulators.objects import Gate
from tests.unit.state.object_stores import BUCKET, az


class Objects(Files):
    """Files in Azure Blob Storage."""

    connector = "azure"

    @property
    def account(self) -> str:
        """Azurite's."""
        return self.server.environment["AZURE_STORAGE_ACCOUNT_NAME"]

    def gate(self) -> Gate:
        return Gate(self.server.port)

    def behind(self) -> AzureStore:
        return AzureStore(
            BUCKET,
            config={
                "account_name": self.account,
                "account_key": self.login()["account_key"],
                "endpoint": f"http://127.0.0.1:{self.server.port}/{self.account}",
            },
            client_options={"allow_http": True},
        )

    def config(self) -> Mapping[str, Any]:
        return {
            "account": self.account,
            "container": BUCKET,
            "endpoint": f"{self.vendor.url}/{self.account}",
            "prefix": self.prefix,
            "format": "jsonl",
        }

    def login(self) -> Mapping[str, str]:
        return {"account_key": self.server.environment["AZURE_STORAGE_ACCOUNT_KEY"]}

    def wrong_login(self) -> Mapping[str, str]:
        return {"account_key": base64.b64encode(b"another key").decode()}


class Measured(Objects):
    """With a server of its own, for the benchmark."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        with az() as Measured.server:
            async with super().serving():
                yield


BENCHES = [
    Bench("azure", Measured, "append", rows=200_000, documented=Window(20_000, 1.0), limited_rows=100_000),
]


class TestAzure(FilesConformance):
    """Files in Azure Blob Storage."""

    case = Objects

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def server() -> Iterator[None]:
        """One server for all tests."""
        with az() as Objects.server:
            yield
