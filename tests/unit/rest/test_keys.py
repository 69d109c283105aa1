"""The text of an API key, and the Secret that keeps what it is worth."""

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from retl.rest.callers import keys

UNTIL = datetime(2027, 1, 31, tzinfo=UTC)
IDENTITY = "k3yk3yk3yk3yk3y0"
TEXT = f"retl_{IDENTITY}_{'thetext2' * 6}abcd"  # the same in each of pytest's processes
KEY = keys.Key(IDENTITY, keys.Account("growth", "retl-operator"), UNTIL, keys.digest(TEXT), "nightly job")


def stored(**changes: str | None) -> dict[str, Any]:
    """The key's Secret as the API server answers it; None takes a field away."""
    secret = KEY.secret
    data = {name: value for name, value in (secret.pop("stringData") | changes).items() if value is not None}
    return secret | {"data": {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}}


def test_what_is_kept_of_a_key_is_read_again() -> None:
    assert keys.read(stored()) == KEY


def test_the_secret_says_what_a_key_is_worth_and_not_the_key() -> None:
    assert KEY.secret == {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "reverseetl.io/api-key",
        "metadata": {
            "name": f"retl-key-{IDENTITY}",
            "labels": {"reverseetl.io/api-key": IDENTITY, "reverseetl.io/workspace": "growth"},
        },
        "stringData": {
            "sha256": keys.digest(TEXT),
            "service-account": "growth/retl-operator",
            "expires-at": "2027-01-31T00:00:00Z",
            "description": "nightly job",
        },
    }
    assert TEXT[22:] not in repr(KEY) + str(KEY.secret)
    assert KEY.digest not in repr(KEY)


def test_no_two_keys_are_alike() -> None:
    made = [keys.generate() for _ in range(200)]
    assert len({text for _, text in made}) == len({identity for identity, _ in made}) == 200
    assert all(keys.id_of(text) == identity and keys.is_id(identity) for identity, text in made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "retl_",
        TEXT[:-1],
        TEXT + "a",
        TEXT.upper(),
        TEXT.replace("retl_", "retl-"),
        TEXT[:-1] + "1",
        TEXT[:-1] + "é",
        TEXT + "\n",
        f"retl_{IDENTITY[:-1]}/_{'a' * 52}",
        f"retl_{'../secrets/x'.ljust(16, 'x')}_{'a' * 52}",
    ],
)
def test_other_text_is_no_key(text: str) -> None:
    assert keys.id_of(text) is None


@pytest.mark.parametrize("text", ["", "abc", "A" * 16, "../../secrets/abc", "a" * 15 + "\n", "a" * 17])
def test_other_text_is_no_id(text: str) -> None:
    assert not keys.is_id(text)


def test_only_its_text_is_the_key() -> None:
    assert KEY.is_text(TEXT)
    assert not KEY.is_text(TEXT[:-1] + ("a" if TEXT[-1] != "a" else "b"))
    assert not KEY.is_text(keys.generate()[1])


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"sha256": None}, "sha256 is not 64 hexadecimal digits in lower case"),
        ({"sha256": ""}, "sha256 is not 64 hexadecimal digits in lower case"),
        ({"sha256": KEY.digest.upper() + "A"}, "sha256 is not 64 hexadecimal digits in lower case"),
        ({"service-account": None}, "service-account is not NAMESPACE/NAME"),
        ({"service-account": "retl-operator"}, "service-account is not NAMESPACE/NAME"),
        ({"service-account": "growth/a/b"}, "service-account is not NAMESPACE/NAME"),
        ({"service-account": "growth/../x"}, "service-account is not NAMESPACE/NAME"),
        ({"service-account": "growth:x/retl"}, "service-account is not NAMESPACE/NAME"),
        ({"service-account": "growth/retl\n"}, "service-account is not NAMESPACE/NAME"),
        ({"expires-at": None}, "expires-at is not a moment with its zone (RFC 3339)"),
        ({"expires-at": "never"}, "expires-at is not a moment with its zone (RFC 3339)"),
        ({"expires-at": "2027-01-31"}, "expires-at is not a moment with its zone (RFC 3339)"),
        ({"expires-at": "2027-01-31T00:00:00"}, "expires-at is not a moment with its zone (RFC 3339)"),
    ],
)
def test_a_secret_that_lacks_something_keeps_no_key(changes: dict[str, str | None], wrong: str) -> None:
    assert keys.read(stored(**changes)) == wrong


def test_a_secret_of_another_type_keeps_no_key() -> None:
    assert keys.read(stored() | {"type": "Opaque"}) == "its type is not reverseetl.io/api-key"
    assert keys.read(stored() | {"data": {"sha256": "/w=="}}) == "its data is not text"
    assert isinstance(keys.read({"type": "reverseetl.io/api-key", "metadata": {"name": "x"}}), str)


def test_moments_of_other_zones_are_understood() -> None:
    key = keys.read(stored(**{"expires-at": "2027-01-31T02:00:00+02:00"}))
    assert isinstance(key, keys.Key)
    assert key.expires == UNTIL


def test_a_key_is_kept_with_the_moment_in_utc() -> None:
    local = keys.Key(IDENTITY, KEY.account, UNTIL.astimezone(timezone(timedelta(hours=2))), KEY.digest)
    assert local.secret["stringData"]["expires-at"] == "2027-01-31T00:00:00Z"


def test_a_key_without_a_description_is_a_key() -> None:
    key = keys.read(stored(description=None))
    assert isinstance(key, keys.Key)
    assert key.description == ""
