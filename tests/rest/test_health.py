"""Liveness, readiness and metrics of the API pod, and what its access log says."""

import logging
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from retl.errors import StateError
from retl.resources.run import RunCounts
from retl.rest.app import create_apps
from retl.rest.metrics import Metrics
from retl.state.http import HttpStateStore
from retl.state.sql import SqlStateStore
from retl.state.store import Commit
from tests.rest.service import always_there, closed_door, listening, namespace_in_token
from tests.unit.state.databases import hashes, letter, request


def samples(exposition: str) -> dict[tuple[str, ...], float]:
    """Each sample by name and label values, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


async def test_a_pod_whose_database_does_not_answer_is_alive_but_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    def closed() -> SqlStateStore:
        raise StateError("state database db.internal:5432/retl: connection refused")

    apps = create_apps(closed, namespace_in_token, always_there, closed_door())
    async with listening(apps.public) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["detail"] == "the state database does not answer; try again"
        assert "db.internal:5432/retl: connection refused" in caplog.text
        assert ready.headers["retry-after"] == "1"
        assert samples((await client.get("/metrics")).text)[("retl_state_up",)] == 0


async def test_a_pod_whose_database_answers_is_ready_and_shows_what_waits(database: SqlStateStore) -> None:
    claim = await database.claim(request())
    await database.commit(claim, Commit(1, RunCounts(), dead_letters=[letter(hashes(1)), letter(hashes(1))]))
    apps = create_apps(lambda: database, namespace_in_token, always_there, closed_door())
    async with listening(apps.public) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("/readyz")).status_code == 200
        found = samples((await client.get("/metrics")).text)
    assert found[("retl_state_up",)] == 1
    assert found[("retl_state_open_dead_letters", "DESTINATION_VALIDATION", "growth", "contacts")] == 2
    assert 0 <= found[("retl_state_oldest_dead_letter_seconds", "growth", "contacts")] < 60
    assert found[("retl_state_claimed_syncs",)] == 1


async def test_the_database_is_asked_for_numbers_every_fifteen_seconds_at_most(database: SqlStateStore) -> None:
    claim, now = await database.claim(request()), [0.0]
    metrics = Metrics(lambda: database, clock=lambda: now[0])
    waiting = ("retl_state_open_dead_letters", "DESTINATION_VALIDATION", "growth", "contacts")
    shown = []
    for sequence, now[0] in enumerate((0.0, 14.9, 15.0), start=1):
        await database.commit(claim, Commit(sequence, RunCounts(), dead_letters=[letter(hashes(1))]))
        shown.append(samples((await metrics.exposition()).decode())[waiting])
    assert shown == [1, 1, 3]


async def test_requests_are_counted_by_route_and_code_and_never_by_uid(database: SqlStateStore, token: Path) -> None:
    apps = create_apps(lambda: database, namespace_in_token, always_there, closed_door())
    async with (
        listening(apps.internal) as internal,
        listening(apps.public) as public,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        runner = HttpStateStore(internal, token)
        for sync in ("contacts", "deals"):
            claim = await runner.claim(request(sync=sync))
            await runner.commit(claim, Commit(1, RunCounts(), hashes(1), hashes(1)))
        await runner.close()
        await client.get(f"{internal}/wp-login.php")
        exposition = (await client.get(f"{public}/metrics")).text
    found = samples(exposition)
    commits = "/internal/v1/syncs/{sync_uid}/runs/{run_uid}/claims/{fence}/commits"
    assert found[("retl_api_requests_total", "204", "POST", "internal", commits)] == 2
    assert found[("retl_api_requests_total", "404", "GET", "internal", "unmatched")] == 1
    assert found[("retl_api_request_seconds_count", "internal", commits)] == 2
    assert "uid-of-contacts" not in exposition
    assert "wp-login" not in exposition


async def test_a_mistake_in_the_program_is_a_problem_that_tells_nothing_and_is_counted(database: SqlStateStore) -> None:
    broken = True

    def store() -> SqlStateStore:
        if broken:
            raise RuntimeError("ada@example.com")
        return database

    apps = create_apps(store, namespace_in_token, always_there, closed_door())
    async with listening(apps.public) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.get("/readyz")
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert "ada@example.com" not in answer.text
        broken = False
        found = samples((await client.get("/metrics")).text)
    assert found[("retl_api_requests_total", "500", "GET", "public", "/readyz")] == 1


async def test_the_access_log_names_caller_and_outcome_and_neither_token_nor_body(
    database: SqlStateStore, service: str, token: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    runner = HttpStateStore(service, token)
    claim = await runner.claim(request())
    await runner.commit(claim, Commit(1, RunCounts(), dead_letters=[letter(hashes(1))]))
    await runner.close()
    lines = [record.getMessage() for record in caplog.records if record.name == "retl.rest.access"]
    assert lines[0].startswith("method=POST path=/internal/v1/syncs/uid-of-contacts/claims status=200 seconds=0.")
    assert " caller=growth/runner key=- workspace=- id=" in lines[0]
    assert len(lines) == 2
    assert "token-of-growth" not in caplog.text
    assert "ada@example.com" not in caplog.text


async def test_methods_that_clients_make_up_have_one_series_together(database: SqlStateStore) -> None:
    apps = create_apps(lambda: database, namespace_in_token, always_there, closed_door())
    async with listening(apps.public) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for number in range(3):
            await client.request(f"MADE{number}", "/nothing")
        counted = samples((await client.get("/metrics")).text)
    assert counted["retl_api_requests_total", "404", "(others)", "public", "unmatched"] == 3
