"""The five custom resources as values: what a manifest may say, and nothing about how it is carried out.

Pure: no I/O beyond reading the text handed in. `crds/` is generated from these models.
"""

from retl.resources.destination import SyncDestination
from retl.resources.meta import GROUP, VERSION, ObjectMeta, Resource
from retl.resources.model import SyncModel
from retl.resources.run import SyncRun
from retl.resources.source import SyncSource
from retl.resources.sync import ReverseETLSync

KINDS: dict[str, type[Resource]] = {
    kind.__name__: kind for kind in (SyncSource, SyncModel, SyncDestination, ReverseETLSync, SyncRun)
}

__all__ = [
    "GROUP",
    "KINDS",
    "VERSION",
    "ObjectMeta",
    "Resource",
    "ReverseETLSync",
    "SyncDestination",
    "SyncModel",
    "SyncRun",
    "SyncSource",
]
