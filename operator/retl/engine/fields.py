"""One mapping as SQL, step by step: where the value comes from, what it becomes, and how one knows that this failed.

Pure. Columns of the query are c0, c1 …; field number i adds e_i (what its expression yields) and m_i (its cast).
"""

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from retl.engine.hashing import hashed
from retl.engine.records import REDACTED
from retl.engine.values import Value, cast, literal, plain_text
from retl.resources.sync import Mapping
from retl.runspec.spec import RunSpec

SHOWN = 80
"""Characters of a value that a message shows."""


@dataclass(frozen=True, slots=True)
class Field:
    """A mapping.

    Attributes:
        computed: SQL of e_i over c0, c1 …: a struct with the expression's value v, or NULL where it failed.
        origin: the value before its cast.
        converted: SQL of m_i: the value after its cast; NULL where it failed.
        value: what the destination is given.
        failed: SQL of whether the value of a row could not be made; None if it always can.
        told: SQL of what is said of such a row.
        inputs: values that it is made of.
        fixed: whether the value is the same for all rows of a run, so that it need not be staged.
    """

    number: int
    mapping: Mapping
    origin: Value
    value: Value
    computed: str | None = None
    converted: str | None = None
    failed: str | None = None
    told: str | None = None
    inputs: Sequence[Value] = ()
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression over c0, c1 …, the type of what it yields, and the columns that it reads, with their names."""

    sql: str
    type: pa.DataType
    inputs: Sequence[Value]
    reads: Sequence[str]


@dataclass(frozen=True, slots=True)
class Origins:
    """Where values come from.

    Attributes:
        columns: each column of the query that is used, by its name.
        formulas: each expression, by the number of its mapping.
        facts: what the run says of itself.
        hidden: columns whose values must not be shown.
        unreadable: SQL of whether a column's value could not be given by the source, where that may be.
    """

    columns: Dict[str, Value]
    formulas: Dict[int, Formula]
    facts: Dict[str, Value]
    hidden: frozenset[str] = field(default=frozenset())
    unreadable: Dict[str, str] = field(default_factory=dict)

    def field(self, number: int, mapping: Mapping) -> Field:
        """A mapping as SQL."""
        formula = self.formulas.get(number)
        fixed = mapping.value is not None or mapping.metadata is not None
        origin = self._origin(number, mapping)
        value, converted, failures = origin, None, [sql for _, sql in self._unreadable(number, mapping)]
        if formula:
            failures.append(f"e{number} IS NULL")
        if mapping.cast:
            made = cast(origin, mapping.cast)
            value, converted = (made, None) if fixed else (Value(made.type, f"m{number}"), made.sql)
            if not fixed:
                failures.append(f"(m{number} IS NULL AND {origin.sql} IS NOT NULL)")
        if mapping.hash:
            value = Value(pa.string(), hashed(plain_text(value), mapping.hash))
        return Field(
            number=number,
            mapping=mapping,
            origin=origin,
            value=value,
            computed=f"TRY({{'v': {formula.sql}}})" if formula else None,
            converted=converted,
            failed=" OR ".join(failures) or None,
            told=" ".join(self._told(number, mapping, origin)) if failures else None,
            inputs=formula.inputs if formula else () if fixed else (origin,),
            fixed=fixed,
        )

    def _origin(self, number: int, mapping: Mapping) -> Value:
        if mapping.source is not None:
            return self.columns[mapping.source]
        if mapping.metadata is not None:
            return self.facts[mapping.metadata]
        if mapping.value is not None:
            return Value(pa.string(), literal(mapping.value))
        return Value(self.formulas[number].type, f"struct_extract(e{number}, 'v')")

    def _unreadable(self, number: int, mapping: Mapping) -> Sequence[tuple[str, str]]:
        """Columns that a mapping reads and that the source may have no value of, each with SQL of where that is so."""
        formula = self.formulas.get(number)
        reads = dict.fromkeys(formula.reads if formula else [mapping.source or ""])
        return [(name, self.unreadable[name]) for name in reads if name in self.unreadable]

    def _told(self, number: int, mapping: Mapping, origin: Value) -> Iterator[str]:
        """SQL of why the value of a row could not be made: which mapping, from what, and the value."""
        where = f"mappings[{number}] ({mapping.destination})"
        hidden = mapping.sensitive or mapping.source in self.hidden
        formula = self.formulas.get(number)
        yield "CASE"
        for name, sql in self._unreadable(number, mapping):
            yield f"WHEN {sql} THEN" + literal(f'{where}: column "{name}" holds what cannot be read; select it as text')
        yield f"WHEN {'false' if formula is None else f'e{number} IS NULL'} THEN"
        reads = list(dict.fromkeys(formula.reads)) if formula else []
        said = [
            f"{literal(f'{name} = ')} || {_shown(self.columns[name], hidden=mapping.sensitive or name in self.hidden)}"
            for name in reads
        ]
        of = f"' for ' || concat_ws(', ', {', '.join(said)})" if said else "''"
        yield f"{literal(f'{where}: the expression cannot be computed')} || {of} ELSE"
        what = f'column "{mapping.source}"' if mapping.source else "the expression's result"
        hidden = hidden or any(name in self.hidden for name in reads)
        yield f"{literal(f'{where}: {what} is ')} || {_shown(origin, hidden=hidden)}"
        yield f"|| {literal(f', which cannot be cast to {mapping.cast}')} END"


def facts(spec: RunSpec, began: datetime) -> dict[str, Value]:
    """What a run says of itself."""
    return {
        "RunId": Value(pa.string(), literal(spec.run.uid)),
        "RunName": Value(pa.string(), literal(spec.run.name)),
        "Sync": Value(pa.string(), literal(spec.sync.name)),
        "RunTime": _moment(began),
        "Tick": _moment(spec.run.tick),
    }


def _moment(at: datetime | None) -> Value:
    text = f"'{at.astimezone(UTC).isoformat()}'" if at else "NULL"
    return Value(pa.timestamp("us", "UTC"), f"CAST({text} AS TIMESTAMPTZ)")


def _shown(value: Value, *, hidden: bool) -> str:
    if hidden:
        return literal(REDACTED)
    text = plain_text(value)
    return (
        f"CASE WHEN {value.sql} IS NULL THEN 'NULL' WHEN length({text}) > {SHOWN} "
        f"THEN '''' || left({text}, {SHOWN}) || '…''' ELSE '''' || {text} || '''' END"
    )
