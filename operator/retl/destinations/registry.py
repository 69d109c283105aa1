"""The destination connectors by name: each package below this one that has a `connector` is one of ours."""

from retl.runspec.connectors import Registry, packaged

DESTINATIONS = Registry(side="destination", builtin=packaged("retl.destinations"), group="retl.destinations")
