"""What a query is that stands in a request: SQL of its own, or the name of a model. Pure.

The dialect of the warehouse is not known here, so that only its form is looked at: whether it is one statement that
reads. The login of the source is what keeps it from writing.
"""

import re

_MODEL = re.compile(r"\s*(?:model:\s*(?P<plain>\S+)|ref\(\s*(?P<quote>['\"])(?P<quoted>[^'\"]+)(?P=quote)\s*\))\s*")
_NOT_CODE = re.compile(
    r"--[^\n]*|/\*(?:.*?\*/|.*)|'(?:[^']|'')*(?:'|\Z)|\"(?:[^\"]|\"\")*(?:\"|\Z)|`[^`]*(?:`|\Z)"
    r"|(?P<tag>\$(?:[A-Za-z_]\w*)?\$)(?:.*?(?P=tag)|.*)",
    re.DOTALL,
)
"""Comments and quoted texts; one that is not closed reaches to the end."""
_READS = re.compile(r"[\s(]*(select|with|values|table)\b", re.IGNORECASE)
_FURTHER = re.compile(r";\s*[^\s;]")


def model_named(query: str) -> str | None:
    """The model that `model:NAME` or `ref('NAME')` names; None for SQL."""
    found = _MODEL.fullmatch(query)
    return (found["plain"] or found["quoted"]) if found else None


def wrong_with(query: str) -> str:
    """What to change about SQL; empty if it is one statement that reads."""
    code = _NOT_CODE.sub(_blank, query)
    if _FURTHER.search(code):
        return "must be one statement; end it at the first semicolon"
    if not _READS.match(code):
        return "must be a query: begin it with SELECT, WITH, VALUES or TABLE, or name a model as model:NAME"
    return ""


def _blank(found: re.Match[str]) -> str:
    return " " if found[0].startswith(("--", "/*")) else "''"
