"""The CRM's objects: which fields they have and which values it takes."""

from datetime import UTC, date, datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

FIRST_POWERED_FLIGHT = 1903
LARGEST_CERTIFIED_SEATING = 853


def _not_in_the_future(year: int) -> int:
    this_year = datetime.now(UTC).year
    if year > this_year:
        raise ValueError(f"must not be after {this_year}")
    return year


class CrmObject(BaseModel):
    """Base of all objects: types are not guessed, unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)
    key: ClassVar[str]


class Aircraft(CrmObject):
    """A fixed wing aircraft of the fleet. Rotorcraft are not in this CRM's picklist."""

    key = "tail_number"

    tail_number: str = Field(pattern=r"^N[1-9][0-9A-HJ-NP-Z]{0,4}$", description="FAA registration.")
    built_year: Annotated[int, AfterValidator(_not_in_the_future)] | None = Field(default=None, ge=FIRST_POWERED_FLIGHT)
    category: Literal["Fixed wing multi engine", "Fixed wing single engine"]
    manufacturer: str = Field(min_length=1, max_length=80)
    model: str = Field(min_length=1, max_length=40)
    engine_count: int = Field(ge=1, le=8)
    engine: Literal["Reciprocating", "Turbo-fan", "Turbo-jet", "Turbo-prop", "Turbo-shaft"]
    seats: int = Field(ge=1, le=LARGEST_CERTIFIED_SEATING)
    cruise_speed_mph: int | None = Field(default=None, ge=30, le=700)

    @model_validator(mode="after")
    def _plausible(self) -> Self:
        if self.seats < self.engine_count:
            raise ValueError(f"{self.seats} seats are too few for an aircraft with {self.engine_count} engines")
        return self


class Account(CrmObject):
    """A company that buys."""

    key = "account_id"

    account_id: str = Field(pattern=r"^A-[0-9]{4}$")
    name: str = Field(min_length=1, max_length=80)
    country: str = Field(pattern=r"^[A-Z]{2}$", description="ISO 3166 alpha-2.")
    employees: int | None = Field(default=None, ge=1)
    annual_revenue: float | None = Field(default=None, ge=0)
    renewal: Annotated[date, Field(strict=False)] | None = None


OBJECTS: dict[str, type[CrmObject]] = {"account": Account, "aircraft": Aircraft}


def problems(error: ValidationError) -> str:
    """All that is wrong with a record, as one line for people."""
    return "; ".join(_problem(item) for item in error.errors(include_url=False))


def _problem(item: ErrorDetails) -> str:
    field, message = ".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, ")
    if item["type"] == "literal_error":
        return f"{field}: {item['input']!r} is not {item['ctx']['expected']}"
    if not field:
        return message
    said_all = item["type"] in {"missing", "extra_forbidden"}
    return f"{field}: {message}" if said_all else f"{field}: {message}, got {item['input']!r}"
