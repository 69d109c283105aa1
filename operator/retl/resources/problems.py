"""What is wrong with a manifest or a setting, in words that say what to change.

Pydantic knows which rule was broken and where; this turns that into one line a person can act on. Values are shown only
where the message needs them and the models put them in; secrets are checked by the same code.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]

_WORDS = {
    "missing": "is required",
    "string_type": "must be text; put it in quotes",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "dict_type": "must be an object, one `field: value` a line",
    "model_type": "must be an object, one `field: value` a line",
    "model_attributes_type": "must be an object, one `field: value` a line",
    "list_type": "must be a list, one `- item` a line",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "may have at most {max_length} characters",
    "too_long": "may have at most {max_length} items, and has {actual_length}",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where (from the root of the validated value), and what to change."""

    location: Location
    message: str


def problems(error: ValidationError, model: type[BaseModel] | None = None) -> list[Problem]:
    """All that a validation found, in the order of the fields.

    Args:
        error: what pydantic raised.
        model: the model that was validated, for a guess at the field that was meant.
    """
    return [
        Problem(tuple(item["loc"]), _message(item, model))
        for item in error.errors(include_url=False, include_input=False)
    ]


def describe(error: ValidationError, root: str, model: type[BaseModel] | None = None) -> list[str]:
    """A validation error as lines `path: what is wrong`; `root` stands before each path."""
    placed = [(path(problem.location, root), problem.message) for problem in problems(error, model)]
    return [f"{where}: {message}" if where else message for where, message in placed]


def path(location: Location, root: str = "") -> str:
    """A location as people write it: `spec.mappings[3].cast`."""
    text = root
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def suggestion(word: str, known: Sequence[str]) -> str:
    """`; did you mean x?` if one of the known words is close, else what there is."""
    guess = [k for k in known if _letters(k) == _letters(word)] or get_close_matches(word, known, 1)
    if guess:
        return f"; did you mean {guess[0]}?"
    return f"; there are: {', '.join(sorted(known))}" if known else ""


def _letters(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


def _message(item: ErrorDetails, model: type[BaseModel] | None) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        known = fields_at(model, item["loc"][:-1]) if model else []
        return "unknown field" + suggestion(str(item["loc"][-1]), known)
    if kind in ("string_too_short", "too_short"):
        thing = "characters" if kind == "string_too_short" else "items"
        return "must not be empty" if context["min_length"] == 1 else f"needs at least {context['min_length']} {thing}"
    if kind in _WORDS:
        return _WORDS[kind].format(**context)
    return item["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)


def fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """Names of the fields that may stand at a location, as manifests write them."""
    models = [model]
    for part in location:
        if isinstance(part, str):
            models = [
                inner
                for outer in models
                for name, field in outer.model_fields.items()
                if part in (field.alias, name)
                for inner in _models_in(field.annotation)
            ]
    return [field.alias or name for each in models for name, field in each.model_fields.items()]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
