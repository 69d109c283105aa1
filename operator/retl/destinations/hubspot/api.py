"""Where HubSpot's calls are, in its dated versions and in v3, which has them elsewhere. Pure."""

from dataclasses import dataclass
from urllib.parse import quote

LEGACY = "v3"
LEGACY_ASSOCIATIONS = "v4"


@dataclass(frozen=True, slots=True)
class Api:
    """Paths of one version."""

    version: str

    @property
    def token(self) -> str:
        """Gives access tokens."""
        return f"/oauth/{self.version}/token"

    @property
    def account(self) -> str:
        """Says which account it is."""
        return f"/account-info/{self.version}/details"

    @property
    def schemas(self) -> str:
        """Custom objects with their properties."""
        return f"/crm-object-schemas/{self.version}/schemas"

    def schema(self, name: str) -> str:
        """One custom object."""
        return f"{self.schemas}/{_part(name)}"

    def properties(self, name: str) -> str:
        """Properties of an object."""
        return f"/crm/{self._dated('properties')}/{_part(name)}"

    def batch(self, name: str, verb: str) -> str:
        """A call with many records of an object."""
        return f"/crm/{self._dated('objects')}/{_part(name)}/batch/{verb}"

    def labels(self, name: str, other: str) -> str:
        """Kinds of associations between two objects."""
        return f"{self._associations(name, other)}/labels"

    def associate(self, name: str, other: str) -> str:
        """A call with many associations."""
        return f"{self._associations(name, other)}/batch/create"

    def _associations(self, name: str, other: str) -> str:
        kind = f"{LEGACY_ASSOCIATIONS}/associations" if self.version == LEGACY else f"associations/{self.version}"
        return f"/crm/{kind}/{_part(name)}/{_part(other)}"

    def _dated(self, what: str) -> str:
        return f"{self.version}/{what}" if self.version == LEGACY else f"{what}/{self.version}"


def _part(name: str) -> str:
    return quote(name, safe="")
