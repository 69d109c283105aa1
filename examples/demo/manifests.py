"""The manifests of examples/flights with this demo's ports and logins filled in; the committed ones hold none."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
EVERY_MINUTE = "* * * * *"
CRM_URL = "http://127.0.0.1:8090"
"""Where the committed manifests expect the CRM."""


@dataclass(frozen=True)
class Values:
    """What only the running demo knows."""

    postgres_port: int
    crm_url: str
    secrets: dict[str, dict[str, str]]


def fill(source: Path, target: Path, values: Values) -> list[Path]:
    """Write each manifest of a directory, filled in, to another; returns the files in the order to apply them."""
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for file in sorted(source.glob("*.yaml")):
        documents = [_filled(document, values) for document in yaml.safe_load_all(file.read_text())]
        (target / file.name).touch(mode=0o600)
        (target / file.name).write_text(yaml.safe_dump_all(documents, sort_keys=False, width=120))
        written.append(target / file.name)
    return written


def _filled(manifest: Manifest, values: Values) -> Manifest:
    name = manifest["metadata"]["name"]
    match manifest["kind"]:
        case "Secret":
            manifest["stringData"] = values.secrets[name]
        case "SyncSource" | "SyncDestination":
            config = manifest["spec"]["config"]
            if manifest["spec"]["connector"] == "postgres":
                config["port"] = values.postgres_port
            else:
                for field in ("url", "checkUrl"):
                    config[field] = config[field].replace(CRM_URL, values.crm_url)
        case "ReverseETLSync" if "schedule" in manifest["spec"]:
            manifest["spec"]["schedule"]["cron"] = EVERY_MINUTE
    return manifest
