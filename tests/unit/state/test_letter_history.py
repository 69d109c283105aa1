"""Dead letters as the API shows and changes them: of one sync by its uid, counted since then, with what was said."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from retl.resources.run import RunCounts
from retl.state.history import RunsAsked
from retl.state.letter_pages import Asked
from retl.state.sql import SqlStateStore
from retl.state.store import Claim, ClaimRequest, Commit, DeadLetter, NewDeadLetter, StateStore
from tests.unit.state.databases import NAMESPACE, Backend, hashes, letter, request, result

KEY, OTHER = b"k" * 16, b"o" * 16
ADA = "7d1f6f0c-0000-5000-8000-00000000ada0"


async def refuse(store: StateStore, claim: Claim, sequence: int, *letters: NewDeadLetter) -> None:
    await store.commit(claim, Commit(sequence, RunCounts(), dead_letters=letters))


async def page(
    read: SqlStateStore, *, resolved: bool = False, sync_uid: str | None = None, code: str | None = None
) -> list[DeadLetter]:
    return await read.letter_page(Asked(NAMESPACE, None, resolved, code, None, 50, None, sync_uid))


def of_uid(uid: str) -> ClaimRequest:
    """A request of a sync that has the name of all others."""
    asked = request(f"run-of-{uid}")
    return replace(asked, sync=asked.sync.model_copy(update={"uid": uid}))


async def test_a_sync_has_its_own_entries_and_not_those_of_one_that_had_its_name(backend: Backend) -> None:
    for uid, code in (("first", "CONFLICT"), ("second", "NULL_KEY")):
        claim = await backend.store.claim(of_uid(uid))
        await refuse(backend.store, claim, 1, letter(KEY, code), letter(OTHER, code))
        await backend.store.commit(claim, Commit(2, RunCounts(), resolved=OTHER))
    for resolved in (False, True):
        [entry] = await page(backend.database, resolved=resolved, sync_uid="first")
        assert (entry.sync_uid, entry.code) == ("first", "CONFLICT")
        assert await page(backend.database, resolved=resolved, sync_uid="first", code="NULL_KEY") == []
        assert len(await page(backend.database, resolved=resolved)) == 2
    assert await backend.database.letter_page(Asked("sales", None, False, None, None, 50, None, "first")) == []


async def test_an_entry_names_the_run_that_saw_it_last(backend: Backend) -> None:
    claim = await backend.store.claim(request("run-1"))
    await refuse(backend.store, claim, 1, letter(KEY))
    assert [entry.run_uid for entry in await page(backend.database)] == ["uid-of-run-1"]
    await backend.store.finish(claim, result())
    await refuse(backend.store, await backend.store.claim(request("run-2")), 1, letter(KEY))
    assert [(entry.run, entry.run_uid) for entry in await page(backend.database)] == [("run-2", "uid-of-run-2")]


async def test_entries_are_counted_all_or_since_a_moment(backend: Backend) -> None:
    store, read, clock = backend.store, backend.database, backend.clock
    contacts = await store.claim(request())
    await refuse(store, contacts, 1, letter(KEY, "CONFLICT"), letter(OTHER, "CONFLICT"), letter(hashes(1), "NULL_KEY"))
    clock.pass_by(timedelta(hours=1))
    later = clock.now
    await store.commit(contacts, Commit(2, RunCounts(), resolved=OTHER))
    await refuse(store, contacts, 3, letter(KEY, "CAST_FAILED"))  # is seen again, as something else
    clock.pass_by(timedelta(hours=1))
    latest = clock.now
    deals = await store.claim(request("run-2", sync="deals"))
    await refuse(store, deals, 1, letter(KEY, "NULL_KEY"), letter(OTHER, "NULL_KEY"))
    await store.commit(deals, Commit(2, RunCounts(), resolved=OTHER))

    async def counted(sync: str | None, since: datetime | None) -> tuple[dict[str, int], int]:
        return await read.letter_statistics(NAMESPACE, sync and f"uid-of-{sync}", since)

    assert await counted(None, None) == ({"CAST_FAILED": 1, "NULL_KEY": 2}, 2)
    assert await counted("contacts", None) == ({"CAST_FAILED": 1, "NULL_KEY": 1}, 1)
    assert await counted(None, later) == ({"CAST_FAILED": 1, "NULL_KEY": 1}, 2)
    assert await counted("contacts", later) == ({"CAST_FAILED": 1}, 1)
    assert await counted("contacts", latest) == ({}, 0)
    assert await counted(None, latest) == ({"NULL_KEY": 1}, 1)
    assert await counted(None, latest + timedelta(seconds=1)) == ({}, 0)
    assert await counted("leads", None) == ({}, 0)
    assert await read.letter_statistics("sales", "uid-of-deals", later) == ({}, 0)


# What a person says of them


async def some(backend: Backend) -> tuple[Claim, list[str]]:
    """The open entries of KEY, of OTHER and of one more key of sync contacts, and one of sync deals: their ids."""
    contacts = await backend.store.claim(request())
    await refuse(backend.store, contacts, 1, letter(KEY, "A"), letter(OTHER, "B"), letter(hashes(1), "C"))
    await refuse(backend.store, await backend.store.claim(request("run-2", sync="deals")), 1, letter(KEY, "D"))
    return contacts, [entry.id for entry in sorted(await page(backend.database), key=lambda entry: entry.code)]


async def test_named_entries_are_told_with_their_sync_and_whether_they_are_open(backend: Backend) -> None:
    contacts, ids = await some(backend)
    await backend.store.commit(contacts, Commit(2, RunCounts(), resolved=KEY))
    named = await backend.database.letters_named(NAMESPACE, [*ids, "nothing"])
    assert sorted(named, key=lambda each: ids.index(each.id)) == [
        (ids[0], "uid-of-contacts", "contacts", False),
        (ids[1], "uid-of-contacts", "contacts", True),
        (ids[2], "uid-of-contacts", "contacts", True),
        (ids[3], "uid-of-deals", "deals", True),
    ]
    assert await backend.database.letters_named("sales", ids) == []
    assert await backend.database.letters_named(NAMESPACE, []) == []


async def test_whoever_dismisses_entries_is_kept_with_what_they_said(backend: Backend) -> None:
    _, ids = await some(backend)
    backend.clock.pass_by(timedelta(minutes=1))
    at = await backend.database.resolve_as(NAMESPACE, [ids[0], ids[3], ids[0]], "wont-fix", ADA, replay=False)
    assert at == backend.clock.now
    ended = await page(backend.database, resolved=True)
    assert {entry.id for entry in ended} == {ids[0], ids[3]}
    assert {(e.resolution, e.reason, e.resolved_at) for e in ended} == {("dismissed", "wont-fix", at)}
    assert {entry.id for entry in await page(backend.database)} == {ids[1], ids[2]}
    assert await backend.database.letter_statistics(NAMESPACE) == ({"B": 1, "C": 1}, 2)


async def test_what_is_closed_or_of_another_namespace_stays_as_it_is(backend: Backend) -> None:
    _, ids = await some(backend)
    await backend.database.resolve_as("sales", ids, "mine", ADA, replay=False)
    assert len(await page(backend.database)) == 4
    await backend.database.resolve_as(NAMESPACE, ids[:1], "first", ADA, replay=False)
    [before] = await page(backend.database, resolved=True)
    backend.clock.pass_by(timedelta(minutes=1))
    for replay in (False, True):
        await backend.database.resolve_as(NAMESPACE, ids[:1], "second", ADA, replay=replay)
    assert await page(backend.database, resolved=True) == [before]
    assert await backend.database.letter_statistics(NAMESPACE) == ({"B": 1, "C": 1, "D": 1}, 1)


async def test_an_entry_that_is_sent_again_stays_open_with_what_was_said_until_its_record_is_written(
    backend: Backend,
) -> None:
    contacts, ids = await some(backend)
    before = {entry.id: entry for entry in await page(backend.database)}
    await backend.database.resolve_as(NAMESPACE, ids[:1], "fixed-mapping", ADA, replay=True)
    noted = {entry.id: entry for entry in await page(backend.database)}
    assert noted == before | {ids[0]: replace(before[ids[0]], reason="fixed-mapping")}
    await refuse(backend.store, contacts, 2, letter(KEY), letter(OTHER))  # the replay was refused
    again = {entry.id: entry.reason for entry in await page(backend.database)}
    assert again == dict.fromkeys(ids, None) | {ids[0]: "fixed-mapping"}
    await backend.store.commit(contacts, Commit(3, RunCounts(), resolved=KEY + OTHER))
    ended = {entry.id: (entry.resolution, entry.reason) for entry in await page(backend.database, resolved=True)}
    assert ended == {ids[0]: ("superseded", "fixed-mapping"), ids[1]: ("superseded", None)}


@pytest.mark.parametrize("replay", [False, True])
async def test_people_and_runs_that_close_the_same_entries_at_once_count_each_once(url: str, replay: bool) -> None:
    """Each round a run closes entries that a person closes in another process; both databases, thirty rounds."""
    people, runner = await SqlStateStore.open(url), await SqlStateStore.open(url)
    claim = await runner.claim(request())
    for sequence in range(1, 61, 2):
        keys = hashes(20)
        await refuse(runner, claim, sequence, *(letter(keys[at : at + 16]) for at in range(0, len(keys), 16)))
        ids = [entry.id for entry in await page(people)]
        await asyncio.gather(
            runner.commit(claim, Commit(sequence + 1, RunCounts(), resolved=keys[: 16 * 15])),
            people.resolve_as(NAMESPACE, ids[:15], "seen", ADA, replay=replay),
            people.resolve_as(NAMESPACE, ids[5:], "seen", ADA, replay=replay),
        )
        await _counts_are_true(people)
    await people.close()
    await runner.close()


async def _counts_are_true(read: SqlStateStore) -> None:
    opened, resolved = await read.letter_statistics(NAMESPACE)
    everything = [await read.dead_letters(namespace=NAMESPACE, resolved=r, limit=10_000) for r in (False, True)]
    assert [sum(opened.values()), resolved] == [len(entries) for entries in everything]


async def test_what_is_of_a_namespace_that_had_this_ones_name_is_not_shown(backend: Backend) -> None:
    made = datetime(2026, 3, 1, tzinfo=UTC)
    for uid, created_at in (("old", made - timedelta(seconds=1)), ("new", made)):
        asked = of_uid(uid)
        asked = replace(asked, run=asked.run.model_copy(update={"created_at": created_at}))
        claim = await backend.store.claim(asked)
        await refuse(backend.store, claim, 1, letter(KEY), letter(OTHER))
        await backend.store.commit(claim, Commit(2, RunCounts(), resolved=OTHER))
        await backend.store.save_plan(claim, b"{}")
        await backend.store.finish(claim, result(run=asked.run.name))
    seen = backend.database.since(made)
    old = [
        each for resolved in (False, True) for each in await page(backend.database, resolved=resolved, sync_uid="old")
    ]
    new = [
        each for resolved in (False, True) for each in await page(backend.database, resolved=resolved, sync_uid="new")
    ]
    assert [each for resolved in (False, True) for each in await page(seen, resolved=resolved)] == new
    assert await page(seen, sync_uid="old") == []
    assert await seen.dead_letters(namespace=NAMESPACE, sync=new[0].sync) == new[:1]
    assert await seen.letter_statistics(NAMESPACE) == ({new[0].code: 1}, 1)
    assert await seen.letter_statistics(NAMESPACE, since=made - timedelta(days=1)) == ({new[0].code: 1}, 1)
    numbers = await seen.statistics(namespace=NAMESPACE)
    assert (numbers.open, numbers.resolved, numbers.oldest) == (1, 1, new[0].first_seen_at)
    ids = [each.id for each in (*old, *new)]
    assert {each.id for each in await seen.letters_named(NAMESPACE, ids)} == {each.id for each in new}
    assert [each is not None for each in [await seen.dead_letter(namespace=NAMESPACE, id=id) for id in ids]] == [
        *[False] * 2,
        *[True] * 2,
    ]
    assert await seen.resolve(namespace=NAMESPACE, ids=ids) == 1
    assert [run.sync_uid for run in await seen.runs(namespace=NAMESPACE)] == ["new"]
    assert [run.sync_uid for run in await seen.history(RunsAsked(NAMESPACE, 50))] == ["new"]
    for uid, shown in (("old", False), ("new", True)):
        run = of_uid(uid).run
        assert (await seen.run_of(NAMESPACE, uid=run.uid) is not None) is shown
        assert (await seen.run_of(NAMESPACE, name=run.name) is not None) is shown
        assert (await seen.plan(namespace=NAMESPACE, run=run.name) is not None) is shown
    assert len(await backend.database.runs(namespace=NAMESPACE)) == 2
