"""What a run must do, said as plainly as possible: dictionaries, no hashes, no SQL, no batches, nothing in parallel.

The model is told what the source holds, how the sync is defined, and which calls reached the destination with what
answer: how rows are cut into batches, and which of them are under way when the destination breaks down, is the engine's
business. It says which records had to be sent with which content, the counters, the dead letters, and what the sync
remembers. It raises Disagreement where the calls are not those that had to be made.

After a crash nobody can know how much was committed. Then the model holds several possible things of one record, and
the next run must fit one of them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import product
from typing import Any, Literal

Row = Mapping[str, Any]
Record = dict[str, Any]
Key = tuple[str, ...]
Identity = tuple[Any, ...]
"""Of a source row: its primary key; where that or a key field is NULL, all that is mapped of it."""
Version = tuple[Any, ...]
"""What was sent of a row, or why it was not: rows with one version are the same to a sync."""
Answer = Literal["ok", "skipped", "rejected", "refused together", "later", "lost", "crashed"]
"""What the engine was told of a record. `later`: not written, for the destination's sake. `lost`: nobody knows."""
Ending = Literal["Succeeded", "Failed", "Cancelled", "crashed"]


class Special(Enum):
    """What is known of a record if it is not the version that the destination has."""

    ABSENT = "nothing was written, or it was deleted"
    UNSURE = "nobody knows what the destination holds"
    BEGUN = "a write that must not be repeated was begun"
    GONE = "version of a record that is to be deleted"


ABSENT, UNSURE, BEGUN, GONE = Special
Known = Version | Special
OWN_SAKE = {"DESTINATION_VALIDATION", "CAST_FAILED", "NULL_KEY", "DUPLICATE_KEY", "CONFLICT"}


class Disagreement(AssertionError):
    """The engine did what the model did not expect."""


class Unmappable(Exception):
    """A value cannot be cast."""


@dataclass(frozen=True)
class Field:
    """A mapping, as a manifest has it and as Python says it; `of` raises Unmappable.

    Attributes:
        inputs: columns that a cast or an expression works on: an invalid row is another one if these are others.
    """

    manifest: Mapping[str, Any]
    of: Callable[[Row], Any]
    inputs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return str(self.manifest["destination"])

    @property
    def key(self) -> bool:
        return bool(self.manifest.get("key"))


@dataclass(frozen=True)
class Definition:
    """A sync. `repeatable`: whether a write may be carried out twice."""

    mode: str
    fields: tuple[Field, ...]
    strategy: Literal["Snapshot", "Cursor", "None"] = "Snapshot"
    lag: int = 0
    on_unknown: Literal["Resend", "Hold", "Accept"] = "Resend"

    @property
    def repeatable(self) -> bool:
        return self.mode != "append"

    @property
    def own_keys(self) -> bool:
        """Whether the destination's key is the primary key as it is, so that row and record are one."""
        keys = [f.manifest for f in self.fields if f.key]
        return not keys or [(k.get("source"), k.get("cast")) for k in keys] == [("id", None)]

    def key(self, record: Mapping[str, Any]) -> Key:
        """How a record is told from others."""
        return tuple(str(record[f.name]) for f in self.fields if f.key)

    @property
    def baseline(self) -> tuple[Any, ...]:
        """What the ledger is a ledger of."""
        return self.mode, self.strategy == "Cursor", tuple(f.name for f in self.fields if f.key)


@dataclass(frozen=True)
class Run:
    """How the sync is run. `uid` tells the runs apart.

    Attributes:
        replay: sends the rows of all open dead letters.
        stored: as they were kept.
        stopped: it was asked to stop; if all was sent by then, it succeeds, and the watermark may stay where it is.
    """

    uid: str
    full_refresh: bool = False
    replay: bool = False
    stored: bool = False
    stopped: bool = False


