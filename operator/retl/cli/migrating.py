"""`retl migrate`: the state database gets this version's schema before anything of this version runs.

All that opens the database migrates it, too; done first, and alone, a failure stops an upgrade while the old version
still works.
"""

import asyncio
from datetime import timedelta
from time import monotonic

import typer

from retl.errors import InvalidInput, StateError
from retl.state.database import Database
from retl.state.migrate import NewerDatabase
from retl.state.tables import REVISION

TRY_AGAIN_SECONDS = 2.0


def migrate(url: str, patience: timedelta) -> None:
    """Migrate, and say from which revision to which.

    Raises:
        InvalidInput: the URL is not one of a state database, or the database was written by a newer version.
        StateError: it could not be used for as long as patience lasted.
    """
    before = asyncio.run(_migrated(url, patience.total_seconds()))
    if before == REVISION:
        typer.echo(f"state database: has revision {REVISION} already")
    else:
        typer.echo(f"state database: from {f'revision {before}' if before else 'nothing'} to revision {REVISION}")


async def _migrated(url: str, patience: float) -> str | None:
    """The revision that it had; None if it was empty."""
    until, said = monotonic() + patience, ""
    while True:
        try:
            database = await Database.open(url)
        except NewerDatabase as error:
            raise InvalidInput(
                f"{error}, or bring back the database as it was before that version was installed"
            ) from None
        except StateError as error:
            if monotonic() >= until:
                raise
            if str(error) != said:
                said = str(error)
                typer.echo(f"retl: {said}; trying again", err=True)
            await asyncio.sleep(min(TRY_AGAIN_SECONDS, patience))
        else:
            await database.close()
            return database.before
