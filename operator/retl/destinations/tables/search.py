"""Finds the records that a server refuses when it takes a range of them as a whole or not at all."""

from collections.abc import Callable

from retl.destinations.base import Rejected


def refused(size: int, attempt: Callable[[int, int], Rejected | None]) -> dict[int, Rejected]:
    """Write what can be written of `size` records; of those that cannot, why, by place.

    One bad record among N costs at most 2·log2 N further attempts: where the first half can be written, the bad one is
    in the second, which is then halved without being tried.

    Args:
        attempt: writes the records [first, end), all or none; why they are refused, if one of them is at fault.
    """
    found: dict[int, Rejected] = {}

    def search(first: int, end: int, reason: Rejected | None) -> None:
        """Search [first, end), which holds a record at fault; `reason` is None if it was not tried as a whole."""
        if end - first == 1:
            if reason := reason or attempt(first, end):
                found[first] = reason
            return
        middle = (first + end) // 2
        if reason := attempt(first, middle):
            search(first, middle, reason)
            if reason := attempt(middle, end):
                search(middle, end, reason)
        else:
            search(middle, end, None)

    if size and (reason := attempt(0, size)):
        search(0, size, reason)
    return found
