"""`retl test`: the mapping tests in YAML files, run over the manifests beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import orjson
import typer
from pydantic import Field, ValidationError

from retl.cli import local
from retl.destinations.registry import DESTINATIONS
from retl.engine import mapping_tests
from retl.errors import InvalidInput
from retl.resources import Resource, ReverseETLSync
from retl.resources.fields import Model
from retl.resources.manifests import SUFFIXES
from retl.resources.problems import describe
from retl.resources.yamltree import YamlProblem, documents
from retl.runspec.codes import Code
from retl.runspec.pod import EXIT_FAILED, EXIT_SUCCEEDED


class ExpectedRefusal(Model):
    """A row that must not be sent."""

    code: Code
    message: str = ""


class MappingTest(Model):
    """One test: rows that the query might return, and what is to become of them."""

    name: str = Field(min_length=1)
    given: list[dict[str, Any]] = Field(min_length=1)
    types: dict[str, str] = Field(default_factory=dict)
    expect: list[dict[str, Any]] = Field(default_factory=list)
    invalid: list[ExpectedRefusal] = Field(default_factory=list)


class TestDocument(Model):
    """The tests of one sync; `types` are those of all its tests."""

    sync: str
    namespace: str = "default"
    types: dict[str, str] = Field(default_factory=dict)
    tests: list[MappingTest] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a test ended: it passed if nothing differs."""

    sync: str
    name: str
    differences: Sequence[str]


def report(files: Sequence[Path], *, junit: Path | None, as_json: bool) -> int:
    """Print each test with `ok` or what differs; the exit code.

    Args:
        junit: file to write the results to as JUnit XML, too.
    Raises:
        InvalidInput: a file cannot be read, or a test names a sync that there is not; one line a problem.
    """
    verdicts = run(files)
    if junit is not None:
        junit.write_text(_junit(verdicts))
    for each in verdicts:
        if as_json:
            typer.echo(orjson.dumps({"sync": each.sync, "test": each.name, "differences": each.differences}).decode())
        else:
            typer.echo(
                "\n  ".join([f"{each.sync}: {each.name}: {'failed' if each.differences else 'ok'}", *each.differences])
            )
    return EXIT_FAILED if any(each.differences for each in verdicts) else EXIT_SUCCEEDED


def run(files: Sequence[Path]) -> list[Verdict]:
    """Run all tests in these files over the syncs in them."""
    tests = {file: found for path in files for file in _files(path) if (found := _tests(file))}
    manifests = [file for path in files for file in _files(path) if file not in tests]
    if not tests:
        raise InvalidInput("no tests in these files; a test file holds `sync:` and `tests:`")
    objects = local.read(manifests)
    return [
        Verdict(document.sync, each.name, _differences(each, document, objects, file))
        for file, found in tests.items()
        for document in found
        for each in document.tests
    ]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())


def _tests(file: Path) -> list[TestDocument]:
    """The tests in a file; none if it holds manifests."""
    try:
        found = [each.value for each in documents(file.read_text(encoding="utf-8-sig"))]
    except (OSError, UnicodeDecodeError, YamlProblem):
        return []  # said when it is read as a manifest
    if not any(isinstance(each, dict) and "tests" in each and "kind" not in each for each in found):
        return []
    try:
        return [TestDocument.model_validate(each) for each in found]
    except ValidationError as error:
        raise InvalidInput("\n".join(describe(error, str(file), TestDocument))) from None


def _differences(test: MappingTest, document: TestDocument, objects: Sequence[Resource], file: Path) -> Sequence[str]:
    spec = local.run_spec(_sync(document, objects, file), objects, local.Request("Plan"))
    case = mapping_tests.Case(
        name=test.name,
        given=test.given,
        expect=test.expect,
        invalid=[mapping_tests.Refusal(each.code, each.message) for each in test.invalid],
        types={**document.types, **test.types},
    )
    try:
        return mapping_tests.differences(spec, DESTINATIONS.capabilities(spec.destination).payload, case)
    except InvalidInput as error:
        return [str(error)]


def _sync(document: TestDocument, objects: Sequence[Resource], file: Path) -> ReverseETLSync:
    syncs = {(o.metadata.namespace, o.metadata.name): o for o in objects if isinstance(o, ReverseETLSync)}
    if found := syncs.get((document.namespace, document.sync)):
        return found
    known = ", ".join("/".join(key) for key in syncs) or "none"
    raise InvalidInput(f"{file}: sync: no ReverseETLSync {document.namespace}/{document.sync}; there are: {known}")


def _junit(verdicts: Sequence[Verdict]) -> str:
    """The form that CI systems show."""
    lines = [f'<testsuite name="retl" tests="{len(verdicts)}" failures="{sum(bool(v.differences) for v in verdicts)}">']
    for each in verdicts:
        lines.append(f"<testcase classname={quoteattr(each.sync)} name={quoteattr(each.name)}>")
        if each.differences:
            lines.append(f"<failure>{escape(chr(10).join(each.differences))}</failure>")
        lines.append("</testcase>")
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', *lines, "</testsuite>\n"])
