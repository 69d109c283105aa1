"""Pydantic's findings in words that say what to change."""

from __future__ import annotations

from typing import Self

import pytest
from pydantic import ValidationError, model_validator

from retl.resources import ReverseETLSync
from retl.resources.fields import Model
from retl.resources.problems import describe, path, suggestion
from tests.unit.resources.cases import SYNC, change


class Pair(Model):
    low: int
    high: int

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low must not exceed high")
        return self


def test_a_rule_over_the_whole_value_is_told_without_a_path() -> None:
    with pytest.raises(ValidationError) as caught:
        Pair(low=2, high=1)
    assert describe(caught.value, "") == ["low must not exceed high"]
    assert describe(caught.value, "config") == ["config: low must not exceed high"]


def test_a_path_is_written_as_people_write_it() -> None:
    assert path(("spec", "mappings", 3, "cast")) == "spec.mappings[3].cast"
    assert path(("port",), "config") == "config.port"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("primarykey", "; did you mean primaryKey?"),
        ("primary_key", "; did you mean primaryKey?"),
        ("primryKey", "; did you mean primaryKey?"),
        ("colour", "; there are: mappings, primaryKey"),
    ],
)
def test_a_close_word_is_suggested_else_all_there_are(word: str, hint: str) -> None:
    assert suggestion(word, ["primaryKey", "mappings"]) == hint


def test_a_field_is_guessed_among_the_fields_of_its_own_place() -> None:
    with pytest.raises(ValidationError) as caught:
        ReverseETLSync.read(change(SYNC, {"spec.delivery.batchsize": 5, "spec.mappings.0.castt": "json"}))
    assert describe(caught.value, "", ReverseETLSync) == [
        "spec.mappings[0].castt: unknown field; did you mean cast?",
        "spec.delivery.batchsize: unknown field; did you mean batchSize?",
    ]


def test_every_destination_mapped_twice_is_told() -> None:
    with pytest.raises(ValidationError) as caught:
        ReverseETLSync.read(change(SYNC, {"spec.mappings": [{"source": "a", "destination": "A", "key": True}] * 3}))
    assert describe(caught.value, "") == [
        "spec.mappings[1].destination: A is mapped twice",
        "spec.mappings[2].destination: A is mapped twice",
    ]
