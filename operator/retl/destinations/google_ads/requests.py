"""What a request was about, as text that another process can read: its id, and who of the batch was not in it.

Pure. Members that Google would refuse are told by the reason, and by their places in the batch; no value is kept.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

LONGEST = 4_096
"""Characters of a handle."""
ID_LONGEST = 512
"""Characters of a request's id; Google's have some dozens."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that Google took, or none if nobody was left to be told.

    Attributes:
        id: by which Google is asked for it; empty if there was none.
        size: records of the batch.
        refused: why some of them were left out, by their places.
    """

    id: str
    size: int
    refused: Mapping[int, str] = field(default_factory=dict)

    @property
    def sent(self) -> list[int]:
        """Places in the batch of those who were told, in the order in which they were."""
        return [place for place in range(self.size) if place not in self.refused]

    @property
    def fits(self) -> bool:
        """Whether it can be kept, whatever id Google gives it."""
        return len(self.handle()) - len(self.id) + ID_LONGEST <= LONGEST

    def handle(self) -> str:
        """As text."""
        by_reason: dict[str, list[int]] = {}
        for place, reason in sorted(self.refused.items()):
            by_reason.setdefault(reason, []).append(place)
        spans = {reason: ",".join(_spans(places)) for reason, places in by_reason.items()}
        return json.dumps([self.id, self.size, spans], separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def of(cls, handle: str) -> Self:
        """From its text."""
        id_, size, spans = json.loads(handle)
        refused = {place: reason for reason, text in spans.items() for place in _places(text)}
        return cls(id_, size, refused)


def _spans(places: Iterable[int]) -> Iterator[str]:
    """Places in ascending order as `1-3`, `7`."""
    first = last = -2
    for place in [*places, -2]:
        if place == last + 1:
            last = place
            continue
        if first >= 0:
            yield f"{first}" if first == last else f"{first}-{last}"
        first = last = place


def _places(text: str) -> Iterator[int]:
    for span in text.split(","):
        first, _, last = span.partition("-")
        yield from range(int(first), int(last or first) + 1)
