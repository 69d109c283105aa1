"""The s3 connector against moto: Parquet files."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from obstore.store import S3Store

from bench.destinations import Bench
from retl.testing import Stage
from tests.destinations.conformance.files import Files, FilesConformance, own
from tests.destinations.simulators.base import Window
from tests.destinations.simulators.objects import Gate
from tests.unit.state.object_stores import BUCKET, s3

KEY = {"access_key_id": "AKIATEST", "secret_access_key": "hunter2-secret"}


class Objects(Files):
    """Files in S3."""

    connector = "s3"

    def gate(self) -> Gate:
        return Gate(self.server.port, lambda headers: "Credential=AKIATEST/" in headers.get("Authorization", ""))

    def behind(self) -> S3Store:
        return S3Store(
            BUCKET,
            config={
                "endpoint": f"http://127.0.0.1:{self.server.port}",
                "region": "eu-central-1",
                "access_key_id": KEY["access_key_id"],
                "secret_access_key": KEY["secret_access_key"],
            },
            client_options={"allow_http": True},
        )

    def config(self) -> Mapping[str, Any]:
        return {"bucket": BUCKET, "region": "eu-central-1", "endpoint": self.vendor.url, "prefix": self.prefix}

    def login(self) -> Mapping[str, str]:
        return KEY

    def wrong_login(self) -> Mapping[str, str]:
        return {"access_key_id": "AKIAOTHER", "secret_access_key": "another-secret"}


class Measured(Objects):
    """With a server of its own, for the benchmark."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        with s3() as Measured.server:
            async with super().serving():
                yield


BENCHES = [
    Bench("s3", Measured, "append", rows=200_000, documented=Window(3_500, 1.0), limited_rows=100_000),
]


class TestS3(FilesConformance):
    """Files in S3."""

    case = Objects

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def server() -> Iterator[None]:
        """One server for all tests."""
        with s3() as Objects.server:
            yield

    async def test_files_are_encrypted_with_the_key_that_is_named(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        case = stage.case
        assert isinstance(case, Objects)
        config = {**case.config(), "kmsKey": "alias/exports"}
        monkeypatch.setattr(case, "config", lambda: config)
        await own(stage, "append")
        await stage.run()
        login = {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/eu-central-1/s3/aws4_request"}
        async with httpx.AsyncClient(trust_env=False, headers=login) as client:
            answer = await client.head(f"http://127.0.0.1:{case.server.port}/{BUCKET}/{case.paths()[0]}")
        assert answer.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/exports"