@dataclass(frozen=True)
class Call:
    """One call as it reached the destination, with the engine's view of each record's fate."""

    operation: str
    records: tuple[Record, ...]
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Judged:
    """A source row. `problem`: why it cannot be sent; empty if it can."""

    identity: Identity
    key: Key
    version: Known
    record: Record
    problem: str
    cursor: int | None
    letter_keys: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Letter:
    """An open dead letter.

    Attributes:
        version: the row is left out as long as it is this; None if the next run shall send it.
        row: as it was to be sent; None for a delete.
    """

    code: str
    keys: tuple[tuple[str, str | None], ...]
    version: Known | None
    row: Judged | None = field(default=None, compare=False)


@dataclass
class Tool:
    """What the destination holds, and what it says to a record.

    Attributes:
        refuses: whether it refuses a record for its own sake.
        table: whether it is a table: an upsert leaves alone the fields that it does not name, and an insert checks the
            record before it looks whether there is one.
        log: every record of an append.
    """

    refuses: Callable[[Record], bool]
    table: bool
    records: dict[Key, Record] = field(default_factory=dict)
    log: list[Record] = field(default_factory=list)

    def take(self, operation: str, key: Key, record: Record) -> Answer:
        """Carry out one operation on one record."""
        there = self.records.get(key)
        if operation == "delete":
            self.records.pop(key, None)
            return "ok"
        if operation == "update" and there is None:
            return "skipped"
        if operation == "insert" and there is not None and not (self.table and self.refuses(record)):
            return "skipped"
        if self.refuses(record):
            return "rejected"
        if operation == "append":
            self.log.append(record)
        else:
            kept = there if there is not None and (self.table or operation == "update") else {}
            self.records[key] = {**kept, **record}
        return "ok"


@dataclass
class Memory:
    """What the sync remembers; of a record or letter, all that is possible.

    Attributes:
        run: the run that appended every row, and began the ledger.
        before: the ledger that a new one takes the place of.
        stale: letters of another baseline, which stand until a run under the new one has committed something.
    """

    baseline: tuple[Any, ...] = ()
    run: str = ""
    ledger: dict[Key, set[Known]] = field(default_factory=dict)
    before: dict[Key, set[Known]] = field(default_factory=dict)
    letters: dict[Identity, set[Letter | None]] = field(default_factory=dict)
    dismissed: dict[Identity, set[Known | None]] = field(default_factory=dict)
    stale: list[Letter] = field(default_factory=list)
    watermarks: set[int | None] = field(default_factory=lambda: {None})

    def known(self, key: Key) -> set[Known]:
        return self.ledger.get(key, {ABSENT})

    @property
    def certain(self) -> bool:
        """Whether it is known which letters are open."""
        return all(len(options) == 1 for options in self.letters.values())

    def dismiss(self) -> None:
        """A person closes all letters without a replay."""
        for identity, options in self.letters.items():
            before = self.dismissed.get(identity, {None})
            closed = {letter.version for letter in options if letter is not None}
            self.dismissed[identity] = closed | (before if None in options else set())
        self.letters.clear()

    def kept(self) -> list[Judged]:
        """The rows of all letters as they were kept, if they could be sent."""
        letters = [letter for options in self.letters.values() for letter in options if letter is not None]
        return [
            replace(letter.row, version=UNSURE if letter.version is None else letter.version)
            for letter in letters
            if letter.row is not None and not letter.row.problem
        ]

    def letter(self, identity: Identity) -> set[Letter | None]:
        return self.letters.get(identity, {None})

    def check_letters(self, found: Sequence[tuple[str, tuple[tuple[str, str | None], ...]]]) -> None:
        """Raise Disagreement unless these can be the open dead letters, as code and key fields."""
        counted = Counter(found)
        least, most = Counter[Any](), Counter[Any]()
        for options in self.letters.values():
            shown = {(letter.code, letter.keys) if letter else None for letter in options}
            most.update(shown - {None})
            if len(shown) == 1:
                least.update(shown - {None})
        most.update((letter.code, letter.keys) for letter in self.stale)
        for letter in counted | most:
            if not least[letter] <= counted[letter] <= most[letter]:
                raise Disagreement(
                    f"dead letter {letter}: {counted[letter]} found, expected {least[letter]} to {most[letter]}"
                )


