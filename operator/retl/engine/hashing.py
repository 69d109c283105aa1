"""Values that leave only as their hash: normalised as ad platforms ask for, then SHA-256 in hexadecimal digits.

Pure: SQL in, SQL out. Where nothing is left to hash there is no value, for the hash of an empty text is anybody's.
"""

from retl.resources.sync import Hash, Normalization

_SPACE = r"^[\s\p{Z}]+|[\s\p{Z}]+$"


def hashed(text: str, how: Hash) -> str:
    """SQL of the hash of a text; NULL for NULL and for a text that is empty once it is normalised."""
    return f"sha256(nullif({normalized(text, how.normalize)}, ''))"


def normalized(text: str, how: Normalization) -> str:
    """SQL of the text in the form that is hashed."""
    trimmed = f"regexp_replace({text}, '{_SPACE}', '', 'g')"
    digits = f"ltrim(regexp_replace({text}, '[^0-9]', '', 'g'), '0')"
    return {
        "None": text,
        "Trim": trimmed,
        "Lowercase": f"lower({trimmed})",
        "Email": f"lower({trimmed})",
        "Phone": f"('+' || nullif({digits}, ''))",
        "Digits": digits,
    }[how]
