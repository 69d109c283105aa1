"""What is moved: tables, how they are filled and changed, and how to tell that all of a table has arrived."""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from examples.demo import warehouse


@dataclass(frozen=True, slots=True)
class Table:
    """A table with the primary key `id`.

    Attributes:
        columns: types by name.
        amount: a numeric column; to change a row is to add one to it.
    """

    name: str
    columns: Mapping[str, str]
    amount: str

    def create(self, database: str) -> None:
        """An empty one, in place of what was there."""
        columns = ", ".join(f"{name} {type_}" for name, type_ in self.columns.items())
        with psycopg.connect(database) as session:
            session.execute(f"DROP TABLE IF EXISTS {self.name}".encode())
            session.execute(f"CREATE TABLE {self.name} ({columns}, PRIMARY KEY (id))".encode())

    def change(self, database: str, rows: int) -> None:
        """Change so many rows, spread over the table."""
        with psycopg.connect(database) as session:
            session.execute(
                f"UPDATE {self.name} SET {self.amount} = coalesce({self.amount}, 0) + 1 WHERE id IN "
                f"(SELECT id FROM {self.name} ORDER BY hashint8(id), id LIMIT {rows})".encode()
            )
            session.execute(f"ANALYZE {self.name}".encode())

    def fingerprint(self, database: str, schema: str = "public", *, below: int | None = None) -> tuple[object, ...]:
        """What two tables with the same rows have in common; `below` leaves out the ids from there on."""
        where = f"WHERE id < {below}" if below else ""
        counts = ", ".join(f"count({name})" for name in self.columns)
        query = f"SELECT {counts}, sum(id), sum({self.amount})::numeric(38, 2) FROM {schema}.{self.name} {where}"
        with psycopg.connect(database) as session:
            return session.execute(query.encode()).fetchone() or ()


ACCOUNTS = Table(
    "accounts",
    {
        "id": "bigint",
        "name": "text NOT NULL",
        "email": "text",
        "country": "text",
        "city": "text",
        "revenue": "numeric(14,2)",
        "employees": "integer",
        "score": "double precision",
        "active": "boolean",
        "signed_up": "date",
        "last_seen": "timestamptz",
        "notes": "text",
    },
    "revenue",
)
FLIGHTS = Table(
    "flights",
    {"id": "bigint", **dict(column.rsplit(" ", 1) for column in warehouse.TABLES["flights"].split(", "))},
    "dep_delay",
)
NARROW = Table("scores", {"id": "bigint", "score": "double precision"}, "score")


def fill_accounts(database: str, rows: int) -> None:
    """12 columns of common types."""
    ACCOUNTS.create(database)
    _execute(
        database,
        """INSERT INTO accounts SELECT i, 'Account ' || i, 'account' || i || '@example.com',
        (ARRAY['AT','DE','FR','IT','ES'])[1 + i % 5], 'City ' || i % 1000, (i * 37 % 1000000) / 100.0, i % 5000,
        i / 7.0, i % 3 = 0, date '2020-01-01' + (i % 2000)::int,
        timestamptz '2026-01-01 00:00:00Z' + make_interval(secs => i), 'Some words about account ' || i
        FROM generate_series(1, {}) AS i""",
        rows,
    )


def fill_narrow(database: str, rows: int) -> None:
    """A key and a number."""
    NARROW.create(database)
    _execute(database, "INSERT INTO scores SELECT i, i % 1000 FROM generate_series(1, {}) AS i", rows)


def fill_flights(database: str) -> int:
    """All flights that left New York in 2013, with a number each; returns how many."""
    FLIGHTS.create(database)
    with psycopg.connect(database) as session:
        session.execute("ALTER TABLE flights RENAME TO numbered")
        warehouse.load(session)
        session.execute("INSERT INTO numbered SELECT row_number() OVER (), * FROM flights")
        session.execute("DROP TABLE flights")
        session.execute("ALTER TABLE numbered RENAME TO flights")
        counted = session.execute("SELECT count(*) FROM flights").fetchone()
    _execute(database, "ANALYZE flights")
    assert counted
    return int(counted[0])


def _execute(database: str, statement: str, *values: int) -> None:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(sql.SQL(statement).format(*map(sql.Literal, values)))
        if statement.startswith("INSERT"):
            session.execute("ANALYZE")
