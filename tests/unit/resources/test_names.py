"""Names of children, and the limits that leave room for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from retl.resources.names import (
    LABEL_MAX,
    RUN_NAME_MAX,
    SYNC_NAME_MAX,
    job_name,
    local_run_name,
    local_uid,
    tick_run_name,
)

TICK = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)


def test_a_tick_names_its_run_in_utc() -> None:
    elsewhere = TICK.astimezone(timezone(timedelta(hours=9)))
    assert tick_run_name("accounts", TICK) == tick_run_name("accounts", elsewhere) == "accounts-202601312359"


def test_the_longest_names_leave_room_for_their_children() -> None:
    run = tick_run_name("s" * SYNC_NAME_MAX, TICK)
    assert len(run) == RUN_NAME_MAX
    assert len(job_name(run, 9999)) == LABEL_MAX


def test_a_local_run_is_named_by_its_second_and_four_random_digits() -> None:
    assert local_run_name("accounts", TICK, b"\x0a\xff") == "accounts-20260131235900-0aff"


def test_a_local_uid_depends_on_namespace_and_name_and_never_changes() -> None:
    assert local_uid("default", "accounts") == "ffbf8819-a058-5fba-94dc-3473d76f8413"
    assert local_uid("growth", "accounts") != local_uid("default", "accounts")
