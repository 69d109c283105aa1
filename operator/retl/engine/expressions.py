"""Scalar SQL of a mapping: read, checked against what is allowed, and written anew.

The text is parsed by sqlglot and never passed on: what runs is generated from the tree. What is generated is then
parsed by DuckDB itself, and its tree may hold nothing but what `allowed` lists, so that the two parsers need not agree.
Only what depends on the row alone is allowed: no tables, files, settings, network, clock or chance.
"""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from retl.engine.allowed import CHANGING, FUNCTIONS, OPERATORS, PLAIN, REFUSED, TYPES
from retl.engine.fields import Formula
from retl.engine.selection import MESSAGE_MAX, unknown_column
from retl.engine.values import Value
from retl.errors import InvalidInput
from retl.resources.sync import Mapping

ONE = "write one scalar SQL expression, such as upper(country)"
SOME_TYPES = "INTEGER, BIGINT, DECIMAL(18,2), DOUBLE, VARCHAR, BOOLEAN, DATE, TIMESTAMP, TIMESTAMPTZ, JSON or the like"
PAD_MAX = 1000
"""Longest text that lpad and rpad may make."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """An expression that is allowed: its tree, and the columns that it reads, in order."""

    tree: exp.Expr
    reads: tuple[str, ...]

    def sql(self, columns: Dict[str, str]) -> str:
        """Write it, with these names for the columns."""

        def renamed(node: exp.Expr) -> exp.Expr:
            return exp.column(columns[node.name]) if isinstance(node, exp.Column) else node

        return self.tree.transform(renamed).sql(dialect="duckdb", comments=False)


class Refused(Exception):
    """Why an expression may not run; where it stands is added by who asks."""


def parse_all(mappings: Sequence[Mapping], names: Sequence[str] | None) -> dict[int, Parsed]:
    """Every expression, by the number of its mapping.

    Args:
        names: columns that the query returns; None if they are not known yet.
    Raises:
        InvalidInput: expressions that are not allowed, or name columns that there are not; all of them.
    """
    parsed, problems = {}, []
    for i, mapping in enumerate(mappings):
        if mapping.expression is None:
            continue
        try:
            parsed[i] = parse(mapping.expression, names)
        except Refused as reason:
            problems.append(f"mappings[{i}].expression: {reason}")
    if problems:
        raise InvalidInput("; ".join(problems)[:MESSAGE_MAX])
    return parsed


def parse(text: str, names: Sequence[str] | None) -> Parsed:
    """Read one expression and check it (raises Refused)."""
    try:
        tree: exp.Expr = sqlglot.parse_one(text, read="duckdb", into=exp.Condition)
        tree = _resolved(tree, names).transform(_settled)
        reads = tuple(dict.fromkeys(column.name for column in tree.find_all(exp.Column, bfs=False)))
        parsed = Parsed(tree, reads)
        _check(parsed.sql({name: f"c{i}" for i, name in enumerate(reads)}))
    except SqlglotError as error:
        found = getattr(error, "errors", None)
        raise Refused(f"{ONE} ({found[0]['description'] if found else 'it cannot be read'})") from None
    except RecursionError:
        raise Refused("is nested too deeply") from None
    return parsed


def typed(parsed: Dict[int, Parsed], columns: Dict[str, Value]) -> dict[int, Formula]:
    """The expressions over the columns as they are handed on, each with the type that DuckDB says it yields.

    Raises:
        InvalidInput: a function that does not take a column's type.
    """
    names = {name: value.sql for name, value in columns.items()}
    schema = pa.schema([pa.field(value.sql, value.type) for value in columns.values()])
    formulas = {}
    with _sandbox() as database:
        for i, each in parsed.items():
            sql = each.sql(names)
            database.register("source", pa.RecordBatchReader.from_batches(schema, []))
            try:
                kind = database.sql(f"SELECT {sql} AS x FROM source").to_arrow_table().schema.field(0).type
            except duckdb.Error as error:
                said = _words(error, {value: name for name, value in names.items()})
                raise InvalidInput(f"mappings[{i}].expression: {said}") from None
            formulas[i] = Formula(sql, kind, [columns[name] for name in each.reads], each.reads)
    return formulas


def _resolved(tree: exp.Expr, names: Sequence[str] | None) -> exp.Expr:
    """The tree with each column under the query's name for it, and members of objects as functions."""

    def resolve(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
            return _member(node.this.transform(resolve), node.expression.name)
        if not isinstance(node, exp.Column):
            return node
        if not isinstance(node.this, exp.Identifier):
            raise Refused(f"{node.sql(dialect='duckdb')} is not allowed in an expression")
        first, *members = node.parts
        name = _name(first.name, names, quoted=bool(first.args.get("quoted")))
        found: exp.Expr = exp.Column(this=exp.to_identifier(name, quoted=True))
        for member in members:
            found = _member(found, member.name)
        return found

    return tree.transform(resolve)


def _settled(node: exp.Expr) -> exp.Expr:
    """What DuckDB would take in two ways, or in another way with other settings.

    Division by zero gives NULL, whatever kind of division it is; an arrow is a function, and no lambda.
    """
    if isinstance(node, (exp.Div, exp.IntDiv, exp.Mod)) and not isinstance(node.expression, exp.Nullif):
        node.set("expression", exp.Nullif(this=node.expression, expression=exp.Literal.number(0)))
    elif isinstance(node, exp.JSONExtract):
        return exp.Anonymous(this="json_extract", expressions=[node.this.transform(_settled), node.expression])
    return node


def _member(of: exp.Expr, name: str) -> exp.Expr:
    return exp.Anonymous(this="struct_extract", expressions=[of, exp.Literal.string(name)])


def _name(name: str, names: Sequence[str] | None, *, quoted: bool) -> str:
    """The query's name for a column: the very name, or one that differs in case only if it was not quoted."""
    if names is None or name in names:
        return name
    alike = [each for each in names if each.lower() == name.lower()]
    if len(alike) == 1 and not quoted:
        return alike[0]
    if name.lower() in CHANGING:
        raise Refused(_changing(name))
    raise Refused(unknown_column(name, names))


def _check(sql: str) -> None:
    """Look through DuckDB's own tree of what is to run (raises Refused)."""
    with _sandbox() as database:
        ((text,),) = database.execute("SELECT json_serialize_sql(?)", [f"SELECT {sql}"]).fetchall()
    parsed = orjson.loads(text)
    if parsed["error"]:
        raise Refused(f"DuckDB cannot read it: {parsed.get('error_message', '')[:200]}")
    (statement,) = parsed["statements"]
    node = statement["node"]
    selected = node.pop("select_list")
    extra = [
        key
        for key in ("where_clause", "having", "qualify", "sample", "modifiers", "group_expressions")
        if node.get(key)
    ]
    if node["type"] != "SELECT_NODE" or len(selected) != 1 or node["from_table"]["type"] != "EMPTY" or extra:
        raise Refused(ONE)
    for part in _parts(selected[0]):
        _check_part(part)


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every node of DuckDB's tree."""
    pending = [tree]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            if "class" in each:
                yield each
            pending.extend(each.values())
        elif isinstance(each, list):
            pending.extend(each)


def _check_part(part: dict[str, Any]) -> None:
    kind = part["class"]
    if kind == "FUNCTION":
        _check_call(part)
    elif kind == "COLUMN_REF":
        if len(part["column_names"]) != 1 or not re.fullmatch(r"c[0-9]+", part["column_names"][0]):
            raise Refused(_refusal(part["column_names"][-1]))
    elif kind == "TYPE":
        if part["type_name"].lower() not in TYPES or len(part["qualified_name"]["path"]) != 1:
            raise Refused(f"cannot cast to {part['type_name']}; use {SOME_TYPES}")
    elif kind == "OPERATOR":
        if part["type"] not in OPERATORS:
            raise Refused(f"{part['type'].lower()} is not allowed in an expression")
    elif kind not in PLAIN:
        raise Refused(f"{REFUSED.get(kind, kind.lower())} is not allowed in an expression")


def _check_call(part: dict[str, Any]) -> None:
    name = part["function_name"].lower()
    if name not in FUNCTIONS:
        raise Refused(_refusal(name))
    plain = len(part["qualified_name"]["path"]) == 1 and not part.get("filter") and not part.get("distinct")
    if not plain or part["order_bys"].get("orders"):
        raise Refused(f"{name} is called in a way that is not allowed in an expression")
    if name in ("lpad", "rpad"):
        width = part["arguments"][1]["expression"].get("literal", {}) if len(part["arguments"]) > 1 else {}
        if not (width.get("kind") == "INTEGER" and int(width["text"]) <= PAD_MAX):
            raise Refused(f"{name}: write the length as a number of at most {PAD_MAX}")


def _refusal(name: str) -> str:
    if name.lower() in CHANGING:
        return _changing(name)
    return f"{name} is not allowed in an expression: only functions of the row's own values are"


def _changing(name: str) -> str:
    return (
        f"{name} gives another value at every call, so that every row would change; "
        "for the run's time, use metadata: RunTime"
    )


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """A DuckDB that can reach nothing, for looking at expressions."""
    database = duckdb.connect(config={"enable_external_access": "false", "threads": "1"})
    database.execute("SET TimeZone = 'UTC'; SET arrow_lossless_conversion = true; SET lock_configuration = true")
    return database


def _sandbox() -> duckdb.DuckDBPyConnection:
    return _database().cursor()


def _words(error: duckdb.Error, names: Dict[str, str]) -> str:
    """DuckDB's message on one line, with the query's names for columns."""
    text = " ".join(str(error).partition("\n\nLINE")[0].split())
    return re.sub(r"\bc[0-9]+\b", lambda match: names.get(match[0], match[0]), text)[:300]
