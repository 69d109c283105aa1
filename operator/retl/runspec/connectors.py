"""Connectors by name: where their configuration models and their code are, and how configuration is checked.

A connector's configuration models and its code live in different modules, so that the operator image can validate a
manifest without carrying a single database driver. Third-party connectors register a `ConnectorInfo` as an entry point
of the group `retl.sources` or `retl.destinations`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from retl import __version__
from retl.errors import InvalidInput
from retl.resources.problems import describe
from retl.runspec.capabilities import Capabilities
from retl.runspec.spec import Connection


class ConnectorConfig(BaseModel):
    """Base of a connector's settings as they stand in a manifest: camelCase, unknown settings refused.

    Attributes:
        place: settings that say where a destination's records are; with another value of one, a sync starts anew.
    """

    place: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class ConnectorCredentials(BaseModel):
    """Base of a connector's secrets: one field a key of the Secret, every field a SecretStr."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class ConnectorInfo:
    """What is known of a connector without loading its driver.

    Attributes:
        config: model of `spec.config`.
        credentials: model of the Secret's keys; None if it takes none.
        code: import path of the connector class, `package.module:Class`.
        capabilities: of a destination, what it can do with these settings; None for a source.
        example: the fewest settings that are valid, as a manifest has them: for lists and documentation.
    """

    config: type[ConnectorConfig]
    credentials: type[ConnectorCredentials] | None
    code: str
    capabilities: Callable[[Any], Capabilities] | None = None
    example: Mapping[str, Any] = field(default_factory=dict)


class UnknownConnector(InvalidInput):
    """No connector of that name is installed here; another image may have it."""


class BrokenConnector(InvalidInput):
    """A third party's connector is installed and cannot be loaded."""


def packaged(package: str) -> dict[str, str]:
    """Where the connectors are that are packages of their own below `package`: those with a module `connector`.

    Their `config` holds a ConnectorInfo called CONNECTOR, and imports no driver.
    """
    found: dict[str, str] = {}
    for where in import_module(package).__path__:
        for connector in Path(where).glob("*/connector.py"):
            name = connector.parent.name
            found[name] = f"{package}.{name}.config:CONNECTOR"
    return found


@dataclass(frozen=True, slots=True)
class Registry:
    """The connectors of one side.

    Attributes:
        builtin: where the ConnectorInfo of each of ours is, `package.module:NAME`; loaded when it is asked for.
        group: entry points of third parties' connectors, each a ConnectorInfo.
    """

    side: str
    builtin: Mapping[str, str]
    group: str

    def names(self) -> list[str]:
        """Every connector that is installed, ours and third parties'."""
        return sorted({*self.builtin, *(entry.name for entry in entry_points(group=self.group))})

    def info(self, name: str) -> ConnectorInfo:
        """The connector of that name; ours goes before a third party's.

        Raises:
            UnknownConnector: it names those there are.
            BrokenConnector: a third party's cannot be loaded.
        """
        if name in self.builtin:
            module, _, attribute = self.builtin[name].partition(":")
            found = getattr(import_module(module), attribute)
        else:
            entries = list(entry_points(group=self.group, name=name))
            if not entries:
                raise UnknownConnector(f"connector: there is no {self.side} connector {name!r}{self._hint(name)}")
            try:
                found = entries[0].load()
            except Exception as error:
                raise BrokenConnector(
                    f"connector: {self.side} connector {name!r} of {entries[0].value} cannot be loaded: "
                    f"{type(error).__name__}; install its package anew"
                ) from error
        if not isinstance(found, ConnectorInfo):
            raise BrokenConnector(
                f"connector: the entry point {name!r} of the group {self.group} is no retl ConnectorInfo"
            )
        return found

    def _hint(self, name: str) -> str:
        known = self.names()
        close = get_close_matches(name, known, 1)
        return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(known)}"

    def version(self, name: str) -> str:
        """Version of the package that the connector comes in."""
        if name in self.builtin:
            return __version__
        [found] = [e.dist for e in entry_points(group=self.group, name=name)][:1] or [None]
        return found.version if found else ""

    def check(self, name: str, config: Mapping[str, Any]) -> ConnectorConfig:
        """Validate `spec.config`; raise InvalidInput with one line a wrong setting."""
        info = self.info(name)
        try:
            return info.config.model_validate(config)
        except ValidationError as error:
            raise InvalidInput("; ".join(describe(error, "config", info.config))) from None

    def capabilities(self, connection: Connection) -> Capabilities:
        """What a destination can do, configured as it is (raises InvalidInput)."""
        of = self.info(connection.connector).capabilities
        assert of is not None, "a source writes nothing"
        return of(self.check(connection.connector, connection.config))

    def login(self, name: str, secret: str | None, values: Mapping[str, str]) -> ConnectorCredentials | None:
        """Validate the Secret's values; the message names keys and never a value."""
        info = self.info(name)
        if info.credentials is None:
            return None
        try:
            return info.credentials.model_validate(dict(values))
        except ValidationError as error:
            where = f"Secret {secret}" if secret else "credentials"
            raise InvalidInput(
                "; ".join(describe(error, where, info.credentials))
                + ("" if secret else "; set credentials.secretRef.name")
            ) from None

    def code(self, name: str) -> type[Any]:
        """Load the connector's class, and with it its driver."""
        module, _, attribute = self.info(name).code.partition(":")
        try:
            loaded = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise InvalidInput(
                f"{self.side} connector {name!r} needs the Python package {error.name!r}; "
                "install reverse-etl-operator[runner]"
            ) from None
        assert isinstance(loaded, type)
        return loaded