@dataclass
class Expected:
    """What a run must say. Each row counts in one of several ways if a crash before left that open."""

    ways: list[set[str]] = field(default_factory=list)

    def check(self, counts: Mapping[str, int]) -> None:
        """Raise Disagreement unless the counters can come about."""
        names = ("unchanged", "created", "updated", "deleted", "skipped", "invalid", "rejected", "unknown")
        for name in names:
            least = sum(way == {name} for way in self.ways)
            most = sum(name in way for way in self.ways)
            if not least <= counts[name] <= most:
                raise Disagreement(f"{name}: {counts[name]} counted, expected {least} to {most}")
        if counts["read"] != sum(counts[name] for name in names):
            raise Disagreement(f"the counters do not add up: {counts}")
        least = sum("" not in way for way in self.ways)
        if not least <= counts["read"] <= len(self.ways):
            raise Disagreement(f"read: {counts['read']} counted, expected {least} to {len(self.ways)}")


def judge(rows: Sequence[Row], definition: Definition) -> list[Judged]:
    """What the mappings make of the rows, and which of them cannot be sent."""
    return marked([_map(row, definition) for row in rows])


def marked(mapped: Sequence[Judged]) -> list[Judged]:
    """The rows, those that share a key with another one as what they are."""
    identities = Counter(m.identity for m in mapped)
    keys = Counter(m.key for m in mapped if m.problem != "NULL_KEY")
    return [_duplicate(m, identities, keys) for m in mapped]


def run(
    memory: Memory,
    rows: Sequence[Row],
    definition: Definition,
    this: Run,
    calls: Sequence[Call],
    ending: Ending,
    watermark: int | None,
) -> Expected:
    """The run's counters; changes `memory` into what the sync must remember afterwards.

    Args:
        watermark: what the engine remembered when the run began.
    """
    _begin(memory, definition, this)
    if watermark not in memory.watermarks:
        raise Disagreement(f"the run began to read from {watermark}, expected {memory.watermarks}")
    reads_all = not this.stored and (
        this.full_refresh or this.replay or definition.strategy != "Cursor" or watermark is None
    )
    read = [row for row in rows if reads_all or row["seq"] is None or row["seq"] >= (watermark or 0) - definition.lag]
    judged = marked(memory.kept()) if this.stored else judge(read, definition)
    return _Settling(memory, definition, this, judged, calls, ending, reads_all=reads_all, watermark=watermark).settle()


def text(value: Any) -> str | None:
    """A value as dead letters and keys show it."""
    return None if value is None else str(value)


def _map(row: Row, definition: Definition) -> Judged:
    values: dict[str, Any] = {}
    failed = ""
    for f in definition.fields:
        try:
            values[f.name] = f.of(row)
        except Unmappable:
            values[f.name] = None
            failed = failed or f.name
    plan = tuple((f.name, f.manifest.get("value"), f.manifest.get("skipNulls")) for f in definition.fields)
    keys = {f.name: values[f.name] for f in definition.fields if f.key}
    casts = {f.name for f in definition.fields if f.key and f.name == failed}
    missing = row["id"] is None or any(value is None for name, value in keys.items() if name not in casts)
    problem = "NULL_KEY" if missing else "CAST_FAILED" if failed else ""
    seen = [row[name] for f in definition.fields for name in f.inputs] if problem else []
    version = (problem, failed, plan, tuple(values.items()), tuple(seen))
    identity = version if missing else ("row", text(row["id"]))
    key = tuple(str(value) for value in keys.values()) if keys else (str(row["id"]),)
    if missing or casts:
        key = ("no key", repr(identity))
    skipped = {f.name for f in definition.fields if f.manifest.get("skipNulls")}
    record = {name: value for name, value in values.items() if value is not None or name not in skipped}
    shown = tuple(
        (f.name, text(values[f.name] if f.name != failed else row[f.manifest["source"]]))
        for f in definition.fields
        if f.key
    )
    return Judged(identity, key, version, record, problem, row.get("seq"), shown)


