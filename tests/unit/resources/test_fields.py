"""Durations, limits, quantities, moments and names, as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from retl.resources.fields import Bytes, Cores, DnsName, Duration, Limit, Moment, format_duration, parse_duration


def read(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("15m", 900), ("1h30m", 5400), ("7d", 604_800), ("1d1h1m1s", 90_061), ("90m", 5400)],
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@given(st.integers(min_value=1, max_value=999_999 * 86_400))
def test_a_duration_is_written_so_that_it_reads_the_same(seconds: int) -> None:
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


def test_no_time_at_all_is_written_as_seconds() -> None:
    assert format_duration(timedelta()) == "0s"


@pytest.mark.parametrize("value", ["", "30", "30 s", "1.5h", "5m1h", "-5s", "s", "1w", "１s", 30, None, True, "1s\n"])
def test_anything_else_is_no_duration_and_the_message_shows_the_form(value: Any) -> None:
    with pytest.raises(ValidationError, match="write a duration such as 30s, 15m, 1h30m or 7d"):
        read(Duration, value)


def test_a_duration_beyond_reckoning_is_refused_like_any_other() -> None:
    with pytest.raises(ValidationError, match="write a duration"):
        read(Duration, "99999999999999999999d")


@pytest.mark.parametrize("value", ["0s", "0d0h", timedelta(), timedelta(seconds=-1)])
def test_a_duration_is_longer_than_nothing(value: Any) -> None:
    with pytest.raises(ValidationError, match="must be longer than nothing"):
        read(Duration, value)


@pytest.mark.parametrize("value", [0, 500, "0%", "10%", "100%"])
def test_a_limit_is_a_number_or_a_percentage(value: Any) -> None:
    assert read(Limit, value) == value


@pytest.mark.parametrize("value", [-1, "101%", "110%", "10", "%", "1.5%", 1.5, True, None, "-1%", [], "10%\n"])
def test_anything_else_is_no_limit(value: Any) -> None:
    with pytest.raises(ValidationError, match=r"write a number of records \(500\) or a percentage \(10%\)"):
        read(Limit, value)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [(Cores, "500m", "500m"), (Cores, 2, "2"), (Cores, "0.5", "0.5"), (Bytes, "1Gi", "1Gi"), (Bytes, 1024, "1024")],
)
def test_a_quantity_is_read_as_kubernetes_writes_it(kind: Any, value: Any, text: str) -> None:
    assert read(kind, value) == text


@pytest.mark.parametrize(
    ("kind", "value"), [(Cores, "2Gi"), (Cores, -1), (Bytes, "1 Gi"), (Bytes, "1GiB"), (Bytes, True)]
)
def test_a_quantity_of_another_unit_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(ValidationError, match="write a number of"):
        read(kind, value)


def test_a_moment_is_a_point_in_time_with_its_zone() -> None:
    assert read(Moment, "2026-02-01T00:59:00+01:00") == datetime(2026, 1, 31, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize("value", ["2026-01-31T23:59:00", "2026-01-31", "2026-01-31 23:59:00Z", 0, "0"])
def test_a_moment_without_zone_or_second_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match="write a moment with its zone"):
        read(Moment, value)


@pytest.mark.parametrize("name", ["a", "crm", "sf-prod", "eu.crm-2", "0"])
def test_a_name_that_kubernetes_takes_is_taken(name: str) -> None:
    assert read(DnsName, name) == name


@pytest.mark.parametrize("name", ["CRM", "my_crm", "-crm", "crm-", "a..b", "a.-b", "crm ", "crm\n", "cŕm"])
def test_a_name_that_kubernetes_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="a name has lower-case letters, digits"):
        read(DnsName, name)
