"""Associates records with others, after they were written and HubSpot has said their ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retl.destinations.base import BatchRejected, Outcome, Rejected, Unknown
from retl.destinations.hubspot.api import Api
from retl.destinations.hubspot.errors import body_of, problem_of, without_values
from retl.destinations.hubspot.records import Link, Record, pairs
from retl.destinations.hubspot.results import linked
from retl.destinations.web.service import Service

REFUSED = frozenset({400, 404, 409, 422})
"""Statuses of a call that was refused for the sake of what was in it."""

NO_ID = Unknown("the record was written; HubSpot did not give its id, so it was not associated")


@dataclass(frozen=True, slots=True)
class Associations:
    """The associations of one sync.

    Attributes:
        object: that the sync writes.
        links: the kinds of associations, by the names that records have for them.
        most: associations in one call.
    """

    service: Service
    api: Api
    object: str
    links: Mapping[str, Link]
    most: int

    async def make(self, records: Mapping[int, Record], ids: Mapping[int, str]) -> dict[int, Outcome]:
        """Associate records that were written; outcomes of those that have not got all they should.

        Args:
            ids: of the records, by place; empty where HubSpot did not say it.
        """
        outcomes: dict[int, Outcome] = {
            place: NO_ID for place, found in ids.items() if not found and any(records[place].links.values())
        }
        places = {found: place for place, found in ids.items() if found}
        wanted = pairs({found: records[place] for found, place in places.items()})
        for name, each in wanted.items():
            for at in range(0, len(each), self.most):
                left = await self._call(self.links[name], each[at : at + self.most])
                outcomes |= {places[start]: outcome for start, outcome in left.items()}
        return outcomes

    async def _call(self, link: Link, wanted: Sequence[tuple[str, str]]) -> dict[str, Outcome]:
        """Make some; outcomes of the records that have not got theirs, by their ids.

        Raises:
            BatchRejected: none was made. The records may be written again, which changes nothing.
        """
        inputs = [{"from": {"id": start}, "to": {"id": end}, "types": link.types} for start, end in wanted]
        path = self.api.associate(self.object, link.object)
        reply = await self.service.call("POST", path, json={"inputs": inputs}, refused_as_reply=REFUSED)
        said = body_of(reply)
        refused = reply.status in REFUSED
        made = set() if refused else linked(said)
        left = [pair for pair in wanted if pair not in made]
        words, code = self._against(link, said, refused=refused)
        if refused and len({start for start, _ in wanted}) > 1:
            raise BatchRejected(code, self._shown(words, wanted))
        if words:
            return {start: Rejected(code, self._shown(words, wanted)) for start, _ in left}
        return dict.fromkeys((start for start, _ in left), Unknown(f"nobody knows if it was associated: {link.object}"))

    def _against(self, link: Link, said: Mapping[str, Any], *, refused: bool) -> tuple[str, Any]:
        """What HubSpot has against associations, if anything, and our code for it."""
        errors = [each for each in said.get("errors") or () if isinstance(each, dict)]
        if not refused and not errors:
            return "", "UNKNOWN"
        problem = problem_of(said if refused else errors[0])
        return f"association with {link.object}: {problem.words}", problem.code

    def _shown(self, words: str, wanted: Sequence[tuple[str, str]]) -> str:
        return self.service.redact(without_values(words, [each for pair in wanted for each in pair]))
