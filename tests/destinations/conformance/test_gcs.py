"""The gcs connector against moto, which answers Google's XML API where it is that of S3: CSV files, compressed."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from obstore.store import GCSStore

from bench.destinations import Bench
from tests.destinations.conformance.files import Files, FilesConformance
from tests.destinations.simulators.base import Window
from tests.destinations.simulators.objects import Gate
from tests.unit.state.object_stores import BUCKET, gs

TOKEN = "Credential=AKIATEST/20260101/us-east-1/s3/aws4_request"  # moto looks for the service's name in it


class Objects(Files):
    """Files in Google Cloud Storage."""

    connector = "gcs"

    def gate(self) -> Gate:
        return Gate(self.server.port, lambda headers: headers.get("Authorization") == f"Bearer {TOKEN}")

    def behind(self) -> GCSStore:
        return GCSStore(
            BUCKET,
            config={"base_url": f"http://127.0.0.1:{self.server.port}", "bearer_token": TOKEN},
            client_options={"allow_http": True},
        )

    def config(self) -> Mapping[str, Any]:
        return {
            "bucket": BUCKET,
            "endpoint": self.vendor.url,
            "prefix": self.prefix,
            "format": "csv",
            "compression": "gzip",
        }

    def login(self) -> Mapping[str, str]:
        return {"bearer_token": TOKEN}

    def wrong_login(self) -> Mapping[str, str]:
        return {"bearer_token": "another-token"}


class Measured(Objects):
    """With a server of its own, for the benchmark."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        with gs() as Measured.server:
            async with super().serving():
                yield


BENCHES = [
    Bench("gcs", Measured, "append", rows=200_000, documented=Window(1_000, 1.0), limited_rows=100_000),
]


class TestGcs(FilesConformance):
    """Files in Google Cloud Storage."""

    case = Objects

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def server() -> Iterator[None]:
        """One server for all tests."""
        with gs() as Objects.server:
            yield
