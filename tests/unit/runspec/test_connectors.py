"""Connectors by name, and what a person is told about a wrong name, setting or login."""

from __future__ import annotations

import pytest
from pydantic import Field, SecretStr

from retl.errors import InvalidInput
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials, ConnectorInfo, Registry


class Tls(ConnectorConfig):
    verify_host: bool = True


class Config(ConnectorConfig):
    base_url: str
    page_size: int = Field(default=100, ge=1)
    tls: Tls | None = None


class Login(ConnectorCredentials):
    password: SecretStr


SHELF = ConnectorInfo(Config, Login, "retl.runspec.connectors:Registry")
OPEN = ConnectorInfo(Config, None, "there_is_no_such_package.shelf:Shelf")
REGISTRY = Registry(
    "destination",
    {"shelf": f"{__name__}:SHELF", "open": f"{__name__}:OPEN"},
    "retl.test.no.such.group",
)


def refusal(name: str = "shelf", **config: object) -> str:
    with pytest.raises(InvalidInput) as caught:
        REGISTRY.check(name, config)
    return str(caught.value)


def test_good_settings_become_the_connectors_own_model() -> None:
    config = REGISTRY.check("shelf", {"baseUrl": "http://x", "tls": {"verifyHost": False}})
    assert config == Config(base_url="http://x", tls=Tls(verify_host=False))


def test_an_unknown_connector_is_answered_with_a_guess_or_with_those_there_are() -> None:
    assert refusal("shelve") == "connector: there is no destination connector 'shelve'; did you mean 'shelf'?"
    assert refusal("zzz") == "connector: there is no destination connector 'zzz'; there are: open, shelf"


def test_wrong_settings_are_told_one_by_one_with_the_field_that_was_meant() -> None:
    assert refusal(baseurl="http://x", pageSize=0).split("; config.") == [
        "config.baseUrl: is required",
        "pageSize: must be at least 1",
        "baseurl: unknown field; did you mean baseUrl?",
    ]


def test_a_nested_setting_is_guessed_among_its_own_siblings() -> None:
    assert (
        refusal(baseUrl="http://x", tls={"verifyhost": True})
        == "config.tls.verifyhost: unknown field; did you mean verifyHost?"
    )


def test_a_login_becomes_secrets_that_do_not_print() -> None:
    login = REGISTRY.login("shelf", "crm-login", {"password": "hunter2", "other": "x"})
    assert isinstance(login, Login)
    assert login.password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(login)


def test_a_missing_key_of_a_secret_is_named_with_the_secret() -> None:
    with pytest.raises(InvalidInput) as caught:
        REGISTRY.login("shelf", "crm-login", {"passwort": "hunter2"})
    assert str(caught.value) == "Secret crm-login.password: is required"
    assert "hunter2" not in str(caught.value)


def test_a_login_that_nobody_referred_to_says_where_to_refer_to_it() -> None:
    with pytest.raises(InvalidInput, match=r"credentials.password: is required; set credentials.secretRef.name"):
        REGISTRY.login("shelf", None, {})


def test_a_connector_without_credentials_reads_none() -> None:
    assert REGISTRY.login("open", "crm-login", {"password": "hunter2"}) is None


def test_the_code_of_a_connector_is_loaded_by_its_path() -> None:
    assert REGISTRY.code("shelf") is Registry


def test_a_driver_that_is_not_installed_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(InvalidInput, match=r"needs the Python package 'there_is_no_such_package'; install reverse-etl"):
        REGISTRY.code("open")
