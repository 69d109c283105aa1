"""Settings and logins that are wrong, and what is said of them."""

from typing import Any

import pytest

from retl.destinations.registry import DESTINATIONS
from retl.errors import InvalidInput

ORG = "https://example.my.salesforce.com"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "config.instanceUrl: is required"),
        ({"instanceUrl": "example.my.salesforce.com"}, "write https://NAME.my.salesforce.com"),
        ({"instanceUrl": f"{ORG}/services/data"}, "write https://NAME.my.salesforce.com"),
        ({"instanceUrl": ORG, "apiVersion": "45.0"}, "must be 46.0 or later"),
        ({"instanceUrl": ORG, "apiVersion": "v65"}, "config.apiVersion"),
        ({"instanceUrl": ORG, "collectionRecords": 201}, "must be at most 200"),
        ({"instanceUrl": ORG, "quotaPause": "long"}, "config.quotaPause"),
        ({"instanceUrl": ORG, "bulkForm": 10}, "did you mean bulkFrom?"),
    ],
)
def test_a_wrong_setting_is_told_with_what_to_write(config: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        DESTINATIONS.check("salesforce", config)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("login", "words"),
    [
        ({"client_secret": "s3cret"}, "client_id"),
        ({"client_id": "key"}, "set client_secret, or username and private_key"),
        (
            {"client_id": "key", "client_secret": "s3cret", "username": "u", "private_key": "s3cret"},
            "set client_secret",
        ),
        ({"client_id": "key", "username": "u"}, "username and private_key belong together"),
    ],
)
def test_a_login_is_one_of_two_flows(login: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        DESTINATIONS.login("salesforce", "login", login)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_jobs_can_be_switched_off() -> None:
    config = DESTINATIONS.check("salesforce", {"instanceUrl": f"{ORG}/", "bulkFrom": None})
    assert config.model_dump()["bulk_from"] is None
    assert config.model_dump()["instance_url"] == ORG
