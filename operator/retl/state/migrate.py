"""Bringing the state database to the schema that this version knows, one opener at a time."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from retl.errors import StateError
from retl.state.tables import REVISION, REVISION_TABLE

_LOCK = 0x7265746C  # "retl": any number will do, as long as all openers use the same


class NewerDatabase(StateError):
    """The database was written by a newer version; waiting will not help."""

    reason = "StateNewer"


def migrate(connection: Connection) -> str | None:
    """Upgrade to the newest revision within the caller's transaction; the revision before, None of an empty database.

    Two openers do not race: SQLite's transaction already holds the write lock, PostgreSQL takes an advisory one.

    Raises:
        NewerDatabase: the database has a revision that this version does not know.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    current = _revision(connection)
    if current != REVISION:
        _upgrade(connection, current)
    return current


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(REVISION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {REVISION_TABLE}")).scalar_one_or_none()  # noqa: S608
    return None if found is None else str(found)


def _upgrade(connection: Connection, current: str | None) -> None:
    from alembic import command  # slow to load, and seldom needed
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise NewerDatabase(
            f"state database: written by a newer retl (revision {current}); this one knows up to {REVISION}: "
            "upgrade retl"
        )
    command.upgrade(config, "head")
