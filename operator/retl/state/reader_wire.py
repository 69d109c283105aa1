"""How what people look at travels between the state service and the command line: JSON of the reader's own values."""

from typing import TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from retl.resources.fields import Model
from retl.state.store import DeadLetter, RunRecord, Statistics
from retl.state.wire import PREFIX as SERVICE
from retl.state.wire import BadMessage

M = TypeVar("M", bound=BaseModel)

PREFIX = f"{SERVICE}/reader"
MAX_PAGE = 10_001
"""Most entries of a page: those that `retl dlq list` shows, and one more."""
MAX_IDS = 10_000

LETTER = TypeAdapter(DeadLetter)
LETTERS = TypeAdapter(list[DeadLetter])
RUNS = TypeAdapter(list[RunRecord])
STATISTICS = TypeAdapter(Statistics)


class Resolve(Model):
    """Entries to dismiss."""

    ids: list[str] = Field(max_length=MAX_IDS)


class Erase(Model):
    """What to forget."""

    field: str = Field(min_length=1)
    value: str = Field(min_length=1)
    sync: str | None = None


class Number(Model):
    """How many entries were changed."""

    number: int


def read(model: type[M], body: bytes) -> M:
    """The message (raises BadMessage)."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise BadMessage(wrong) from None
