"""Manifests on disk as resources, or everything that is wrong with them at once.

What the CRDs refuse is refused here too, in the same words where they can be, with the file and the line: a person
learns in one go what the API server would tell them one `kubectl apply` at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from retl.errors import InvalidInput
from retl.resources import KINDS
from retl.resources.meta import API_VERSION, GROUP, VERSION, Resource
from retl.resources.problems import Location, path, problems, suggestion
from retl.resources.yamltree import Document, YamlProblem, documents

SUFFIXES = (".yaml", ".yml", ".json")

_METADATA = (
    *("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences"),
    *("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"),
    *("deletionTimestamp", "deletionGracePeriodSeconds"),
)
"""The fields of metadata that Kubernetes knows."""

_FREE: Location = ("spec", "config")
"""Where any JSON may stand, and null means null; elsewhere a field that is null counts as not written."""


_Wrong = tuple[Location, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem at one line of one file."""

    origin: str
    line: int
    message: str
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.origin}:{self.line}" if self.line else self.origin
        return f"{place}:{self.column}: {self.message}" if self.column else f"{place}: {self.message}"


def load(paths: Sequence[Path]) -> list[Resource]:
    """The resources in files and directories (their *.yaml, *.yml and *.json, not deeper), in order.

    Objects of other groups (a Secret beside the source that uses it) are left out.

    Raises:
        InvalidInput: one line a problem, over all files: `accounts.yaml:12: ReverseETLSync accounts: spec.object: …`.
    """
    reader = _Reader()
    for given in paths:
        for file in _files(given, reader):
            reader.read_file(file)
    return reader.result()


def parse(text: str, origin: str) -> list[Resource]:
    """The resources in a text; `origin` is what messages call it.

    Raises:
        InvalidInput: as `load`.
    """
    reader = _Reader()
    reader.read(text, origin)
    return reader.result()


