"""The floor: the least that moves the rows, written by hand, without diff, state, retries or dead letters.

`python -m bench.floor pg-http SOURCE URL TABLE [COLUMN …]` posts JSON batches that the server itself composed;
`pg-pg SOURCE DESTINATION TABLE` pipes COPY into a staging table and upserts once.
"""

import asyncio
import sys
from collections.abc import Sequence

import aiohttp
import psycopg

BATCH = 500
IN_FLIGHT = 8


async def pg_http(source: str, url: str, table: str, columns: Sequence[str]) -> None:
    """Post every row in batches of 500, eight calls under way."""
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(IN_FLIGHT * 2)

    async def send(session: aiohttp.ClientSession) -> None:
        while (body := await queue.get()) is not None:
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as reply:
                reply.raise_for_status()
                await reply.read()

    query = f"SELECT row_to_json(t) FROM (SELECT {', '.join(columns) or '*'} FROM {table}) t"
    async with aiohttp.ClientSession() as session:
        senders = [asyncio.create_task(send(session)) for _ in range(IN_FLIGHT)]
        async with await psycopg.AsyncConnection.connect(source) as connection, connection.cursor() as cursor:
            rows: list[bytes] = []
            # in text format a backslash is doubled; none of these rows has one
            async with cursor.copy(f"COPY ({query}) TO STDOUT".encode()) as copy:
                carry = b""
                async for data in copy:
                    *lines, carry = (carry + bytes(data)).split(b"\n")
                    rows += lines
                    while len(rows) >= BATCH:
                        await queue.put(b'{"records":[' + b",".join(rows[:BATCH]) + b"]}")
                        rows = rows[BATCH:]
            if rows:
                await queue.put(b'{"records":[' + b",".join(rows) + b"]}")
        for _ in senders:
            await queue.put(None)
        await asyncio.gather(*senders)


def pg_pg(source: str, destination: str, table: str) -> None:
    """COPY out, COPY into a staging table, one INSERT … ON CONFLICT."""
    with psycopg.connect(source) as reading, psycopg.connect(destination) as writing:
        writing.execute(f"CREATE TEMP TABLE staging (LIKE {table})".encode())
        with (
            reading.cursor().copy(f"COPY {table} TO STDOUT (FORMAT binary)".encode()) as out,
            writing.cursor().copy("COPY staging FROM STDIN (FORMAT binary)") as into,
        ):
            for data in out:
                into.write(data)
        columns = [d.name for d in writing.execute("SELECT * FROM staging LIMIT 0").description or ()]
        updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "id")
        writing.execute(f"INSERT INTO {table} SELECT * FROM staging ON CONFLICT (id) DO UPDATE SET {updates}".encode())


if __name__ == "__main__":
    if sys.argv[1] == "pg-http":
        asyncio.run(pg_http(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:]))
    else:
        pg_pg(*sys.argv[2:])
