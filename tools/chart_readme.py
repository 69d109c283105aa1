"""Writes the chart's README.md out of its values.yaml; `--check` says whether it is current.

A comment `# --` right above a value is what the table says of it. Mappings in block style are a level of values of
their own, all else is one value, as long as it may be. Forms come from values.schema.json.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tools.generated import PROJECT, settle

CHART = PROJECT / "charts" / "reverse-etl-operator"
PARTS = {"additionalProperties": ".*", "items": "[]"}
TEXT = """\
<!-- Written by tools/chart_readme.py; edit values.yaml and this tool instead. -->
# reverse-etl-operator {version}

{description}.

Needs Kubernetes 1.30 or later, Helm (tested with 4.3), and a PostgreSQL for its state:

```
kubectl create namespace retl-system
kubectl -n retl-system create secret generic state-database \\
  --from-literal=url=postgresql://USER:PASSWORD@HOST:5432/DATABASE --from-literal=key="$(openssl rand -base64 32)"
helm install retl charts/reverse-etl-operator -n retl-system --set state.existingSecret=state-database
```

To try it without a database of one's own: `--set postgresql.enabled=true` instead of `state.existingSecret`; it has no
backups and no replica.

## Values

Other keys than these, and values of another form, are refused before anything is changed.

| value | default | what it is |
|---|---|---|
{values}

Where helm says "does not match pattern", or of keys "additional properties … not allowed", it wants:

| form | of |
|---|---|
{forms}

## Examples

{examples}

## What it does about

- **CustomResourceDefinitions**: they are part of the release, so each upgrade brings them up to date, and they stay
  when it is uninstalled (`crds.keep`): with them stay all syncs and runs, and an installation with the same release
  name and namespace takes them over again. `crds.install: false` leaves them to somebody else, who upgrades them
  first; where they are missing or older than the chart, it says so and changes nothing.
- **the database's schema**: a hook (`state.migrateHook`) migrates before new pods start, and an upgrade stops where
  that fails, with the old pods at work.
- **certificates**: `tls.mode: chart` makes a CA and a certificate for ten years, once; upgrades keep them. Where
  nothing can be looked up in the cluster, as in Argo CD and `helm template`, they would be made anew each time: use
  `certManager` or `secret` there, and `state.existingSecret` instead of the bundled PostgreSQL.
- **two installations in one cluster**: the second needs another `nameOverride`, `crds.install: false` and
  `policies.install: false`, and both need `rbac.namespaces` that do not overlap; otherwise it is refused.
- **uninstalling with syncs there**: nothing waits for the operator (there are no finalizers). Syncs and runs stay,
  without anybody to work on them; with `crds.keep: false` they are deleted with their kinds. The Secret and the
  volume of the bundled PostgreSQL stay as well.
"""


def readme() -> str:
    """The whole file."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    text = (CHART / "values.yaml").read_text()
    rows = [f"| `{name}` | `{default}` | {said} |" for name, default, said in values(text)]
    schema = json.loads((CHART / "values.schema.json").read_text())
    written: dict[str, list[str]] = {}
    for name, form in forms(schema, schema):
        written.setdefault(form, []).append(f"`{name.removeprefix('.')}`")
    examples = [f"- [{path.name}](examples/{path.name}): {_opening(path)}" for path in sorted(CHART.glob("examples/*"))]
    return TEXT.format(
        version=chart["version"],
        description=chart["description"],
        values="\n".join(rows),
        forms="\n".join(f"| {form} | {', '.join(names)} |" for form, names in written.items()),
        examples="\n".join(examples),
    )


def values(text: str) -> Iterator[tuple[str, str, str]]:
    """Of each value in values.yaml: its name with dots, its default, and what its comment says."""
    yield from _values(yaml.compose(text, Loader=yaml.SafeLoader), text.splitlines(), ())


def _values(node: Any, lines: list[str], path: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for key, value in node.value:
        name = (*path, key.value)
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _values(value, lines, name)
        else:
            default = yaml.SafeLoader("").construct_object(value, deep=True)
            said = re.match(r"\s*# -- (.+)", lines[key.start_mark.line - 1])
            yield ".".join(name), json.dumps(default), said[1].replace("|", r"\|") if said else ""


def forms(schema: dict[str, Any], rule: dict[str, Any], name: str = "") -> Iterator[tuple[str, str]]:
    """The values for which the schema has a regular expression: the name with dots, and what the schema says of it."""
    if "$ref" in rule:
        rule = schema["$defs"][rule["$ref"].rpartition("/")[2]]
    if "pattern" in rule:
        yield name, rule["description"]
    inner = {f"{name}.{each}": of for each, of in rule.get("properties", {}).items()}
    inner |= {name + mark: rule.get(part) for part, mark in PARTS.items()}
    for of in rule.get("patternProperties", {}).values():
        yield f"{name} (keys)", rule["description"]
        inner[f"{name}.*"] = of
    for name, of in inner.items():
        if isinstance(of, dict):
            yield from forms(schema, of, name)


def _opening(path: Path) -> str:
    return path.read_text().splitlines()[0].removeprefix("# ")


def main(arguments: Sequence[str]) -> int:
    """Write the file, or with `--check` say whether it is current; the exit code."""
    return settle({CHART / "README.md": readme()}, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
