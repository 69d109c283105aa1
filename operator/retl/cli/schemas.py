"""`retl schema`: JSON Schema of a kind, or of the kinds that use a connector, with the connector's own settings."""

from typing import Any

import orjson
import typer

from retl.destinations.registry import DESTINATIONS
from retl.errors import InvalidInput
from retl.resources import KINDS, Resource, SyncDestination, SyncSource
from retl.resources.structural import JsonSchema
from retl.runspec.connectors import ConnectorInfo
from retl.sources.registry import SOURCES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def show(name: str, *, credentials: bool) -> None:
    """Print the schema.

    Raises:
        InvalidInput: there is no such kind or connector, or it has no credentials.
    """
    typer.echo(orjson.dumps(schema(name, credentials=credentials), option=orjson.OPT_INDENT_2).decode())


def schema(name: str, *, credentials: bool = False) -> dict[str, Any]:
    """The schema; of a name that is a source's and a destination's, one that takes either."""
    if name in KINDS and not credentials:
        return {"$schema": DIALECT, **_manifest(KINDS[name])}
    ends = [(SOURCES, SyncSource), (DESTINATIONS, SyncDestination)]
    found = [(model, registry.info(name)) for registry, model in ends if name in registry.names()]
    if not found:
        known = sorted({*KINDS, *SOURCES.names(), *DESTINATIONS.names()})
        raise InvalidInput(f"schema: there is no kind or connector {name!r}; there are: {', '.join(known)}")
    if credentials:
        schemas = [info.credentials.model_json_schema() for _, info in found if info.credentials is not None]
        if not schemas:
            raise InvalidInput(f"schema: connector {name!r} takes no credentials")
    else:
        schemas = [_of_connector(model, name, info) for model, info in found]
    return {"$schema": DIALECT, **(schemas[0] if len(schemas) == 1 else {"oneOf": schemas})}


def _manifest(model: type[Resource]) -> dict[str, Any]:
    return model.model_json_schema(schema_generator=JsonSchema)


def _of_connector(model: type[Resource], name: str, info: ConnectorInfo) -> dict[str, Any]:
    """The kind's schema, with the connector's settings in the place of any settings."""
    manifest, config = _manifest(model), info.config.model_json_schema(schema_generator=JsonSchema)
    definitions = manifest["$defs"] | {f"{name}.{each}": held for each, held in config.pop("$defs", {}).items()}
    own = orjson.loads(orjson.dumps(config).replace(b'"#/$defs/', f'"#/$defs/{name}.'.encode()))
    definitions = {
        each: orjson.loads(orjson.dumps(held).replace(b'"#/$defs/', f'"#/$defs/{name}.'.encode()))
        if each.startswith(f"{name}.")
        else held
        for each, held in definitions.items()
    }
    spec = definitions[manifest["properties"]["spec"]["$ref"].rpartition("/")[2]]
    spec["properties"] |= {"connector": {"const": name}, "config": own}
    return {**manifest, "$defs": definitions}
