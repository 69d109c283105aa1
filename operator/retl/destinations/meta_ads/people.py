"""How a person is told to Meta: each field normalised as Meta normalises it, then hashed.

Pure. After "Customer File Custom Audiences", section on hashing and normalising, and the rules of Meta's own client
(facebook-business, CustomAudience.normalize_key). Where the client loses what the guide keeps, the guide holds: letters
beyond a to z stay in names, white space inside a postcode and leading zeros of a telephone number go, and MADID is not
hashed (as in the client's own example of add_users with MADID).
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

EDGES = " \t\r\n\0\x0b."
"""What stands around a value and does not belong to it."""
HASHED = re.compile(r"[0-9a-fA-F]{64}")


class Unusable(ValueError):
    """A value that Meta could not match. The message names the field and no value."""


@dataclass(frozen=True, slots=True)
class Field:
    """A key of the schema.

    Attributes:
        normal: what of a value is hashed (raises Unusable); it is given text without white space at its ends.
        hashed: whether it is sent as SHA-256.
        identifies: whether a person can be found by it, alone or with others.
    """

    type: str
    normal: Callable[[str], str]
    hashed: bool = True
    identifies: bool = True


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise Unusable("is no e-mail address")
    return text


def _phone(text: str) -> str:
    digits = re.sub(r"[^0-9]", "", text).lstrip("0")
    if not 7 <= len(digits) <= 15:
        raise Unusable("is no phone number with its country code")
    return digits


def _gender(text: str) -> str:
    if text[:1] not in ("m", "f"):
        raise Unusable("must be m or f")
    return text[:1]


def _year(text: str) -> str:
    if not re.fullmatch(r"(19|20)[0-9]{2}", text):
        raise Unusable("must be a year as 1900 to 2099")
    return text


def _two_digits(most: int) -> Callable[[str], str]:
    def normal(text: str) -> str:
        if not re.fullmatch(r"[0-9]{1,2}", text) or not 1 <= int(text) <= most:
            raise Unusable(f"must be a number from 1 to {most}")
        return text.zfill(2)

    return normal


def _letters(text: str) -> str:
    """Letters and their marks only: no punctuation, digits, white space."""
    kept = "".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c)[0] in "LM")
    if not kept:
        raise Unusable("has no letters")
    return kept


def _initial(text: str) -> str:
    return _letters(text)[0]


def _postcode(text: str) -> str:
    return re.sub(r"\s", "", text.partition("-")[0])


def _country(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2}", text):
        raise Unusable("must be a country as two letters (ISO 3166-1 alpha-2)")
    return text


def _value(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise Unusable("must be a number of 0 or more")
    return text


SCHEMA: Mapping[str, Field] = {
    "EXTERN_ID": Field("an identifier of your own", str, hashed=False),
    "EMAIL": Field("e-mail address", _email),
    "PHONE": Field("phone number with country code", _phone),
    "MADID": Field("mobile advertising identifier", str, hashed=False),
    "FN": Field("first name", _letters),
    "LN": Field("last name", _letters),
    "FI": Field("initial of the first name", _initial),
    "GEN": Field("m or f", _gender),
    "DOBY": Field("year of birth", _year),
    "DOBM": Field("month of birth", _two_digits(12)),
    "DOBD": Field("day of birth", _two_digits(31)),
    "CT": Field("city", _letters),
    "ST": Field("state or province", _letters),
    "ZIP": Field("postcode", _postcode),
    "COUNTRY": Field("country as two letters", _country),
    "LOOKALIKE_VALUE": Field("number of 0 or more", _value, hashed=False, identifies=False),
}


def person(record: Mapping[str, object], fields: Sequence[str]) -> list[str]:
    """What is sent of a record, one text a field; blank where it has no value.

    Raises:
        Unusable: a value cannot be matched, or there is none that identifies anybody.
    """
    sent = [_sent(name, record.get(name)) for name in fields]
    if not any(text and SCHEMA[name].identifies for name, text in zip(fields, sent, strict=True)):
        raise Unusable("no field that identifies a person has a value")
    return sent


def _sent(name: str, value: object) -> str:
    """One field, normalised and hashed. What is a SHA-256 in hexadecimal digits already is left as it is."""
    if value is None:
        return ""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise Unusable(f"{name} must be text or a number")
    field, text = SCHEMA[name], str(value).strip(EDGES).lower()
    if not text or (field.hashed and HASHED.fullmatch(text)):
        return text
    try:
        normal = field.normal(text)
    except Unusable as error:
        raise Unusable(f"{name} {error}") from None
    return hashlib.sha256(normal.encode()).hexdigest() if field.hashed else normal