def _files(given: Path, reader: "_Reader") -> list[Path]:
    if not given.is_dir():
        return [given]
    files = sorted(file for file in given.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if not files:
        reader.findings.append(Finding(str(given), 0, "holds no manifests (*.yaml, *.yml, *.json)"))
    return files


class _Reader:
    """Collects resources and problems over several texts."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._resources: list[Resource] = []
        self._seen: dict[tuple[str, str, str], str] = {}

    def result(self) -> list[Resource]:
        """All resources; raises InvalidInput if anything is wrong."""
        if self.findings:
            raise InvalidInput("\n".join(str(finding) for finding in self.findings))
        return self._resources

    def read_file(self, file: Path) -> None:
        """Read one file."""
        try:
            self.read(file.read_text(encoding="utf-8-sig"), str(file))
        except FileNotFoundError:
            self.findings.append(Finding(str(file), 0, "there is no such file or directory"))
        except UnicodeDecodeError:
            self.findings.append(Finding(str(file), 0, "is not UTF-8 text"))
        except OSError as error:
            self.findings.append(Finding(str(file), 0, f"cannot be read: {error.strerror}"))

    def read(self, text: str, origin: str) -> None:
        """Read one text of any number of documents."""
        empty = True
        try:
            for document in documents(text):
                empty = False
                for item in _items(document):
                    self._read_object(item, origin)
        except YamlProblem as problem:
            self.findings.append(Finding(origin, problem.line, str(problem), problem.column))
            return
        if empty:
            self.findings.append(Finding(origin, 0, "is empty; write at least one manifest"))

    def _read_object(self, item: "_Item", origin: str) -> None:
        kind, claim = _kind_of(item.value)
        twice = [(where, "stands twice; keep one") for where in item.duplicates()]
        if kind is None:
            wrong = [*twice, ((), claim)] if claim else twice
            self._report(wrong, item, origin, title="")
            return
        resource, wrong = _read(item.value, kind)
        self._report([*twice, *wrong], item, origin, title=f"{kind.__name__} {item.name()}".rstrip())
        if resource is not None and not twice and not wrong:
            self._add(resource, origin, item.line(()))

    def _report(self, wrong: list[_Wrong], item: "_Item", origin: str, *, title: str) -> None:
        found = [
            Finding(origin, item.line(where), ": ".join(part for part in (title, path(where), message) if part))
            for where, message in wrong
        ]
        self.findings.extend(sorted(found, key=lambda finding: finding.line))

    def _add(self, resource: Resource, origin: str, line: int) -> None:
        kind, meta = type(resource).__name__, resource.metadata
        key, place = (kind, meta.namespace, meta.name), f"{origin}:{line}"
        if meta.name and key in self._seen:
            self.findings.append(Finding(origin, line, f"{kind} {meta.name}: is already in {self._seen[key]}"))
            return
        self._seen[key] = place
        self._resources.append(resource)


@dataclass(frozen=True, slots=True)
class _Item:
    """One object of a document: the document itself, or an item of a List."""

    document: Document
    value: Any
    root: Location

    def line(self, where: Location) -> int:
        return self.document.line((*self.root, *where))

    def duplicates(self) -> list[Location]:
        depth = len(self.root)
        return [where[depth:] for where in self.document.duplicates if where[:depth] == self.root]

    def name(self) -> str:
        metadata = self.value.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return name if isinstance(name, str) else ""


def _items(document: Document) -> Iterator[_Item]:
    value = document.value
    listed = value.get("items") if isinstance(value, dict) and value.get("kind") == "List" else None
    if isinstance(listed, list):
        for index, item in enumerate(listed):
            yield _Item(document, item, ("items", index))
    else:
        yield _Item(document, value, ())


def _written(value: Any, location: Location) -> Any:
    """The value without the fields that are null: the API server drops them before it looks at anything."""
    if location == _FREE or not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        return [_written(item, (*location, index)) for index, item in enumerate(value)]
    return {key: _written(item, (*location, key)) for key, item in value.items() if item is not None}


def _kind_of(value: Any) -> tuple[type[Resource] | None, str]:
    """The kind that a document claims to be, or what is wrong with its claim; (None, "") if it is none of ours."""
    if not isinstance(value, dict):
        return None, "is not a manifest; a manifest has apiVersion, kind, metadata and spec"
    version, kind = value.get("apiVersion"), value.get("kind")
    if not isinstance(version, str) or not version:
        return None, f"apiVersion: is required; write apiVersion: {API_VERSION}"
    if not isinstance(kind, str) or not kind:
        return None, f"kind: is required; kinds: {', '.join(KINDS)}"
    group = version.rpartition("/")[0]
    if group != GROUP:
        ours = kind in KINDS or get_close_matches(group, [GROUP], 1, 0.8)
        return None, f"apiVersion: there is no {version}; did you mean {API_VERSION}?" if ours else ""
    if version != API_VERSION:
        return None, f"apiVersion: {GROUP} has no version {version.rpartition('/')[2]}; write {API_VERSION}"
    if kind not in KINDS:
        guess = get_close_matches(kind, KINDS, 1)
        hint = f"; did you mean {guess[0]}?" if guess else ""
        return None, f"kind: there is no kind {kind} in {GROUP}/{VERSION}{hint}; kinds: {', '.join(KINDS)}"
    return KINDS[kind], ""


def _read(value: Any, kind: type[Resource]) -> tuple[Resource | None, list[_Wrong]]:
    manifest = _written(value, ())
    manifest.pop("status", None)  # the API server would not take it either
    wrong = list(_metadata(manifest.get("metadata"), kind))
    try:
        return kind.read(manifest), wrong
    except ValidationError as error:
        return None, [*wrong, *((problem.location, problem.message) for problem in problems(error, kind))]


def _metadata(metadata: Any, kind: type[Resource]) -> Iterator[_Wrong]:
    """What Kubernetes would refuse in metadata (its type is checked with the rest)."""
    if not isinstance(metadata, dict):
        return
    for field in metadata:
        if field not in _METADATA:
            yield ("metadata", field), "unknown field" + suggestion(field, _METADATA)
    name = metadata.get("name")
    if name is None and not metadata.get("generateName"):
        yield ("metadata", "name"), "is required"
    elif isinstance(name, str) and len(name) > kind.name_max and kind.name_too_long():
        yield ("metadata", "name"), kind.name_too_long()
