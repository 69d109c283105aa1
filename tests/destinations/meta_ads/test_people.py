"""What Meta is told of a person: normalised, then hashed."""

import hashlib

import pytest

from retl.destinations.meta_ads.people import SCHEMA, Unusable, person

KNOWN = {"EXTERN_ID": "1"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("field", "value", "hashed"),
    [
        ("EMAIL", " Mary@Example.COM. ", "mary@example.com"),
        ("PHONE", "+44 844 412 4653", "448444124653"),
        ("PHONE", "001-650-555-1234", "16505551234"),
        ("PHONE", 16505551234, "16505551234"),
        ("FN", "Mary-Ann ", "maryann"),
        ("FN", "Zoë", "zoë"),
        ("FN", "Zoe\N{COMBINING DIAERESIS}", "zoë"),
        ("LN", "O'Neil 3rd", "oneilrd"),
        ("LN", "정", "정"),
        ("FI", "M.", "m"),
        ("GEN", "Female", "f"),
        ("DOBY", 1975, "1975"),
        ("DOBM", "7", "07"),
        ("DOBD", 31, "31"),
        ("CT", "New York", "newyork"),
        ("ST", "CA", "ca"),
        ("ZIP", "94035-1234", "94035"),
        ("ZIP", "SW1A 1AA", "sw1a1aa"),
        ("COUNTRY", "AT", "at"),
    ],
)
def test_a_value_is_normalised_and_hashed(field: str, value: object, hashed: str) -> None:
    assert person({field: value, **KNOWN}, [field, "EXTERN_ID"]) == [sha(hashed), "1"]


@pytest.mark.parametrize(
    ("field", "value", "sent"),
    [("EXTERN_ID", " U-17 ", "u-17"), ("MADID", "AECE52E7-03EE-455A-B3C4-E57283966239", None), ("EXTERN_ID", 17, "17")],
)
def test_identifiers_of_machines_and_ones_own_are_not_hashed(field: str, value: object, sent: str | None) -> None:
    assert person({field: value}, [field]) == [sent or str(value).lower()]


def test_what_is_hashed_already_is_left_as_it_is() -> None:
    assert person({"EMAIL": sha("mary@example.com").upper()}, ["EMAIL"]) == [sha("mary@example.com")]


def test_a_value_that_is_not_there_is_left_blank() -> None:
    assert person({"EMAIL": "", "PHONE": None, "EXTERN_ID": "1"}, ["EMAIL", "PHONE", "FN", "EXTERN_ID"]) == [
        "",
        "",
        "",
        "1",
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("EMAIL", "secret-value"),
        ("PHONE", "secret 12"),
        ("PHONE", "1" * 16),
        ("GEN", "x-secret"),
        ("DOBY", "75"),
        ("DOBM", "13"),
        ("DOBD", "secret"),
        ("FN", "123"),
        ("COUNTRY", "secretland"),
        ("LOOKALIKE_VALUE", "-1"),
        ("EMAIL", ["secret@example.com"]),
        ("GEN", True),
    ],
)
def test_a_value_that_cannot_be_matched_is_told_by_its_field_alone(field: str, value: object) -> None:
    with pytest.raises(Unusable, match=field) as caught:
        person({field: value, **KNOWN}, [field, "EXTERN_ID"])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("record", [{}, {"EMAIL": " "}, {"LOOKALIKE_VALUE": 1}])
def test_somebody_without_an_identifier_is_nobody(record: dict[str, object]) -> None:
    with pytest.raises(Unusable, match="no field that identifies"):
        person(record, list(SCHEMA))
