"""What goes wrong, how often, and until when. Everything is drawn from the seed."""

import random
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances, each for one request, one batch of events or one minute.

    Attributes:
        crash: of a controller, at a write: half of them before its effect, half after.
        refused: a request is answered 409 (writes only), 429, 500 or 503 and has no effect.
        unanswered: a request has its effect, or will have it much later, but the controller never hears.
        slow: a request takes seconds.
        cut: a watch ends; the next one goes on from where it was, or is told 410 and has to list.
        lag: a watch says nothing for minutes.
        jump: of a controller's clock, by seconds up to an hour, in either direction.
    """

    crash: float = 0.0
    refused: float = 0.0
    unanswered: float = 0.0
    slow: float = 0.0
    cut: float = 0.0
    lag: float = 0.0
    jump: float = 0.0


CALM = Faults()
"""Nothing goes wrong."""

_WORST = Faults(crash=0.06, refused=0.08, unanswered=0.06, slow=0.05, cut=0.05, lag=0.02, jump=0.03)


def draw(rng: random.Random) -> Faults:
    """A mixture: each kind of fault is absent, rare or frequent, so that none hides behind another."""
    if rng.random() < 0.05:
        return CALM
    names = list(Faults.__dataclass_fields__)
    return replace(CALM, **{name: getattr(_WORST, name) * rng.choice((0, 0.1, 0.4, 1)) for name in names})
