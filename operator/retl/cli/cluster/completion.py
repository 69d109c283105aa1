"""Names of the cluster's objects, for a shell to complete with: quickly or not at all."""

import asyncio
from collections.abc import Sequence

from retl.cli.cluster.access import Reach, ask
from retl.cli.cluster.client import Cluster
from retl.cli.cluster.objects import names

PATIENCE_SECONDS = 2.0


def names_like(reach: Reach, kinds: Sequence[str], incomplete: str) -> list[str]:
    """Names that begin so, sorted (raises whatever goes wrong)."""

    async def asked(cluster: Cluster) -> list[str]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await names(cluster, *kinds)

    return sorted(name for name in ask(reach, asked) if name.startswith(incomplete))
