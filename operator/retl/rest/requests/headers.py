"""Reading headers: each that means something to us may be sent once, and must say something."""

from fastapi import Request

from retl.rest.problems import FieldError, Problem, unauthorized

_MAX_CREDENTIAL = 8 * 1024


def once(request: Request, name: str) -> str | None:
    """The value of a header; None if it is not sent (raises Problem 422 if it is sent twice, or empty)."""
    sent = request.headers.getlist(name)
    if not sent:
        return None
    if len(sent) > 1 or not sent[0].strip():
        wrong = "send it once" if len(sent) > 1 else "must not be empty"
        raise Problem(422, "invalid-input", f"{name}: {wrong}", errors=[FieldError(wrong, header=name)])
    return sent[0].strip()


def credential(request: Request) -> str:
    """What follows `Bearer` in the one Authorization header (raises Problem 401)."""
    sent = request.headers.getlist("authorization")
    scheme, _, text = (sent[0] if len(sent) == 1 else "").partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not 0 < len(text) <= _MAX_CREDENTIAL or not _one_word(text):
        raise unauthorized()
    return text


def _one_word(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
