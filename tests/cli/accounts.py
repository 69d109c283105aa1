"""A project as a person has it: manifests, a CSV file and a CRM to send to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.examples.crm_process import PROJECT, RunningCrm

EXAMPLE = PROJECT / "examples" / "local"
ROWS, REFUSED = 12, 2
CRM_URL = "http://127.0.0.1:8090"


@dataclass(frozen=True)
class Accounts:
    """The example examples/local in a folder of its own, with the CRM's address and token filled in."""

    folder: Path

    @property
    def manifest(self) -> Path:
        """The three objects."""
        return self.folder / "accounts.yaml"

    @property
    def rows(self) -> list[str]:
        """Lines of the CSV file without its header."""
        return (self.folder / "accounts.csv").read_text().splitlines()[1:]

    def write_rows(self, rows: Sequence[str]) -> None:
        """Replace them."""
        header = (EXAMPLE / "accounts.csv").read_text().splitlines()[0]
        (self.folder / "accounts.csv").write_text("\n".join([header, *rows]) + "\n")

    def edit(self, kind: str, **spec: object) -> None:
        """Change fields of the spec of the object of that kind."""
        documents = list(yaml.safe_load_all(self.manifest.read_text()))
        for document in documents:
            if document["kind"] == kind:
                document["spec"] |= spec
        self.manifest.write_text(yaml.safe_dump_all(documents, sort_keys=False))

    def config(self, kind: str) -> dict[str, Any]:
        """The connector's settings of the object of that kind."""
        documents = yaml.safe_load_all(self.manifest.read_text())
        found: dict[str, Any] = next(d["spec"]["config"] for d in documents if d["kind"] == kind)
        return found

    @property
    def secrets(self) -> Path:
        """For --secrets-dir."""
        return self.folder / "secrets"


def project(folder: Path, crm: RunningCrm) -> Accounts:
    """Make one."""
    (folder / "secrets" / "crm-login").mkdir(parents=True)
    (folder / "secrets" / "crm-login" / "token").write_text(crm.token)
    accounts = Accounts(folder)
    for name in ("accounts.yaml", "accounts.csv"):
        text = (EXAMPLE / name).read_text()
        (folder / name).write_text(text.replace(CRM_URL, crm.url).replace("examples/local/", ""))
    accounts.edit("SyncDestination", credentials={"secretRef": {"name": "crm-login"}})
    return accounts
