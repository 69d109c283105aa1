"""YAML as plain values that remember their lines, read the way the API server's own tools read it.

Not `yaml.safe_load`, for four reasons: a message must name a line; a key that stands twice must be refused, as kubectl
does, and not lose its first value; a date is text in JSON, so it stays text; and an anchor that multiplies itself must
not eat the memory.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import yaml

from retl.resources.problems import Location, path

DEPTH_MAX = 64
VALUES_MAX = 200_000


class YamlProblem(Exception):
    """Text that is not YAML, or not the part of it that JSON can say.

    Attributes:
        line: where, counted from 1.
        column: where, counted from 1; 0 if the whole line is meant.
    """

    def __init__(self, message: str, line: int, column: int = 0) -> None:
        super().__init__(message)
        self.line, self.column = line, column


_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    f"{_TAG}bool": r"(y|n|yes|no|true|false|on|off|Y|N|Yes|No|True|False|On|Off|YES|NO|TRUE|FALSE|ON|OFF)",
    f"{_TAG}int": r"[-+]?(0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)",
    f"{_TAG}float": r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?0[0-9]*[89][0-9]*",
}
"""Plain scalars as kubectl reads them. YAML 1.1 as PyYAML knows it has no `y`, and 12:30 is a number to base 60."""


class _Loader(yaml.SafeLoader):
    """SafeLoader with kubectl's scalars, and dates that stay text."""

    bool_values: ClassVar[dict[str, bool]] = {**yaml.SafeLoader.bool_values, "y": True, "n": False}


_Loader.yaml_implicit_resolvers = {
    first: [rule for rule in resolvers if rule[0] not in (*_SCALARS, f"{_TAG}timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(_name, re.compile(rf"^(?:{_pattern})$"), list("yYnNtTfFoO-+.0123456789"))


@dataclass(slots=True)
class Document:
    """One YAML document.

    Attributes:
        value: dicts, lists and scalars, as JSON could hold them.
        lines: line of each field and item by its location, counted from 1; the root's is at `()`.
        duplicates: keys that stand twice in one mapping.
    """

    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    duplicates: list[Location] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """Line of a location; of the nearest one around it if there is nothing there."""
        while location not in self.lines:
            location = location[:-1]
        return self.lines[location]


def documents(text: str) -> Iterator[Document]:
    """The documents of a text, empty ones left out.

    Raises:
        YamlProblem: at the first thing that cannot be read; the documents before it were yielded.
    """
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlProblem(f"the character #x{error.character:04x} is not allowed in YAML", line) from None
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None and node.tag != f"{_TAG}null":
                document = Document()
                document.value = _Builder(loader, document).build(node, ())
                yield document
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error) from None
    except RecursionError:
        raise YamlProblem(f"nested more than {DEPTH_MAX} deep", int(loader.line) + 1) from None
    finally:
        loader.dispose()


class _Builder:
    """Turns the nodes of one document into values."""

    def __init__(self, loader: _Loader, document: Document) -> None:
        self._loader, self._document, self._values = loader, document, 0
        self._flattened: set[int] = set()

    def build(self, node: yaml.Node, location: Location) -> Any:
        self._values += 1
        if len(location) > DEPTH_MAX:
            raise YamlProblem(f"nested more than {DEPTH_MAX} deep", _line(node))
        if self._values > VALUES_MAX:
            raise YamlProblem(f"more than {VALUES_MAX} values; does an anchor multiply itself?", _line(node))
        self._document.lines.setdefault(location, _line(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*location, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        if id(node) not in self._flattened:
            self._flattened.add(id(node))
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            self._document.duplicates += [(*location, name) for name, count in Counter(names).items() if count > 1]
            self._loader.flatten_mapping(node)  # resolves `<<: *anchor`, in place: what it adds is no duplicate
        result: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise YamlProblem(f"{path(location)}: a key must be text", _line(key))
            name = str(key.value)
            self._document.lines[*location, name] = _line(key)
            result[name] = self.build(value, (*location, name))
        return result

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            value = self._loader.construct_object(node)
        except ValueError:
            raise YamlProblem(f"{node.value!r} is not a number; put text in quotes", _line(node)) from None
        if value is None or isinstance(value, str | bool | int | float):
            return value
        raise YamlProblem(f"{node.tag.rpartition(':')[2]} is not a type that JSON knows", _line(node))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _not_yaml(error: yaml.MarkedYAMLError) -> YamlProblem:
    mark = error.problem_mark or error.context_mark
    what = " ".join(part for part in (error.context, error.problem) if part)
    if "'\\t'" in what:
        what += "; indent with spaces"
    return YamlProblem(f"not valid YAML: {what}", mark.line + 1 if mark else 1, mark.column + 1 if mark else 0)
