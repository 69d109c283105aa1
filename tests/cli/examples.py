"""The examples of a documentation page: what is typed, and what is shown to come of it."""

import re
from collections.abc import Iterator

ANYTHING = "…"


def examples(page: str) -> Iterator[tuple[str, str]]:
    """Commands and what they are shown to print."""
    for _, block in re.findall(r"^(`{3,})console\n(.*?)\n\1$", page, flags=re.DOTALL | re.MULTILINE):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = example.partition("\n")
            yield command, shown.strip()


def matches(shown: str, answer: str) -> bool:
    """Whether an answer is as it is shown, `…` standing for anything."""
    return re.fullmatch(".*?".join(map(re.escape, shown.split(ANYTHING))), answer.strip(), re.DOTALL) is not None
