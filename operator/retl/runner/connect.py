"""Source and destination of a run, with their settings and secrets checked before anything connects."""

from pathlib import Path
from typing import Any

from retl.destinations.base import Destination
from retl.destinations.registry import DESTINATIONS
from retl.errors import InvalidInput
from retl.runspec.connectors import Registry
from retl.runspec.spec import Connection, RunSpec
from retl.sources.base import Source
from retl.sources.registry import SOURCES


def connectors(spec: RunSpec, secrets_dir: Path | None) -> tuple[Source, Destination]:
    """Both connectors of a run, not connected yet.

    Args:
        secrets_dir: one directory a Secret, in it one file a key; None if there are no secrets at hand.
    Raises:
        InvalidInput: unknown connector, wrong settings, a missing Secret or key.
    """
    return source(spec.source, secrets_dir), destination(spec.destination, secrets_dir)


def source(connection: Connection, secrets_dir: Path | None) -> Source:
    """The connector of one source; see `connectors`."""
    found: Source = _connector(SOURCES, connection, secrets_dir)
    return found


def destination(connection: Connection, secrets_dir: Path | None) -> Destination:
    """The connector of one destination; see `connectors`."""
    found: Destination = _connector(DESTINATIONS, connection, secrets_dir)
    return found


def load_secret(secrets_dir: Path, name: str) -> dict[str, str]:
    """The keys of a Secret and their values, without the line break that editors leave at the end.

    Raises:
        InvalidInput: the directory or a file cannot be read.
    """
    directory = secrets_dir / name
    if not directory.is_dir():
        raise InvalidInput(f"Secret {name}: there is no directory {directory}; create it, with one file a key")
    values = {}
    for file in sorted(directory.iterdir()):
        # Kubernetes keeps the files themselves in a directory named ..data, and links to them.
        if file.name.startswith(".") or not file.is_file():
            continue
        try:
            values[file.name] = file.read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"Secret {name}: key {file.name} cannot be read: {type(error).__name__}") from None
    return values


def _connector(registry: Registry, connection: Connection, secrets_dir: Path | None) -> Any:
    config = registry.check(connection.connector, connection.config)
    values: dict[str, str] = {}
    if connection.secret is not None:
        if secrets_dir is None:
            raise InvalidInput(f"Secret {connection.secret}: needed, but no directory of secrets was given")
        values = load_secret(secrets_dir, connection.secret)
    login = registry.login(connection.connector, connection.secret, values)
    return registry.code(connection.connector)(config, login)
