"""Expressions: what is allowed yields what DuckDB says, everything else is refused, and no row's trouble ends a run."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from retl.engine.expressions import Refused, parse, typed
from retl.engine.values import Value
from retl.errors import InvalidInput

ROW = """
SELECT 'at' AS country, ' A@x ' AS email, 3 AS a, 0 AS zero, '12' AS n, 'm' AS "name",
    {'city': 'Graz', 'Geo': {'x': 1}} AS addr, ['x', 'y'] AS tags,
    TIMESTAMPTZ '2024-05-06 07:08:09Z' AS ts, DATE '2024-02-29' AS d,
    '{"k": [1, {"z": "q"}]}'::JSON AS doc, 'O''Neil' AS s, 1.50::DECIMAL(10,2) AS price, NULL::INT AS nothing
"""  # fmt: skip

SAME = """
upper(country)
upper(COUNTRY) || '-' || a
7 / 2
a ** 2
CAST(n AS INTEGER) + 1
n::INT
TRY_CAST(s AS INT)
CASE WHEN a > 2 THEN 'big' WHEN a IS NULL THEN 'none' ELSE 'small' END
CASE country WHEN 'at' THEN 43 END
coalesce(nothing, a)
nullif(country, 'at')
addr.city
addr.Geo.x
addr['city']
tags[1]
tags[1:1]
len(tags)
array_to_string(tags, ';')
list_contains(tags, 'x')
doc->>'$.k[1].z'
doc->'k'->1->>'z'
json_extract_string(doc, '$.k[0]')
extract(year FROM ts)
date_trunc('month', ts)
strftime(ts, '%Y-%m-%d')
date_diff('day', d, DATE '2024-03-01')
d + INTERVAL 1 DAY
d + INTERVAL '1' MONTH
d - DATE '2024-01-01'
ts AT TIME ZONE 'Europe/Vienna'
epoch_ms(ts)
substring(country FROM 1 FOR 1)
position('t' IN country)
trim(BOTH ' ' FROM email)
regexp_replace(n, '[0-9]', 'x', 'g')
country LIKE 'a%'
country ILIKE 'A_'
country NOT LIKE 'b%'
country IN ('at', 'de')
a BETWEEN 1 AND 5
NOT (a = 3)
a = 3 AND zero = 0 OR a > 1
(a = 3 OR a = 4) AND zero = 1
a IS NOT DISTINCT FROM zero
lpad(n, 5, '0')
round(price, 1)
price * 1.1
price - 1 - 1
price - (1 - 1)
-a
'it''s'
"name"
sha256(lower(trim(email)))
{'a': a, 'b': [1, 2]}
[a, zero]
MAP {'k': a}
to_json({'a': a})
concat_ws(' ', country, NULL, 'x')
split_part(email, '@', 2)
if(a > 1, 'x', 'y')
greatest(a, zero)
a::DECIMAL(38,10)
country SIMILAR TO 'a.*'
a << 2
a & 1
E'a\\nb'
a /* remarks are left out */ + 1 -- all of them
CAST(CAST(a AS DOUBLE) AS VARCHAR)
"""

ATTACKS = """
(SELECT 1)
SELECT 1
1; DROP TABLE x
1; SELECT 2
a AS b
a b
a, zero
FROM x
TABLE x
VALUES (1)
WITH x AS (SELECT 1) SELECT * FROM x
PRAGMA version
ATTACH 'x'
COPY x TO 'y'
INSTALL httpfs
LOAD httpfs
SET threads = 1
CALL pragma_version()
EXPORT DATABASE 'x'
read_csv('/etc/passwd')
read_text('/etc/passwd')
read_blob('/etc/passwd')
read_json_auto('http://127.0.0.1/')
parquet_metadata('x')
glob('/*')
getenv('HOME')
current_setting('threads')
set_config('x', 'y', false)
getvariable('x')
duckdb_settings()
pg_read_file('/etc/passwd')
pg_sleep(10)
current_query()
current_schemas(true)
current_database()
has_table_privilege('x', 'y')
version()
pg_catalog.version()
system.main.upper(country)
main.upper(country)
country.upper()
CURRENT_USER
session_user
query('SELECT 1')
query_table('x')
write_log('x')
nextval('s')
random()
setseed(0.5)
uuid()
gen_random_uuid()
now()
today()
current_date
current_timestamp
localtimestamp
age(ts)
txid_current()
hash(a)
error('x')
count(*)
sum(a)
max(a)
list(a)
string_agg(country, ',')
any_value(a)
row_number() OVER ()
sum(a) OVER (PARTITION BY country)
upper(country) FILTER (WHERE true)
upper(DISTINCT country)
EXISTS (SELECT 1)
a IN (SELECT 1)
a = ANY (SELECT 1)
CASE WHEN (SELECT true) THEN 1 END
{'a': (SELECT 1)}
*
t.*
COLUMNS('c.*')
COLUMNS(*)
$1
?
:x
#1
'pg_class'::regclass
CAST('x' AS regtype)
CAST(a AS my_enum)
a::ENUM('x')
a::VARIANT
a::UNION(x INT)
list_transform(tags, x -> x || 'y')
list_transform(tags, lambda x: x || 'y')
list_reduce(tags, (x, y) -> x || y)
list_aggregate(tags, 'count')
[x FOR x IN tags]
UNNEST(tags)
range(1000000000)
generate_series(1, 10)
repeat('x', 1000000000)
lpad('x', 1000000000, 'y')
lpad('x', a, 'y')
rpad('x', 500 * 500 * 500, 'y')
format('{:>1000000000}', a)
printf('%1000000000d', a)
country COLLATE nocase
upper(country
upper(country))
'
a ORDER BY zero
"""


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as database:
        database.execute("SET TimeZone = 'UTC'; SET arrow_lossless_conversion = true").fetchall()
        yield database


@pytest.fixture(scope="module")
def row(database: duckdb.DuckDBPyConnection) -> pa.Table:
    return database.sql(ROW).to_arrow_table()


def lines(text: str) -> list[str]:
    return text.strip("\n").split("\n")


def columns_of(row: pa.Table) -> dict[str, Value]:
    return {name: Value(row.schema.field(name).type, f"c{i}") for i, name in enumerate(row.column_names)}


def computed(database: duckdb.DuckDBPyConnection, row: pa.Table, text: str) -> list[Any]:
    """What the engine computes: [value], or nothing if it failed."""
    columns = columns_of(row)
    formula = typed({0: parse(text, row.column_names)}, columns)[0]
    database.register("source", row.rename_columns([value.sql for value in columns.values()]))
    (value,) = database.sql(f"SELECT TRY({{'v': {formula.sql}}}) AS x FROM source").to_arrow_table()["x"].to_pylist()
    return [] if value is None else [value["v"]]


@pytest.mark.parametrize("text", lines(SAME))
def test_an_expression_yields_what_duckdb_says_of_its_text(
    database: duckdb.DuckDBPyConnection, row: pa.Table, text: str
) -> None:
    database.register("t", row)
    expected = database.sql(f"SELECT {text}\n AS x FROM t").to_arrow_table()["x"].to_pylist()
    assert computed(database, row, text) == expected


@pytest.mark.parametrize("text", lines(ATTACKS))
def test_whatever_reaches_beyond_the_row_is_refused(row: pa.Table, text: str) -> None:
    for names in (row.column_names, None):  # with and without the query's columns at hand
        with pytest.raises(Refused):
            parse(text, names)


def test_at_least_sixty_attacks_are_tried() -> None:
    assert len(lines(ATTACKS)) >= 60


@pytest.mark.parametrize("text", ["(" * 1500 + "a" + ")" * 1500, "a" + " + a" * 1300, "[" * 900 + "]" * 900])
def test_an_expression_that_is_nested_without_end_is_refused(row: pa.Table, text: str) -> None:
    with pytest.raises((Refused, InvalidInput)):
        typed({0: parse(text, row.column_names)}, columns_of(row))


@pytest.mark.parametrize("text", ["a / zero", "a // zero", "a % zero", "1.0 / 0", "a / (zero + 2) / zero"])
def test_division_by_zero_gives_null(database: duckdb.DuckDBPyConnection, row: pa.Table, text: str) -> None:
    assert computed(database, row, text) == [None]


@pytest.mark.parametrize(
    "text",
    [
        "CAST(s AS INTEGER)",
        "'x'::INT",
        "9223372036854775807 + a",
        "a::TINYINT * 100::TINYINT",
        "'now'::TIMESTAMP",
        "'today'::DATE",
        "make_date(2024, 13, a)",
        "chr(-a)",
    ],
)
def test_an_error_in_a_row_is_no_error_of_the_run(
    database: duckdb.DuckDBPyConnection, row: pa.Table, text: str
) -> None:
    assert computed(database, row, text) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("contry", 'unknown column "contry"; did you mean "country"? the query returns: country, email, a'),
        ('"COUNTRY"', 'unknown column "COUNTRY"'),
        ("now()", "use metadata: RunTime"),
        ("current_date", "use metadata: RunTime"),
        ("sum(a)", "sum is not allowed"),
        ("upper(", "write one scalar SQL expression, such as upper(country)"),
        ("a::regclass", "cannot cast to regclass; use INTEGER"),
    ],
)
def test_the_reason_says_what_to_change(row: pa.Table, text: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(text, row.column_names)
    assert words in str(refused.value)


def test_a_function_that_does_not_take_a_columns_type_is_said_with_the_columns_name(row: pa.Table) -> None:
    with pytest.raises(InvalidInput, match=r"mappings\[3\].expression: Binder Error: .*upper\(INTEGER\)"):
        typed({3: parse("upper(a)", row.column_names)}, columns_of(row))


def test_names_that_differ_in_case_only_are_told_apart() -> None:
    assert parse("Name || name", ["Name", "name"]).reads == ("Name", "name")
    assert parse("NAME", ["id", "name"]).reads == ("name",)
    with pytest.raises(Refused, match="unknown column"):
        parse("NAME", ["Name", "name"])
