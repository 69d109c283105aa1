"""Dead letters as text for people and as JSON for programs. Pure: values in, text out."""

import json
from collections.abc import Collection, Sequence
from typing import Any

import orjson

from retl.cli.text import cell, count, cut, iso, keys, minute, plain, table, wrapped
from retl.runspec import paths
from retl.runspec.codes import FOR_ITS_OWN_SAKE
from retl.runspec.result import RunResult
from retl.state.store import DeadLetter, Statistics

SAMPLE = 5
"""Entries shown below a run."""
HIDDEN = "(sensitive)"
_LABEL = 12


def letter_object(letter: DeadLetter) -> dict[str, Any]:
    """The JSON of a dead letter; `cursor` is where a page begins that follows it."""
    return {
        "id": letter.id,
        "sync": letter.sync,
        "namespace": letter.namespace,
        "run": letter.run,
        "code": letter.code,
        "message": letter.message,
        "record_keys": letter.record_keys,
        "operation": letter.operation,
        "attempts": letter.attempts,
        "first_seen_at": iso(letter.first_seen_at),
        "last_seen_at": iso(letter.last_seen_at),
        "resolved_at": iso(letter.resolved_at),
        "resolution": letter.resolution,
        "cursor": letter.cursor,
    }


def letter_table(letters: Sequence[DeadLetter], width: int) -> str:
    """Two lines a dead letter: its id and how it stands, then the record and the message, cut to the width."""
    several = len({letter.sync for letter in letters}) > 1
    header, *rows = table(
        ["id", "code", "attempts", "resolved" if letters[0].resolved_at else "last seen", *(["sync"] * several)],
        [
            [
                letter.id,
                letter.code,
                letter.attempts,
                minute(letter.resolved_at or letter.last_seen_at),
                *([letter.sync] * several),
            ]
            for letter in letters
        ],
    ).splitlines()
    return "\n".join([header, *(f"{row}\n{_line(letter, width)}" for row, letter in zip(rows, letters, strict=True))])


def letter_page(letter: DeadLetter, payload: bytes | None, width: int) -> str:
    """All of one dead letter.

    Args:
        payload: the kept record, as much of it as may be shown.
    """
    hanging = " " * (_LABEL + 2)
    facts = {
        "sync": f"{letter.sync} in namespace {letter.namespace}",
        "record": keys(letter.record_keys),
        "operation": letter.operation,
        "code": letter.code,
        "message": plain(letter.message),
        "attempts": cell(letter.attempts),
        "first seen": minute(letter.first_seen_at),
        "last seen": f"{minute(letter.last_seen_at)} by {letter.run}",
        "state": _state(letter),
    }
    lines = [f"dead letter {letter.id}"]
    lines += [wrapped(value, width, f"  {name:<{_LABEL}}", hanging) for name, value in facts.items()]
    if payload is not None:
        lines += ["  payload", *(f"    {plain(f'{k}: {v}')}" for k, v in _members(payload))]
    return "\n".join(lines)


def statistics_object(numbers: Statistics) -> dict[str, Any]:
    """The JSON of the numbers."""
    return {
        "open": numbers.open,
        "resolved": numbers.resolved,
        "dropped": numbers.dropped,
        "by_code": numbers.by_code,
        "by_sync": numbers.by_sync,
        "oldest": iso(numbers.oldest),
    }


def statistics_text(numbers: Statistics, width: int) -> str:
    """The numbers, with open entries by code and by sync, most first."""
    first = f"{count(numbers.open, 'open dead letter')}, {numbers.resolved:,} resolved"
    if numbers.oldest:
        first += f"; the oldest open one was first seen {minute(numbers.oldest)}"
    blocks = [wrapped(first, width)]
    for name, split in (("code", numbers.by_code), ("sync", numbers.by_sync)):
        if split:
            most_first = sorted(split, key=lambda each: (-split[each], each))
            blocks.append(table([name, "open"], [[each, split[each]] for each in most_first]))
    if numbers.dropped:
        blocks.append(wrapped(dropped(numbers.dropped), width))
    return "\n\n".join(blocks)


def dropped(number: int) -> str:
    """What became of refused records that no entry was kept of."""
    return (
        f"{count(number, 'refused record')} of the last run not kept, because there were too many "
        "(deadLetters.maxEntries); the next run sends them again"
    )


def sample(result: RunResult, letters: Sequence[DeadLetter], how_to_list: str, width: int) -> str:
    """The first dead letters of a sync with their reasons, and how to see the rest."""
    lines = [f"{result.sync}: {count(result.dead_letters, 'open dead letter')}"]
    for letter in letters[:SAMPLE]:
        lines.append(cut(f"  {keys(letter.record_keys)}  {letter.code}", width))
        lines.append(cut(f"    {plain(letter.message)}", width))
    if result.dead_letters > SAMPLE:
        lines.append(f"  and {result.dead_letters - SAMPLE:,} more")
    if result.dead_letters_dropped:
        lines.append(wrapped(dropped(result.dead_letters_dropped), width, "  "))
    return "\n".join([*lines, f"  to see them: {how_to_list}"])


def redacted(payload: bytes, sensitive: Collection[str]) -> bytes:
    """The payload without the values of sensitive fields; all other text stays exactly as it is.

    Args:
        sensitive: destination fields, or paths such as `address.city` and `tags[0]`.
    """
    record = _exactly(payload)
    for path in sensitive:
        _hide(record, path)
    return orjson.dumps(record)


def _exactly(payload: bytes) -> Any:
    """Parsed JSON whose numbers keep their digits when it is written again."""

    def number(text: str) -> orjson.Fragment:
        return orjson.Fragment(text.encode())

    return json.loads(payload, parse_float=number, parse_int=number)


def _hide(record: Any, path: str) -> None:
    """Overwrite the value at a path; a record of columns has the field itself."""
    *way, last = (path,) if path in record else paths.parse(path)
    at = record
    for step in way:
        at = at[step] if _has(at, step) else None
    if _has(at, last):
        at[last] = HIDDEN


def _has(value: Any, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(value, list) and step < len(value)
    return isinstance(value, dict) and step in value


def _members(payload: bytes) -> list[tuple[str, str]]:
    record = _exactly(payload)
    if not isinstance(record, dict):
        return [("value", payload.decode())]
    return [(name, orjson.dumps(value).decode()) for name, value in record.items()]


def _line(letter: DeadLetter, width: int) -> str:
    return cut(f"    {keys(letter.record_keys)}  {plain(letter.message)}", width)


def _state(letter: DeadLetter) -> str:
    if letter.resolved_at:
        return f"resolved {minute(letter.resolved_at)}: {letter.resolution}"
    if letter.code in FOR_ITS_OWN_SAKE:
        return "open: waits until its row changes, or until it is replayed"
    if letter.code == "OUTCOME_UNKNOWN":
        return "open: sent again by the next run, or held for a person where delivery.onUnknown is Hold"
    return "open: sent again by the next run"
