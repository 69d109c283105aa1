"""What the destination connectors send, and what they check before anything is sent."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from retl.destinations.base import ACKNOWLEDGED, Batch, Destination, LoginRefused, Target, TryLater
from retl.destinations.registry import DESTINATIONS
from retl.errors import DestinationError, DestinationUnavailable, InvalidInput
from tests.destinations.endpoint import Endpoint
from tests.engine.warehouse import Warehouse
from tests.postgres import free_port


def target(object_name: str, *fields: str, key: tuple[str, ...] = ("id",)) -> Target:
    return Target(object_name, "upsert", key, ("id", *fields), timedelta(seconds=10))


def made(name: str, config: dict[str, Any], login: dict[str, str] | None = None) -> Destination:
    connector = DESTINATIONS.code(name)(DESTINATIONS.check(name, config), DESTINATIONS.login(name, "s", login or {}))
    assert isinstance(connector, Destination)
    return connector


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"url": "ftp://crm"}, "config.url: must begin with http:// or https://"),
        (
            {"url": "http://crm/{table}"},
            "config.url: {object}, {operation}, {callId}, {key} and {record.PATH} are the only placeholders",
        ),
        ({"url": "http://crm", "methd": "PUT"}, "config.methd: unknown field; did you mean method?"),
        ({}, "config.url: is required"),
        (
            {"url": "http://[::x/"},
            "config.url: is not a URL; write for example https://crm.example.com:8443/api/{object}",
        ),
        (
            {"url": "http://crm:99999/"},
            "config.url: is not a URL; write for example https://crm.example.com:8443/api/{object}",
        ),
        ({"url": "http:///x"}, "config.url: is not a URL; write for example https://crm.example.com:8443/api/{object}"),
        (
            {"url": "http://crm", "headers": {"X-Name": "Zoë"}},
            "config.headers.X-Name: values of headers are printable ASCII on one line",
        ),
    ],
)
def test_settings_are_checked(config: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        DESTINATIONS.check("http", config)
    assert str(raised.value) == words


@pytest.mark.parametrize("token", ["s3cret-wört", "s3cret\nword"])
def test_a_token_that_no_header_can_carry_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        DESTINATIONS.login("http", "crm-login", {"token": token})
    assert str(raised.value) == "Secret crm-login.token: must be printable ASCII on one line"


async def test_one_field_cannot_name_records_of_several_keys(endpoint: Endpoint) -> None:
    connector = made("http", {"url": endpoint.url, "results": {"by": "key", "keyField": "ref"}})
    with pytest.raises(DestinationError, match="2 mappings have key: true"):
        await connector.open(target("accounts", "region", key=("id", "region")))


async def test_records_travel_in_the_envelope_to_the_object_with_token_and_headers(endpoint: Endpoint) -> None:
    endpoint.token = "t0ken"
    config = {"url": endpoint.url + "/{object}", "envelope": "records", "headers": {"X-Team": "growth"}}
    connector = made("http", config, {"token": "t0ken"})
    await connector.open(target("accounts", "name"))
    payloads = [b'{"id":1,"name":"A"}', b'{"id":2,"name":"B"}']
    assert await connector.write(Batch(2, payloads)) == [ACKNOWLEDGED] * 2
    assert endpoint.records["2"] == {"id": 2, "name": "B"}
    await connector.close()
    await connector.close()


async def test_a_closed_port_is_tried_again_later(endpoint: Endpoint) -> None:
    connector = made("http", {"url": f"http://127.0.0.1:{free_port()}/"})
    await connector.open(target("accounts"))
    with pytest.raises(TryLater) as raised:
        await connector.write(Batch(1, [b'{"id":1}']))
    assert raised.value.code == "DESTINATION_UNAVAILABLE"
    await connector.close()


@pytest.mark.parametrize(
    ("object_name", "fields", "key", "words"),
    [
        ("crm.acounts", (), ("id",), "there is no table 'crm.acounts'; create it or correct object"),
        ("crm.accounts", ("Name",), ("id",), "table 'crm.accounts' has no column Name; it has: id, name"),
        ("crm.accounts", ("name",), ("name",), "has no unique constraint on (name), which the mappings mark as key"),
        ("crm.accounts", ("name",), ("id", "name"), "has no unique constraint on (id, name)"),
    ],
)
async def test_a_table_is_checked_before_anything_is_sent(
    warehouse: Warehouse, object_name: str, fields: tuple[str, ...], key: tuple[str, ...], words: str
) -> None:
    warehouse.run(
        "CREATE SCHEMA crm",
        "CREATE TABLE crm.accounts (id int PRIMARY KEY, name text)",
        "CREATE UNIQUE INDEX ON crm.accounts (name) WHERE id > 0",
    )
    connector = made("postgres", warehouse.config, warehouse.login)
    with pytest.raises(DestinationError) as raised:
        await connector.open(target(object_name, *fields, key=key))
    assert words in str(raised.value)
    await connector.close()


async def test_tables_columns_and_keys_may_have_any_name(warehouse: Warehouse) -> None:
    warehouse.run(
        'CREATE SCHEMA "My CRM"',
        'CREATE TABLE "My CRM"."Acc""ounts" ("id" int, "Na me" text, "{x}" jsonb, UNIQUE ("Na me", id))',
    )
    connector = made("postgres", warehouse.config, warehouse.login)
    await connector.open(
        Target('My CRM.Acc"ounts', "upsert", ("id", "Na me"), ("id", "Na me", "{x}"), timedelta(seconds=9))
    )
    table = pa.table({"id": [1, 2], "Na me": ["a", "b"], "{x}": ['{"a": 1.50}', None]})
    for _ in range(2):
        assert await connector.write(Batch(2, table=table)) == [ACKNOWLEDGED] * 2
    await connector.close()
    assert warehouse.rows('SELECT id, "Na me", "{x}"::text FROM "My CRM"."Acc""ounts" ORDER BY 1') == [
        (1, "a", '{"a": 1.50}'),
        (2, "b", None),
    ]


async def test_a_wrong_password_and_a_closed_port_are_told_apart(warehouse: Warehouse) -> None:
    wrong = made("postgres", warehouse.config, {**warehouse.login, "password": "guessed-wrong"})
    with pytest.raises(LoginRefused) as refused:
        await wrong.open(target("accounts"))
    assert "guessed-wrong" not in str(refused.value)
    closed = made("postgres", {**warehouse.config, "port": free_port()}, warehouse.login)
    with pytest.raises(DestinationUnavailable):
        await closed.open(target("accounts"))
    for connector in (wrong, closed):
        await connector.close()


async def test_a_table_that_is_locked_is_tried_again_later(warehouse: Warehouse) -> None:
    warehouse.run("CREATE TABLE accounts (id int PRIMARY KEY)")
    connector = made("postgres", warehouse.config, warehouse.login)
    await connector.open(Target("accounts", "upsert", ("id",), ("id",), timedelta(milliseconds=300)))
    warehouse.run("BEGIN", "LOCK TABLE accounts")
    with pytest.raises(TryLater, match="timeout"):
        await connector.write(Batch(1, table=pa.table({"id": [1]})))
    warehouse.run("ROLLBACK")
    assert await connector.write(Batch(1, table=pa.table({"id": [1]}))) == [ACKNOWLEDGED]
    await connector.close()
