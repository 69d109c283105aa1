"""What manifests say of every destination with tables, and what all of these can do."""

from typing import Annotated

from pydantic import Field

from retl.runspec.capabilities import STANDARD_MODES, Capabilities

CreateTable = Annotated[bool, Field(description="Whether a sync that inserts makes its table when it is not there.")]


def table_capabilities(default_batch: int) -> Capabilities:
    """What a table can do."""
    return Capabilities(
        modes=frozenset(STANDARD_MODES),
        default_batch=default_batch,
        max_batch=100_000,
        payload="arrow",
        only_if_empty=True,
        lookups=True,
        describes=True,
    )
