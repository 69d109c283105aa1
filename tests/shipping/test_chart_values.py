"""Every value has a word in the README and a rule in the schema, and the schema refuses what breaks the rule."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart import CHART, HelmError, rendered
from tools import chart_readme

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
UNUSED = ("global",)
"""Helm hands it to every chart that is part of another."""
Path = tuple[str, ...]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema, or the definition that it stands for."""
    reference = schema.get("$ref")
    return SCHEMA["$defs"][reference.rpartition("/")[2]] if reference else schema


def leaves(schema: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The schema of each value, by its path."""
    for name, inner in schema["properties"].items():
        here, rule = (*path, name), resolved(inner)
        if here in LEVELS:
            yield from leaves(rule, here)
        elif name not in UNUSED:
            yield here, rule


def levels(schema: dict[str, Any], path: Path = ()) -> Iterator[Path]:
    """The paths of the mappings that values.yaml is made of."""
    yield path
    for name in schema["properties"]:
        if any(value[: len(path) + 2][:-1] == (*path, name) for value in VALUES if len(value) > len(path) + 1):
            yield from levels(schema["properties"][name], (*path, name))


VALUES = [tuple(name.split(".")) for name, _, _ in chart_readme.values((CHART / "values.yaml").read_text())]
LEVELS = set(levels(SCHEMA))


def nested(path: Path, value: Any) -> dict[str, Any]:
    """Values with one that is set, by its path."""
    for name in reversed(path):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = dict(one)
    for name, value in other.items():
        there = both.get(name)
        both[name] = merged(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return both


def refused(values: dict[str, Any]) -> dict[str, str]:
    """What helm says of values that the schema refuses, by the path that it names."""
    with pytest.raises(HelmError, match="don't meet the specifications of the schema") as caught:
        rendered(values)
    found: dict[str, str] = {}
    for path, message in re.findall(r"^ *- at '(.*?)': (.+)$", str(caught.value), re.MULTILINE):
        if message != "validation failed":  # the heading of several
            found[path] = f"{found.get(path, '')}{message}\n"
    return found


def wrong(rule: dict[str, Any]) -> Any:
    """A value of another type than the rule's; for a type that has further rules, of that type and against them."""
    if "enum" in rule:
        return "other"
    if "pattern" in rule:
        return "not ? allowed"
    return {"boolean": "yes", "integer": -1, "number": 0, "array": {"a": 1}, "object": ["a"]}[rule["type"]]


def test_the_schema_and_values_yaml_know_the_same_values() -> None:
    assert sorted(path for path, _ in leaves(SCHEMA)) == sorted(VALUES)


def test_each_value_is_explained_above_it() -> None:
    text = (CHART / "values.yaml").read_text()
    assert [name for name, _, said in chart_readme.values(text) if not said] == []


def test_each_form_that_helm_shows_as_a_regular_expression_is_told_in_words() -> None:
    forms = dict(chart_readme.forms(SCHEMA, SCHEMA))
    assert forms[".tls.existingSecret"].startswith("small letters")
    assert forms[".networkPolicy.runners[].to[].cidr"].endswith("10.20.0.0/16")
    readme = (CHART / "README.md").read_text()
    assert [form for form in forms.values() if f"| {form} |" not in readme] == []


def test_the_readme_is_as_the_values_are() -> None:
    assert chart_readme.main(["--check"]) == 0


def test_a_wrong_value_is_refused_under_its_own_name_wherever_it_is() -> None:
    values: dict[str, Any] = {}
    for path, rule in leaves(SCHEMA):
        values = merged(values, nested(path, wrong(rule)))
    said = refused(values)
    assert sorted(said) == sorted("/" + "/".join(path) for path, _ in leaves(SCHEMA))


def test_a_value_of_another_type_is_refused_under_its_own_name_wherever_it_is() -> None:
    values: dict[str, Any] = {}
    for path, rule in leaves(SCHEMA):
        values = merged(values, nested(path, 7 if rule.get("type") != "integer" else "7"))
    said = refused(values)
    numbers = {"/" + "/".join(path) for path, rule in leaves(SCHEMA) if rule.get("type") == "number"}
    assert sorted(said) == sorted({"/" + "/".join(path) for path, _ in leaves(SCHEMA)} - numbers)


def test_an_unknown_name_is_refused_on_every_level() -> None:
    values: dict[str, Any] = {}
    for path in LEVELS:
        values = merged(values, nested((*path, "replica"), 1))
    said = refused(values)
    assert sorted(said) == sorted("/".join(("", *path)) for path in LEVELS)
    assert all("additional properties 'replica' not allowed" in message for message in said.values())


def test_a_value_that_is_taken_away_is_refused() -> None:
    """Null removes a default, and the templates need them all."""
    values: dict[str, Any] = {}
    for path, _ in leaves(SCHEMA):
        values = merged(values, nested(path, None))
    said = refused(values)
    for path, _ in leaves(SCHEMA):
        assert f"'{path[-1]}'" in said["/".join(("", *path[:-1]))], path


INSIDE = [
    ({"commonLabels": {"team": "data platform"}}, "/commonLabels/team", "does not match pattern"),
    ({"commonLabels": {"a/b/c": "x"}}, "/commonLabels", "additional properties 'a/b/c' not allowed"),
    ({"api": {"ingress": {"annotations": {"a b": "x"}}}}, "/api/ingress/annotations", "properties 'a b' not allowed"),
    ({"image": {"tag": 1.2}}, "/image/tag", "got number, want string"),
    ({"image": {"digest": "sha256:12"}}, "/image/digest", "does not match pattern"),
    ({"image": {"repository": "operator:1.2"}}, "/image/repository", "does not match pattern"),
    ({"imageRegistry": "..."}, "/imageRegistry", "does not match pattern"),
    ({"runner": {"serviceAccount": "a..b"}}, "/runner/serviceAccount", "does not match pattern"),
    ({"api": {"ingress": {"host": "a..b"}}}, "/api/ingress/host", "does not match pattern"),
    ({"api": {"service": {"clusterIP": "1.2"}}}, "/api/service/clusterIP", "does not match pattern"),
    ({"api": {"replicas": 51}}, "/api/replicas", "maximum: got 51, want 50"),
    ({"imagePullSecrets": ["login"]}, "/imagePullSecrets/0", "got string, want object"),
    ({"rbac": {"namespaces": ["a", "a"]}}, "/rbac/namespaces", "items at 0 and 1 are equal"),
    ({"controller": {"workers": 0}}, "/controller/workers", "minimum: got 0, want 1"),
    (
        {"controller": {"resources": {"limits": {"memory": "lots"}}}},
        "/controller/resources/limits/memory",
        "does not match pattern",
    ),
    (
        {"controller": {"resources": {"limit": {}}}},
        "/controller/resources",
        "properties 'limit' not allowed",
    ),
    ({"api": {"tolerations": [{"effect": "Never"}]}}, "/api/tolerations/0/effect", "value must be one of 'NoSchedule'"),
    (
        {"api": {"affinity": {"podAffinities": {}}}},
        "/api/affinity",
        "properties 'podAffinities' not allowed",
    ),
    ({"api": {"corsOrigins": ["*"]}}, "/api/corsOrigins/0", "does not match pattern"),
    ({"api": {"service": {"port": 80800}}}, "/api/service/port", "maximum: got 80,800, want 65,535"),
    ({"runner": {"jobTtl": "1 hour"}}, "/runner/jobTtl", "does not match pattern"),
    (
        {"runner": {"allowedPrivateNetworks": ["10.0.0.1"]}},
        "/runner/allowedPrivateNetworks/0",
        "does not match pattern",
    ),
    ({"state": {"snapshotUrl": "s3://key:secret@bucket"}}, "/state/snapshotUrl", "does not match pattern"),
    ({"tls": {"mode": False}}, "/tls/mode", "got boolean, want string"),  # what YAML makes of a bare off
    ({"tls": {"issuerRef": {"kind": "ClusterIssuer"}}}, "/tls/issuerRef", "properties 'name' required"),
    ({"networkPolicy": {"runners": [{"namespace": "a"}]}}, "/networkPolicy/runners/0", "missing property 'to'"),
    (
        {"networkPolicy": {"operatorTo": [{"cidr": "10.0.0.1"}]}},
        "/networkPolicy/operatorTo/0/cidr",
        "does not match pattern",
    ),
    (
        {"networkPolicy": {"operatorTo": [{"cidr": "10.0.0.256/32"}]}},
        "/networkPolicy/operatorTo/0/cidr",
        "does not match pattern",
    ),
    (
        {"networkPolicy": {"operatorTo": [{"cidr": "10.0.0.0/33"}]}},
        "/networkPolicy/operatorTo/0/cidr",
        "does not match pattern",
    ),
    (
        {"networkPolicy": {"apiFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}},
        "/networkPolicy/apiFrom/0",
        "maxProperties: got 2, want 1",
    ),
    ({"monitoring": {"rules": {"disabled": ["*"]}}}, "/monitoring/rules/disabled/0", "does not match pattern"),
]


@pytest.mark.parametrize(("values", "place", "message"), INSIDE, ids=[place for _, place, _ in INSIDE])
def test_what_is_wrong_within_a_value_is_named_with_its_place(values: dict[str, Any], place: str, message: str) -> None:
    assert message in refused(values)[place]


FITTING = [
    {"imageRegistry": "images.example.com:5000/data", "image": {"repository": "team/retl_operator.next"}},
    {"image": {"repository": "localhost:5000/operator"}},
    {"api": {"ingress": {"host": "*.example.com"}, "service": {"clusterIP": "fd00::10"}}},
    {"api": {"service": {"clusterIP": "10.96.0.199"}, "corsOrigins": ["http://localhost:3000"]}},
    {"networkPolicy": {"operatorTo": [{"cidr": "0.0.0.0/0"}, {"cidr": "10.250.0.9/32"}, {"cidr": "::/0"}]}},
    {"controller": {"resources": {"limits": {"cpu": 2}, "requests": {"cpu": 0.5}}}},
]


@pytest.mark.parametrize("values", FITTING)
def test_values_at_the_edge_of_the_rules_are_taken(values: dict[str, Any]) -> None:
    assert rendered(values)


CONTRADICTIONS = [
    ({"state": {}}, r"state\.existingSecret: is empty\. Create a Secret in namespace retl-system with the keys url"),
    ({"postgresql": {"enabled": True}}, r"postgresql\.enabled: is true, and state\.existingSecret names"),
    ({"tls": {"mode": "secret"}}, r"tls\.existingSecret: is empty, and tls\.mode is secret\. Create a Secret"),
    ({"tls": {"mode": "chart", "existingSecret": "mine"}}, r"tls\.existingSecret: names mine, which tls\.mode chart"),
    ({"tls": {"mode": "chart", "issuerRef": {"name": "ca"}}}, r"tls\.issuerRef: is set, and tls\.mode chart does not"),
    ({"api": {"service": {"port": 8081}}}, r"api\.service\.statePort: is 8081, as is api\.service\.port\. Runners"),
    ({"commonLabels": {"app.kubernetes.io/component": "x"}}, r"commonLabels: app\.kubernetes\.io/component is set by"),
    ({"commonLabels": {"helm.sh/chart": "x"}}, r"commonLabels: helm\.sh/chart is set by the chart"),
    (
        {"api": {"podAnnotations": {"reverseetl.io/state-scheme": "http"}}},
        r"api\.podAnnotations: reverseetl\.io/state-scheme is set by the chart\. Leave it out",
    ),
    (
        {"networkPolicy": {"enabled": False, "runners": [{"namespace": "a", "to": []}]}},
        r"networkPolicy\.runners: names namespaces, and networkPolicy\.enabled is false",
    ),
    (
        {"networkPolicy": {"runners": [{"namespace": "a", "to": []}, {"namespace": "a", "to": []}]}},
        r"networkPolicy\.runners: names namespace a twice",
    ),
    (
        {"monitoring": {"service": False, "serviceMonitor": {"enabled": True}}},
        r"monitoring\.serviceMonitor\.enabled: is true, and monitoring\.service is false",
    ),
]


@pytest.mark.parametrize(("values", "message"), CONTRADICTIONS)
def test_values_that_contradict_each_other_are_refused_with_what_to_change(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(HelmError, match=message):
        rendered(values)


def test_each_example_names_only_what_differs_from_the_defaults() -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in sorted(CHART.glob("examples/*.yaml")):
        values = yaml.safe_load(path.read_text())
        for leaf in VALUES:
            given: Any = values
            default: Any = defaults
            for name in leaf:
                given, default = given.get(name) if isinstance(given, dict) else None, default[name]
            assert given is None or given != default, f"{path.name}: {'.'.join(leaf)} is {given!r} anyway"
