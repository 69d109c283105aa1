"""What the controller reads from the state service: catalogs of connections, and how far runs are.

Best effort. Everything that a decision rests on stands in the API server; where the state service cannot be asked, less
is known and shown, and nothing waits for it.
"""

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection
from pathlib import Path
from time import monotonic

import httpx
from pydantic import ValidationError

from retl.errors import InvalidInput
from retl.resources.run import RunProgress
from retl.runspec.catalog import Catalog
from retl.runspec.pod import ENV_STATE_CA_FILE
from retl.state import trust, wire

logger = logging.getLogger(__name__)

TIMEOUT = httpx.Timeout(5.0, connect=2.0)
REST_SECONDS = 15.0
"""After a request that failed, nothing is asked for so long: thousands of decisions do not each wait for a dead pod."""
KEPT_FIELDS = 100_000
"""Fields of all catalogs that are kept in memory; those that were looked at longest ago go first."""


class StateReads:
    """Reads as the controller's own ServiceAccount.

    Args:
        url: of the state service, without a path.
        token_file: the projected token; it rotates, so it is read for each request.
        ca: the certificates, in PEM, one of which signed the service's; they may be replaced. None: those that this
            machine trusts.
    """

    def __init__(
        self,
        url: str,
        token_file: Path,
        clock: Callable[[], float] = monotonic,
        *,
        ca: Callable[[], str] | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._token_file = token_file
        self._ca = ca
        self._trusted = ca and ca()
        self._client = self._connection()
        self._clock = clock
        self._resting_until = 0.0
        self._trouble = ""
        self._catalogs: OrderedDict[str, tuple[str, Catalog]] = OrderedDict()
        self._kept = 0
        self._asking: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def catalog(self, namespace: str, uid: str, digest: str) -> Catalog | None:
        """The catalog that the last check of a connection handed in; None if there is none, or nobody can be asked.

        Args:
            namespace, uid: of the SyncSource or SyncDestination.
            digest: its `status.lastCheck.catalog`; empty if there is none. What is kept is taken for the same digest.
        """
        if not digest:
            return None
        async with self._asking[uid]:  # a thousand syncs that want to know at once ask once
            kept = self._catalogs.get(uid)
            if kept and kept[0] == digest:
                self._catalogs.move_to_end(uid)
                return kept[1]
            found = await self._fetched(namespace, uid)
            if found is not None:
                self._keep(uid, digest, found)
            return found

    async def progress(self, run_uids: Collection[str]) -> dict[str, RunProgress]:
        """How far runs are, by uid; of some, nothing is known. One request, whatever their number."""
        if not run_uids:
            return {}
        answer = await self._ask("POST", "/progress", {"runs": list(run_uids)})
        try:
            return wire.RunsProgress.model_validate_json(answer).runs if answer else {}
        except ValidationError:
            logger.warning("the state service's answer on the progress of runs cannot be read")
            return {}

    async def close(self) -> None:
        """Release connections; safe to call twice."""
        await self._client.aclose()

    async def _fetched(self, namespace: str, uid: str) -> Catalog | None:
        answer = await self._ask("GET", f"/connections/{uid}/catalog?namespace={namespace}")
        try:
            # A large one takes a while, in which all else would wait.
            return await asyncio.to_thread(Catalog.model_validate_json, answer) if answer else None
        except ValidationError:
            logger.warning("the state service's catalog of connection %s cannot be read", uid)
            return None

    async def _ask(self, method: str, path: str, body: object = None) -> bytes | None:
        """The answer's body; None if there is nothing, or nobody to ask."""
        if self._clock() < self._resting_until:
            return None
        try:
            token = self._token_file.read_text().strip()
            headers = {"Authorization": f"Bearer {token}"}
            await self._follow_ca()
            response = await self._client.request(method, path, json=body, headers=headers)
        except (OSError, httpx.HTTPError, InvalidInput, ValueError) as error:
            self._rest(str(trust.refusal(self._url, error) or trust.broken(self._url, error)))
            return None
        if not response.is_success and response.status_code != httpx.codes.NOT_FOUND:
            self._rest(f"it answered {response.status_code}: {response.text[:200]}")
            return None
        if self._trouble:
            logger.warning("the state service answers again")
            self._trouble = ""
        return response.content if response.is_success else None

    async def _follow_ca(self) -> None:
        """Connect anew once the service's CA is another one."""
        if self._ca is not None and (now := self._ca()) != self._trusted:
            self._trusted, before = now, self._client
            self._client = self._connection()
            await before.aclose()

    def _connection(self) -> httpx.AsyncClient:
        verify = trust.verification(self._url, self._trusted, ENV_STATE_CA_FILE)
        return httpx.AsyncClient(base_url=self._url + wire.PREFIX, timeout=TIMEOUT, trust_env=False, verify=verify)

    def _rest(self, why: str) -> None:
        """Ask nothing for a while, and say why, once for as long as it is so."""
        if why != self._trouble:
            logger.warning("the state service cannot be asked, so catalogs and progress are not looked at: %s", why)
        self._trouble, self._resting_until = why, self._clock() + REST_SECONDS

    def _keep(self, uid: str, digest: str, catalog: Catalog) -> None:
        if uid in self._catalogs:
            self._kept -= _size(self._catalogs.pop(uid)[1])
        self._catalogs[uid] = digest, catalog
        self._kept += _size(catalog)
        while self._kept > KEPT_FIELDS and len(self._catalogs) > 1:
            self._kept -= _size(self._catalogs.popitem(last=False)[1][1])


def _size(catalog: Catalog) -> int:
    return sum(1 + len(each.fields) for each in catalog.objects)
