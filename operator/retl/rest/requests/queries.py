"""Query parameters: each known, each once, and nothing but what is meant (`true`, not `yes`)."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from retl.resources.problems import suggestion
from retl.rest.problems import FieldError
from retl.rest.requests.bodies import invalid, words

Q = TypeVar("Q", bound=BaseModel)

# Python reads more than these: weeks, moments without seconds, `1_000`, digits of other scripts.
_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_DIGITS = re.compile(r"-?[0-9]{1,18}")


def _flag(text: Any) -> Any:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _moment(text: Any) -> datetime:
    try:
        return datetime.fromisoformat(text if _RFC_3339.fullmatch(text) else "").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a moment with its zone, such as 2025-01-31T00:00:00Z") from None


def _count(text: Any) -> int:
    if not _DIGITS.fullmatch(text):
        raise ValueError("must be a whole number")
    return int(text)


Flag = Annotated[bool, BeforeValidator(_flag)]
Count = Annotated[int, BeforeValidator(_count)]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]


class Query(BaseModel):
    """The query of an endpoint; one without parameters uses this itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class Writing(Query):
    """Of a request that writes."""

    dry_run: Flag = Field(False, alias="dryRun", description="The API server judges the write; nothing is kept.")


class Formatted(Query):
    """Of an answer that can be a manifest."""

    format: Literal["json", "yaml"] = Field("json", description="`yaml`: the manifest, to commit to Git.")


class Paged(Query):
    """Of a list in parts."""

    limit: Count = Field(50, ge=1, le=200, description="Most items of a page.")
    cursor: str | None = Field(
        None, min_length=1, max_length=8192, description="`meta.page.cursor` of the page before."
    )


def read(request: Request, model: type[Q]) -> Q:
    """The query of a request, checked (raises Problem 422 with all that is wrong)."""
    sent: dict[str, str] = {}
    wrong: list[FieldError] = []
    names = [field.alias or name for name, field in model.model_fields.items()]
    for name, value in request.query_params.multi_items():
        if name not in names:
            wrong.append(FieldError("unknown parameter" + suggestion(name, names), parameter=name))
        elif name in sent:
            wrong.append(FieldError("send it once", parameter=name))
        elif "\0" in value:
            wrong.append(FieldError("holds the character NUL", parameter=name))
        else:
            sent[name] = value
    try:
        read = model.model_validate_strings(sent)
    except ValidationError as error:
        items = error.errors(include_url=False)
        wrong += [FieldError(words(item, model), parameter=str(item["loc"][0])) for item in items]
    if wrong:
        raise invalid(wrong)
    return read
