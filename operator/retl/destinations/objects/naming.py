"""What files are called, and which of those in a bucket a sync wrote.

Pure. The name of a file comes from the ids of its records, so a batch that is sent again is the same file again.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from retl.destinations.base import Target
from retl.destinations.objects.config import SEGMENTS, TIMES, FilesConfig
from retl.errors import DestinationError

MANIFEST = "_manifest.json"
"""Names the files of a replacement. Readers of folders leave out what begins with an underscore."""
SUFFIXES = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl"}
PACKED = {"gzip": ".gz", "zstd": ".zst"}

_OURS = re.compile(r"\d{8}T\d{6}\d{6}Z-[0-9a-f]{32}\.(parquet|(csv|jsonl)(\.gz|\.zst)?)")


def folder(config: FilesConfig, target: Target) -> str:
    """Where the files of a target lie.

    Raises:
        DestinationError: the object's name or the path makes no folder, or one that moves from run to run.
    """
    if target.mode == "replace" and any(f"{{{name}}}" in config.path for name in TIMES):
        raise DestinationError(
            f"config.path: mode replace keeps one set of files, and {config.path!r} is another folder in each run; "
            "leave {date} and {hour} out"
        )
    began = moment(target)
    times = {name: began.strftime(form) for name, form in TIMES.items()}
    path = "/".join(part for part in (config.prefix, config.path.format(object=target.object, **times)) if part)
    if not re.fullmatch(SEGMENTS, path) or not path or {".", ".."} & {*path.split("/")}:
        raise DestinationError(
            f"object {target.object!r}: {path!r} is no folder; use letters, digits and ._=+@- with slashes between"
        )
    return path


def moment(target: Target) -> datetime:
    """When the run began."""
    return (target.began or datetime.now(UTC)).astimezone(UTC)


def file_name(config: FilesConfig, began: datetime, ids: Sequence[str]) -> str:
    """Name of the file of the records with these ids; names of later runs come later in the alphabet."""
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:32]
    packed = "" if config.format == "parquet" else PACKED.get(config.codec, "")
    return f"{began:%Y%m%dT%H%M%S%f}Z-{digest}{SUFFIXES[config.format]}{packed}"


def ours(path: str, within: str) -> bool:
    """Whether an object is a file that a sync wrote into this folder, and not one below it."""
    parent, _, name = path.rpartition("/")
    return parent == within and _OURS.fullmatch(name) is not None
