"""Dead letters out of rows that could not be written: what happened, to which record, and the record itself."""

import json
import re
from collections.abc import Iterator, Sequence

from retl.destinations.base import Code
from retl.engine.chunk import Chunk, texts
from retl.engine.diff import DUPLICATE_KEY, DUPLICATE_TARGET
from retl.engine.mapping import NULL_KEY
from retl.runspec.spec import RunSpec
from retl.state.store import HASH_BYTES, NewDeadLetter

MESSAGE_MAX = 500

_STRING = rb'"(?:\\.|[^"\\])*"'
_TOKEN = re.compile(_STRING + rb"|[][{},]", re.DOTALL)
_NAME = re.compile(rb"(" + _STRING + rb"):", re.DOTALL)


class Letters:
    """Writes the dead letters of one run."""

    def __init__(self, spec: RunSpec, problems: Sequence[str]) -> None:
        self._problems = problems
        self._keys = [m.destination for m in spec.mappings if m.key]
        self._primary_key = ", ".join(spec.primary_key)
        self._store_payload = spec.dead_letters.store_payload

    def of(self, chunk: Chunk, code: Code, message: str, attempts: int = 1) -> list[NewDeadLetter]:
        """All rows of the chunk, for the same reason."""
        return [self._letter(key, row, payload, code, message, attempts) for key, row, payload in _rows(chunk)]

    def invalid(self, chunk: Chunk) -> list[NewDeadLetter]:
        """Rows that were never sent, each for its own reason."""
        reasons = map(self._reason, chunk.rows.column("bad").to_pylist())
        return [
            self._letter(key, row, payload, *reason)
            for (key, row, payload), reason in zip(_rows(chunk), reasons, strict=True)
        ]

    def _reason(self, bad: int) -> tuple[Code, str]:
        if bad == NULL_KEY:
            return "NULL_KEY", f"a column of the primary key ({self._primary_key}) or a key field is NULL"
        if bad == DUPLICATE_KEY:
            return "DUPLICATE_KEY", f"the query returns other rows with the same primary key ({self._primary_key})"
        if bad == DUPLICATE_TARGET:
            fields = ", ".join(self._keys)
            return "DUPLICATE_KEY", f"the query returns other rows with the same key at the destination ({fields})"
        return "CAST_FAILED", self._problems[bad]

    def _letter(
        self, key: bytes, row: bytes, payload: bytes, code: Code, message: str, attempts: int = 1
    ) -> NewDeadLetter:
        record = _members(payload)
        return NewDeadLetter(
            key=key,
            row=row,
            code=code,
            message=message[:MESSAGE_MAX],
            record_keys={name: _text(record[name]) for name in self._keys},
            payload=payload if self._store_payload else None,
            attempts=attempts,
        )


def _rows(chunk: Chunk) -> Iterator[tuple[bytes, bytes, bytes]]:
    keys, hashes = chunk.keys, chunk.hashes
    for i, payload in enumerate(texts(chunk.rows.column("payload"))):
        at = slice(i * HASH_BYTES, (i + 1) * HASH_BYTES)
        yield keys[at], hashes[at], payload


def _members(record: bytes) -> dict[str, bytes]:
    """The JSON of each field; reads no deeper than that, so that no value in it can be a reason to fail."""
    members = {}
    depth, start = 0, 1
    for token in _TOKEN.finditer(record):
        depth += (token[0] in b"[{") - (token[0] in b"]}")
        if depth == 0 or (depth == 1 and token[0] == b","):
            if name := _NAME.match(record, start):
                members[json.loads(name[1])] = record[name.end() : token.start()]
            start = token.end()
    return members


def _text(value: bytes) -> str | None:
    """A field's value as text; what is no text in Unicode (half a surrogate pair) becomes a question mark."""
    if value == b"null":
        return None
    text = value.decode()
    return str(json.loads(text)).encode(errors="replace").decode() if text.startswith('"') else text
