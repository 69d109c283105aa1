"""The envelope of every kind: apiVersion, kind, metadata, and the group they live in."""

from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field

from retl.resources.fields import DnsName, Model, StatusModel

GROUP = "reverseetl.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
NAME_MAX = 253
"""Longest name that Kubernetes takes; a kind may have a lower limit of its own."""


class OwnerReference(StatusModel):
    """Who owns an object; the garbage collector follows it."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None


class ObjectMeta(StatusModel):
    """The part of Kubernetes metadata that this program reads."""

    name: DnsName = ""
    generate_name: str | None = None
    namespace: str = "default"
    uid: str = ""
    generation: int = 1
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()


class Resource(Model):
    """Base of the five kinds. `spec` and `status` are declared by each."""

    model_config = ConfigDict(extra="forbid")

    plural: ClassVar[str]
    singular: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]]
    name_max: ClassVar[int] = NAME_MAX

    api_version: Literal["reverseetl.io/v1alpha1"]
    kind: str
    metadata: ObjectMeta

    @classmethod
    def name_too_long(cls) -> str:
        """What to tell a person whose name for an object of this kind is too long; empty if Kubernetes' limit holds."""
        if cls.name_max == NAME_MAX:
            return ""
        return (
            f"metadata.name of a {cls.__name__} may have {cls.name_max} characters, because others are named after it"
        )

    @classmethod
    def read(cls, manifest: dict[str, Any]) -> Self:
        """Validate a manifest as YAML or the API server gives it (raises pydantic.ValidationError)."""
        return cls.model_validate(manifest, by_alias=True, by_name=False)
