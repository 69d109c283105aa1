"""One run in a process of its own, for tests that kill it: `python -m tests.engine.run_once FILE`."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from retl.state.sql import SqlStateStore
from tests.engine.syncs import Sync


async def main(described: dict[str, Any]) -> None:
    """Run a sync; prints the status."""
    state = await SqlStateStore.open(described.pop("state"))
    try:
        sync = Sync(state=state, staging=Path(described.pop("staging")), **described)
        print((await sync.run()).status)
    finally:
        await state.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
