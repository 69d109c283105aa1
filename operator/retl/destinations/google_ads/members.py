"""How a person is told to Google: identifiers normalised as the Data Manager API wants them, then hashed.

Pure. After "Data Manager API, Format user data" and the reference of AudienceMember. An audience has members of one
kind: people by their contacts, devices, or people by an identifier of the advertiser's own.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["userData", "mobileData", "userIdData"]
ADDRESS = ("givenName", "familyName", "regionCode", "postalCode")
"""They are matched together or not at all."""
CONSENTS = ("adUserData", "adPersonalization")
MOST_IDENTIFIERS = 10
HASHED = re.compile(r"[0-9a-fA-F]{64}")
GMAIL = frozenset({"gmail.com", "googlemail.com"})


class Unusable(ValueError):
    """A value that Google could not match. The message names the field and no value."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a member.

    Attributes:
        normal: what of a text is sent (raises Unusable).
        kind: of the members that it identifies; None if it identifies nobody.
    """

    type: str
    normal: Callable[[str], str]
    kind: Kind | None
    hashed: bool = False
    several: bool = False


def _email(text: str) -> str:
    name, _, domain = re.sub(r"\s", "", text).lower().rpartition("@")
    if not name or not domain or "@" in name:
        raise Unusable("is no e-mail address")
    if domain in GMAIL:
        name = name.partition("+")[0].replace(".", "")
    return f"{name}@{domain}"


def _phone(text: str) -> str:
    digits = re.sub(r"[^0-9]", "", text)
    if text.startswith("00"):
        digits = digits[2:]
    elif not text.startswith("+"):
        raise Unusable("must begin with + and the country code (E.164)")
    if not 7 <= len(digits) <= 15:
        raise Unusable("is no phone number with its country code")
    return f"+{digits}"


def _name(text: str) -> str:
    kept = "".join(char for char in text.lower() if unicodedata.category(char)[0] != "P").strip()
    if not kept:
        raise Unusable("has no letters")
    return kept


def _region(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2}", text):
        raise Unusable("must be a country as two letters (ISO 3166-1 alpha-2)")
    return text.upper()


def _consent(text: str) -> str:
    status = text.upper().removeprefix("CONSENT_")
    if status not in ("GRANTED", "DENIED"):
        raise Unusable("must be GRANTED or DENIED")
    return f"CONSENT_{status}"


FIELDS: Mapping[str, Field] = {
    "emailAddress": Field("e-mail address, or a list", _email, "userData", hashed=True, several=True),
    "phoneNumber": Field("phone number with + and country code, or a list", _phone, "userData", True, several=True),
    "givenName": Field("first name, with the rest of the address", _name, "userData", hashed=True),
    "familyName": Field("last name, with the rest of the address", _name, "userData", hashed=True),
    "regionCode": Field("country as two letters, with the rest of the address", _region, "userData"),
    "postalCode": Field("postcode, with the rest of the address", str, "userData"),
    "mobileId": Field("mobile advertising identifier, or a list", str, "mobileData", several=True),
    "userId": Field("an identifier of your own", str, "userIdData"),
    "adUserData": Field("consent: GRANTED or DENIED", _consent, None),
    "adPersonalization": Field("consent: GRANTED or DENIED", _consent, None),
}

NOBODY: Mapping[Kind, Mapping[str, Any]] = {
    "userData": {
        "userData": {"userIdentifiers": [{"emailAddress": hashlib.sha256(b"nobody@example.com").hexdigest()}]}
    },
    "mobileData": {"mobileData": {"mobileIds": ["00000000-0000-0000-0000-000000000000"]}},
    "userIdData": {"userIdData": {"userId": "nobody"}},
}
"""Members of each kind, to have a call validated with."""


def kind_of(fields: Sequence[str]) -> Kind:
    """The kind of members that these fields identify (raises Unusable if of none, or of several)."""
    kinds = {kind for name in fields if (kind := FIELDS[name].kind) is not None}
    if len(kinds) != 1:
        raise Unusable(
            "members of an audience are told by contacts (emailAddress, phoneNumber, an address), by mobileId or by "
            f"userId, by one of these three; not by {' and '.join(sorted(fields)) or 'nothing'}"
        )
    return kinds.pop()


def identify(fields: Sequence[str]) -> bool:
    """Whether a member can be found by these fields alone."""
    return set(ADDRESS) <= set(fields) or any(FIELDS[name].kind and name not in ADDRESS for name in fields)


def member(record: Mapping[str, object], kind: Kind) -> dict[str, Any]:
    """An AudienceMember as the API has it (raises Unusable)."""
    texts = {name: list(_texts(name, value)) for name, value in record.items()}
    consent = {name: texts[name][0] for name in CONSENTS if texts.get(name)}
    told = {"consent": consent} if consent else {}
    if kind == "mobileData":
        return {"mobileData": {"mobileIds": _some(texts.get("mobileId", []))}, **told}
    if kind == "userIdData":
        return {"userIdData": {"userId": _some(texts.get("userId", []))[0]}, **told}
    return {"userData": {"userIdentifiers": _some(list(_identifiers(texts)))}, **told}


def _identifiers(texts: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
    for name in ("emailAddress", "phoneNumber"):
        yield from ({name: text} for text in texts.get(name, []))
    address = {name: texts[name][0] for name in ADDRESS if texts.get(name)}
    if len(address) == len(ADDRESS):
        yield {"address": address}


def _some(found: list[Any]) -> list[Any]:
    if not found:
        raise Unusable("no field that identifies a person has a value")
    if len(found) > MOST_IDENTIFIERS:
        raise Unusable(f"there are {len(found)} identifiers, and Google takes {MOST_IDENTIFIERS} of a member")
    return found


def _texts(name: str, value: object) -> Iterator[str]:
    """The values of a field, normalised and hashed. What is a SHA-256 in hexadecimal digits already is left so."""
    field = FIELDS[name]
    for each in value if isinstance(value, list) and field.several else [value]:
        if each is None:
            continue
        if not isinstance(each, str | int) or isinstance(each, bool):
            raise Unusable(f"{name} must be text")
        text = str(each).strip()
        if not text:
            continue
        if field.hashed and HASHED.fullmatch(text):
            yield text.lower()
            continue
        try:
            normal = field.normal(text)
        except Unusable as error:
            raise Unusable(f"{name} {error}") from None
        yield hashlib.sha256(normal.encode()).hexdigest() if field.hashed else normal