def _duplicate(row: Judged, identities: Counter[Identity], keys: Counter[Key]) -> Judged:
    if row.problem == "NULL_KEY":
        return row
    if identities[row.identity] > 1:
        return replace(row, problem="DUPLICATE_KEY", version=("same row", row.identity))
    if keys[row.key] > 1:
        return replace(row, problem="DUPLICATE_KEY", version=("same record", row.key))
    return row


def _begin(memory: Memory, definition: Definition, this: Run) -> None:
    """Another baseline begins with an empty ledger, and so does a run that appends every row."""
    if memory.baseline != definition.baseline:
        memory.stale += [letter for letters in memory.letters.values() for letter in letters if letter is not None]
        memory.baseline, memory.ledger, memory.letters, memory.dismissed = definition.baseline, {}, {}, {}
        memory.watermarks = {None}
    every_row = this.full_refresh or definition.strategy != "Cursor"
    if definition.mode == "append" and every_row and not this.replay and memory.run != this.uid:
        memory.before, memory.ledger, memory.run = memory.ledger, {}, this.uid


class _Settling:
    """One run, settled row by row."""

    def __init__(
        self,
        memory: Memory,
        definition: Definition,
        this: Run,
        judged: list[Judged],
        calls: Sequence[Call],
        ending: Ending,
        *,
        reads_all: bool,
        watermark: int | None,
    ) -> None:
        self.memory = memory
        self.definition = definition
        self.this = this
        self.judged = judged
        self.ending = ending
        self.watermark = watermark
        self.complete = reads_all
        self.resend = this.full_refresh or definition.strategy == "None"
        self.told = _told(calls, definition)
        self.invalid: dict[Identity, set[Letter]] = defaultdict(set)
        """Letters of invalid rows: of rows with one primary key, any may be shown."""
        self.refused = any(
            sent[-1][1] not in {"ok", "skipped"} for (operation, _), sent in self.told.items() if operation != "delete"
        )

    def settle(self) -> Expected:
        expected = Expected()
        pinned: list[int] = []
        before = {identity: set(options) for identity, options in self.memory.letters.items()}
        for row in self.judged:
            ways, acknowledged = self._row(row, before.get(row.identity, {None}))
            expected.ways.append(ways)
            if not acknowledged and row.cursor is not None:
                pinned.append(row.cursor)
        gone = self._gone(expected)
        self._forget_letters(gone)
        if self.told:
            raise Disagreement(f"these were sent, and should not have been: {self.told}")
        self._move_watermark(pinned, self.watermark)
        if self.ending == "Succeeded":
            self.memory.stale.clear()
        else:  # the new ledger may not even have begun
            for key, known in self.memory.before.items():
                self.memory.ledger[key] = self.memory.known(key) | known
        self.memory.before = {}
        return expected

    def _row(self, row: Judged, letters: set[Letter | None]) -> tuple[set[str], bool]:
        """The ways in which a row may count, and whether it holds back a watermark."""
        operation, closed = self._operation, self.memory.dismissed.get(row.identity, {None})
        found = {
            (self._verdict(row, known, letter, dismissed), known, letter)
            for known, letter, dismissed in product(self.memory.known(row.key), letters, closed)
        }
        sent = self.told.pop((operation, row.key), None)
        if sent is not None:
            if any(record != row.record for record, _ in sent):
                raise Disagreement(f"{operation} of {row.key}: {sent} was sent, expected {row.record}")
            found = {each for each in found if each[0] in {"create", "update", "delete"}}
            if not found:
                raise Disagreement(f"{operation} of {row.key} was sent, and should not have been")
            return self._sent(row, {v for v, _, _ in found}, {k for _, k, _ in found}, [a for _, a in sent])
        if self.ending == "Succeeded":
            rest = {each for each in found if each[0] not in {"create", "update", "delete"}}
            if not rest:
                raise Disagreement(f"{operation} of {row.key} should have been sent: {row.record}")
            found = rest
        return self._unsent(row, found)

    @property
    def _operation(self) -> str:
        return "upsert" if self.definition.mode == "mirror" else self.definition.mode

    def _verdict(self, row: Judged, known: Known, letter: Letter | None, dismissed: Known | None) -> str:
        """What is to be done with a row if this is what is known of it."""
        if self.this.replay and letter is None:
            return "other"
        free = self.resend or self.this.replay
        if not free and dismissed == row.version:
            return "left"
        if not free and letter is not None and letter.version == row.version:
            return "waiting"
        if row.problem:
            return "invalid"
        if known is BEGUN:
            return "doubtful"
        again = self.resend or known is UNSURE
        match self.definition.mode:
            case "delete":
                return "delete" if known is ABSENT or again else "unchanged"
            case "insert":
                return "create" if known is ABSENT or again else "unchanged" if known == row.version else "left"
            case "append":
                return "create" if known is ABSENT or known != row.version else "unchanged"
            case mode:
                if known is ABSENT:
                    return "update" if mode == "update" else "create"
                return "update" if known != row.version or again else "unchanged"

    def _sent(self, row: Judged, verdicts: set[str], known: set[Known], answers: list[Answer]) -> tuple[set[str], bool]:
        """A record that reached the destination at least once."""
        self._no_longer_dismissed(row)
        memory, counted = self.memory, {{"create": "created", "update": "updated"}.get(v, "deleted") for v in verdicts}
        outcome = self._outcome(answers)
        touched = known | self._intent(known)
        match outcome:
            case "ok":
                memory.ledger[row.key], memory.letters[row.identity] = {row.version}, {None}
                return counted, True
            case "skipped":
                memory.ledger[row.key] = {ABSENT, UNSURE} if self.definition.mode == "update" else {row.version}
                memory.letters[row.identity] = {None}
                return {"skipped"}, True
            case "rejected":
                memory.ledger[row.key] = touched - {BEGUN} or {ABSENT}
                memory.letters[row.identity] = {self._letter(row, "DESTINATION_VALIDATION")}
                return {"rejected"}, False
            case "unavailable":  # or left alone, because another call was given up meanwhile
                memory.ledger[row.key] = touched
                memory.letters[row.identity] = memory.letter(row.identity) | {
                    self._letter(row, "DESTINATION_UNAVAILABLE")
                }
                return {"rejected", "skipped"}, False
            case "unknown":
                return self._unknown(row)
            case "left":
                memory.ledger[row.key] = touched
                return {"skipped"}, False
        memory.ledger[row.key] = self._in_doubt(known) | {row.version}  # crashed
        if set(answers) & {"rejected", "refused together", "later"}:
            memory.ledger[row.key] |= known - {BEGUN}
        memory.letters[row.identity] = memory.letter(row.identity) | {
            None,
            self._letter(row, "DESTINATION_VALIDATION"),
            self._letter(row, "OUTCOME_UNKNOWN"),
        }
        accepted = self.definition.on_unknown == "Accept" and answers[-1] == "lost"
        return {"skipped"}, accepted or answers[-1] in {"ok", "skipped"}

    def _intent(self, known: set[Known]) -> set[Known]:
        """What is recorded before a record is sent, if the write may not be repeated or changes something."""
        if not self.definition.repeatable:
            return {BEGUN}
        return {UNSURE} if known != {ABSENT} else set()

    def _in_doubt(self, known: set[Known]) -> set[Known]:
        """What must be remembered of a record that may have been written: never that all is as before."""
        if not self.definition.repeatable:
            return {BEGUN}
        return {UNSURE} | (known & {ABSENT})

    def _outcome(self, answers: list[Answer]) -> str:
        """What the last of several attempts means for the record."""
        if self.ending == "crashed":
            return "crashed"
        last = answers[-1]
        if last in {"ok", "skipped", "rejected"}:
            return last
        if "lost" in answers:
            return "unknown"
        return "unavailable" if self.ending == "Failed" else "left"

    def _unknown(self, row: Judged) -> tuple[set[str], bool]:
        memory, policy = self.memory, self.definition.on_unknown
        if policy == "Accept":
            memory.ledger[row.key], memory.letters[row.identity] = {row.version}, {None}
            return {"unknown"}, True
        memory.ledger[row.key] = (
            self._doubted(row, BEGUN, "doubtful")
            if not self.definition.repeatable
            else self._in_doubt(memory.known(row.key))
        )
        memory.letters[row.identity] = {self._letter(row, "OUTCOME_UNKNOWN")}
        return {"unknown"}, False

    def _doubted(self, row: Judged, known: Known, verdict: str) -> set[Known]:
        """What is known of a record that did not reach the destination in this run, now that this is decided."""
        if verdict != "doubtful":
            return {known}
        policies: dict[str, set[Known]] = {
            "Accept": {row.version},
            "Resend": {ABSENT, UNSURE},
            "Hold": {ABSENT, UNSURE, BEGUN},
        }
        return policies[self.definition.on_unknown]

    def _no_longer_dismissed(self, row: Judged) -> None:
        """What became of the row since counts, and not what a person once said of it."""
        before = self.memory.dismissed.pop(row.identity, {None})
        if self.ending != "Succeeded":
            self.memory.dismissed[row.identity] = before | {None}

    def _letter(self, row: Judged, code: str) -> Letter:
        held = code in OWN_SAKE or (code == "OUTCOME_UNKNOWN" and self.definition.on_unknown == "Hold")
        return Letter(code, row.letter_keys, row.version if held else None, row)

    def _unsent(self, row: Judged, found: set[tuple[str, Known, Letter | None]]) -> tuple[set[str], bool]:
        """A record that did not reach the destination."""
        memory = self.memory
        if {verdict for verdict, _, _ in found} & {"invalid", "doubtful"}:
            self._no_longer_dismissed(row)
        counted = {"unchanged": "unchanged", "invalid": "invalid", "doubtful": "unknown", "other": ""}
        ways = {counted.get(verdict, "skipped") for verdict, _, _ in found}
        verdicts = {verdict for verdict, _, _ in found}
        letters: set[Letter | None] = set()
        for verdict, _, letter in found:
            if verdict == "invalid":
                self.invalid[row.identity].add(self._letter(row, row.problem))
                letters |= self.invalid[row.identity]
            elif verdict == "doubtful":
                accepted = self.definition.on_unknown == "Accept"
                letters.add(None if accepted else self._letter(row, "OUTCOME_UNKNOWN"))
            elif verdict == "unchanged":
                letters.add(None)
            else:
                letters.add(letter)
        if self.ending == "crashed":
            letters |= memory.letter(row.identity)
        else:
            memory.ledger[row.key] = set().union(*(self._doubted(row, known, verdict) for verdict, known, _ in found))
        if verdicts & {"create", "update", "delete"}:  # an intent may have been committed
            memory.ledger[row.key] = memory.known(row.key) | self._intent(memory.known(row.key))
        memory.letters[row.identity] = letters
        return ways, verdicts <= {"unchanged", "left"}

    def _gone(self, expected: Expected) -> dict[Key, bool]:
        """Records that the source no longer has, and whether they may be gone from the destination, too.

        They are deleted in a mirror, and forgotten by a delete.
        """
        here = {row.key for row in self.judged}
        gone = {
            key: ABSENT in known for key, known in self.memory.ledger.items() if known != {ABSENT} and key not in here
        }
        if not self.complete or self.definition.mode not in {"mirror", "delete"}:
            return {}
        if self.this.replay:
            gone = {key: uncertain for key, uncertain in gone.items() if self._letters_of(key) != {None}}
            if self.definition.mode == "delete":
                return {}
        if self.definition.mode == "delete":
            for key in gone:
                self.memory.ledger[key] = {ABSENT} if self.ending != "crashed" else self.memory.known(key) | {ABSENT}
            return gone
        unidentified = any(row.key[:1] == ("no key",) for row in self.judged)
        for key in gone:
            expected.ways.append(self._delete(key, allowed=not unidentified and not self.refused))
        return gone

    def _delete(self, key: Key, *, allowed: bool) -> set[str]:
        """A record of a mirror that the source no longer has."""
        memory, known = self.memory, self.memory.known(key)
        identity = self._delete_identity(key)
        free = self.resend or self.this.replay
        waits = {letter is not None and letter.version is GONE and not free for letter in memory.letter(identity)}
        uncertain = ABSENT in known or (self.this.replay and None in memory.letter(identity))
        sent = self.told.pop(("delete", key), None)
        if sent is None:
            if self.ending == "Succeeded" and allowed and not uncertain and waits == {False}:
                raise Disagreement(f"{key} is gone from the source and should have been deleted")
            return {"skipped"} | ({""} if uncertain else set())
        if not allowed or waits == {True}:
            raise Disagreement(f"{key} was deleted, and should not have been")
        shown = tuple(zip((f.name for f in self.definition.fields if f.key), key, strict=True))
        outcome = self._outcome([answer for _, answer in sent])
        if outcome == "ok":
            memory.ledger[key], memory.letters[identity] = {ABSENT}, {None}
            return {"deleted"}
        memory.ledger[key] = self._in_doubt(known) | ({ABSENT} if outcome == "crashed" else set())
        code = "OUTCOME_UNKNOWN" if outcome == "unknown" else "DESTINATION_UNAVAILABLE"
        held = outcome == "unknown" and self.definition.on_unknown == "Hold"
        letter = Letter(code, shown, GONE if held else None)
        memory.letters[identity] = memory.letter(identity) | {letter} if outcome != "unknown" else {letter}
        return {"unknown"} if outcome == "unknown" else {"rejected", "skipped"}

    def _letters_of(self, key: Key) -> set[Letter | None]:
        return self.memory.letter(self._delete_identity(key))

    def _delete_identity(self, key: Key) -> Identity:
        return ("row", key[0]) if self.definition.own_keys else ("record", key)

    def _forget_letters(self, gone: Mapping[Key, bool]) -> None:
        """Letters of rows that the source no longer has, and of deletes that are off, are resolved."""
        if not self.complete or self.this.replay:
            return
        here = {row.identity for row in self.judged}
        deletes = {self._delete_identity(key): uncertain for key, uncertain in gone.items()}
        for identity, letters in self.memory.letters.items():
            for letter in letters - {None}:
                assert letter is not None
                if deletes.get(identity, True) and (letter.version is GONE or identity not in here):
                    letters.add(None)
                    if self.ending != "crashed" and identity not in deletes:
                        letters.discard(letter)

    def _move_watermark(self, pinned: list[int], watermark: int | None) -> None:
        """To the smallest value that was not acknowledged, else to the largest read, once the run came to its end."""
        if self.definition.strategy != "Cursor" or self.this.replay or self.ending in {"Failed", "Cancelled"}:
            self.memory.watermarks = {watermark}
            return
        read = [row.cursor for row in self.judged if row.cursor is not None]
        moved = min(pinned) if pinned else max(read) if read else watermark
        self.memory.watermarks = {moved, watermark} if self.ending == "crashed" or self.this.stopped else {moved}


def _told(calls: Sequence[Call], definition: Definition) -> dict[tuple[str, Key], list[tuple[Record, Answer]]]:
    """What was said to each record, in order."""
    told = defaultdict(list)
    for call in calls:
        for record, answer in zip(call.records, call.answers, strict=True):
            told[call.operation, definition.key(record)].append((record, answer))
    return dict(told)
