"""How a stream of batches is cut for delivery: the canary's records first, then blocks that are prepared at once."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

from retl.engine.chunk import Chunk

BLOCK_ROWS = 16_384
"""Records whose lookups are made, and whose writes are announced, together."""
BLOCK_BYTES = 32 * 1024**2
"""Of rows that are so wide that BLOCK_ROWS of them would be more."""


async def blocks(chunks: AsyncIterator[Chunk], *, first: int = 0) -> AsyncGenerator[list[Chunk], None]:
    """The chunks in lists of about BLOCK_ROWS records.

    Args:
        first: records in the first list, if there are as many; a chunk is cut for their sake.
    """
    block: list[Chunk] = []
    rows, wanted, size = 0, first or BLOCK_ROWS, 0
    async for chunk in chunks:
        rest = chunk
        if first and rows + rest.size > wanted:
            head, rest = cut(rest, wanted - rows)
            yield [*block, head]
            block, rows, first, wanted, size = [], 0, 0, BLOCK_ROWS, 0
        block.append(rest)
        rows += rest.size
        size += rest.rows.nbytes
        if rows >= wanted or (size >= BLOCK_BYTES and not first):
            yield block
            block, rows, first, wanted, size = [], 0, 0, BLOCK_ROWS, 0
    if block:
        yield block


def cut(chunk: Chunk, size: int) -> tuple[Chunk, Chunk]:
    """The first records and all others, without copying."""
    return replace(chunk, rows=chunk.rows.slice(0, size)), replace(chunk, rows=chunk.rows.slice(size))


def known(chunk: Chunk) -> Chunk:
    """Those records of which the snapshot may say something: all that are not new."""
    if chunk.created == chunk.size:
        return cut(chunk, 0)[0]
    if chunk.created == 0:
        return chunk
    return chunk.take([i for i, created in enumerate(chunk.rows.column("created").to_pylist()) if not created])


def new(chunk: Chunk) -> Chunk:
    """All other records."""
    if chunk.created == chunk.size:
        return chunk
    return chunk.take([i for i, created in enumerate(chunk.rows.column("created").to_pylist()) if created])
