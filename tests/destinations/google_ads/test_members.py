"""What Google is told of a person: normalised, then hashed."""

import hashlib
from collections.abc import Mapping

import pytest

from retl.destinations.google_ads.members import Unusable, identify, kind_of, member

ADDRESS = {"givenName": "Mary-Ann ", "familyName": "O'Neil", "regionCode": "at", "postalCode": " SW1A 1AA"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("field", "value", "hashed"),
    [
        # The examples of "Format user data".
        ("emailAddress", "cloudy.sanfrancisco+shopping@gmail.com", "cloudysanfrancisco@gmail.com"),
        ("emailAddress", "user.name+NYC@Example.com", "user.name+nyc@example.com"),
        ("phoneNumber", "+1 (800)555-0100", "+18005550100"),
        ("emailAddress", " a. b@googlemail.com ", "ab@googlemail.com"),
        ("phoneNumber", "0043 1 234567", "+431234567"),
    ],
)
def test_a_contact_is_normalised_and_hashed(field: str, value: str, hashed: str) -> None:
    assert member({field: value}, "userData") == {"userData": {"userIdentifiers": [{field: sha(hashed)}]}}


def test_an_address_is_one_identifier_beside_the_others() -> None:
    told = member({"emailAddress": ["a@example.com", "b@example.com"], **ADDRESS}, "userData")
    address = {
        "givenName": sha("maryann"),
        "familyName": sha("oneil"),
        "regionCode": "AT",
        "postalCode": "SW1A 1AA",
    }
    assert told["userData"]["userIdentifiers"] == [
        {"emailAddress": sha("a@example.com")},
        {"emailAddress": sha("b@example.com")},
        {"address": address},
    ]


def test_an_address_that_is_not_whole_is_left_out() -> None:
    told = member({"emailAddress": "a@example.com", **ADDRESS, "postalCode": None}, "userData")
    assert [list(each) for each in told["userData"]["userIdentifiers"]] == [["emailAddress"]]


def test_what_is_hashed_already_is_left_as_it_is() -> None:
    told = member({"phoneNumber": sha("+18005550100").upper()}, "userData")
    assert told["userData"]["userIdentifiers"] == [{"phoneNumber": sha("+18005550100")}]


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"emailAddress": "secret"}, "emailAddress is no e-mail address"),
        ({"phoneNumber": "8005550100"}, "phoneNumber must begin with [+]"),
        ({"phoneNumber": "+1"}, "phoneNumber is no phone number"),
        ({**ADDRESS, "regionCode": "secretland"}, "regionCode must be a country"),
        ({**ADDRESS, "givenName": "..."}, "givenName has no letters"),
        ({"emailAddress": {"secret": 1}}, "emailAddress must be text"),
        ({"emailAddress": "a@example.com", "adUserData": "secret"}, "adUserData must be GRANTED or DENIED"),
        ({"emailAddress": [f"{n}@secret.example" for n in range(11)]}, "there are 11 identifiers"),
        ({"emailAddress": " ", "phoneNumber": None}, "no field that identifies"),
    ],
)
def test_a_value_that_cannot_be_matched_is_told_by_its_field_alone(record: Mapping[str, object], says: str) -> None:
    with pytest.raises(Unusable, match=says) as caught:
        member(record, "userData")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [(["emailAddress", "adUserData"], "userData"), (["mobileId"], "mobileData"), (["userId"], "userIdData")],
)
def test_fields_say_the_kind_of_members(fields: list[str], kind: str) -> None:
    assert kind_of(fields) == kind


@pytest.mark.parametrize("fields", [["emailAddress", "userId"], ["adUserData"], []])
def test_members_are_of_one_kind(fields: list[str]) -> None:
    with pytest.raises(Unusable, match="by one of these three"):
        kind_of(fields)


@pytest.mark.parametrize(
    ("key", "enough"),
    [(["emailAddress"], True), (list(ADDRESS), True), (["givenName"], False), (["adUserData"], False)],
)
def test_a_key_must_identify_somebody(key: list[str], enough: bool) -> None:
    assert identify(key) is enough
