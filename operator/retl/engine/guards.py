"""Limits on a run, checked before the first write.

Pure: counts and limits in, a breach in words or None out.
"""

from retl.resources.sync import Guards


def breach(guards: Guards, *, read: int, changes: int, known: int) -> str | None:
    """The first limit that the run would break, as a sentence; None if there is none.

    Args:
        read: rows that the query returned.
        changes: records that would be created or updated.
        known: keys in the snapshot; a percentage is of these, and not applied when there are none.
    """
    if guards.min_rows is not None and read < guards.min_rows:
        return f"the query returned {read} rows, fewer than guards.minRows {guards.min_rows}"
    limit = guards.max_changes
    if isinstance(limit, str):
        percent = int(limit.removesuffix("%"))
        if known and changes * 100 > known * percent:
            return (
                f"{changes} records would be written, more than guards.maxChanges {limit} "
                f"of the {known} that this sync wrote before"
            )
    elif limit is not None and changes > limit:
        return f"{changes} records would be written, more than guards.maxChanges {limit}"
    return None
