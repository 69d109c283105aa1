"""Draws docs/pictures: terminals with what real commands really answered, and a page of the REST API.

`python -m tools.pictures` draws those that need no cluster, and with `--check` fails if a committed one shows another
answer; `--cluster` plays the demo as well (a control plane, the operator, a warehouse, a CRM; about two minutes) and
draws what the command line and the API say there. What differs from time to time, such as ids, is drawn as always the
same.
"""

import io
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text
from typer.testing import CliRunner

from examples.demo.stage import Stage
from examples.demo.story import SCHEDULED, Story
from examples.demo.telling import Telling
from retl.cli.app import app
from tests.cli.accounts import CRM_URL
from tests.examples.crm_process import running_crm
from tools.generated import PROJECT, settle

DIRECTORY = PROJECT / "docs" / "pictures"
WIDTH, WRAPPED = 118, 100
"""Columns of a picture, and those that answers are wrapped to; a command to copy stays in one line."""
STEADY = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{22}", "01a2040f-7c1e-7b52-9d6a-3f6f0c1e8a44"),
    (r"\b[0-9a-f]{32}\b", "5e1f0c3a9b7d42688c1de0a4f2b96d07"),
    (r"\bin \d+\.\d s\b", "in 0.7 s"),
    (r"\b20\d\d-\d\d-\d\d \d\d:\d\dZ", "2026-11-22 12:00Z"),
)
"""What is different each time, and what is drawn for it."""
REFUSED = re.compile(r"(?:^  account_id=.*\n    .*\n)+", re.MULTILINE)
"""Rows that a run says were refused: any may come first, and they are drawn in the order of their keys."""
FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""rich's own, without the font that it would load from elsewhere."""
Session = Sequence[tuple[str, str]]
"""Commands and their answers."""


def drawn(name: str, session: Session) -> str:
    """An SVG of a terminal in which this was typed and answered."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), legacy_windows=False)
    for number, (command, answer) in enumerate(session):
        console.print(Text("\n" * bool(number)) + Text("$ ", "bold green") + Text(command, "bold"))
        for pattern, steady in STEADY:
            answer = re.sub(pattern, steady, answer)
        answer = REFUSED.sub(_in_order, answer)
        console.print(Text(answer.rstrip()))
    return console.export_svg(title="", theme=SVG_EXPORT_THEME, code_format=FORMAT, unique_id=name)


def _in_order(refused: re.Match[str]) -> str:
    return "".join(sorted(re.findall(r".*\n.*\n", refused[0])))


def typed(command: str, directory: Path, **environment: str) -> tuple[str, str]:
    """A command of retl and what it answered, on both streams."""
    with chdir(directory):
        answer = CliRunner().invoke(app, shlex.split(command)[1:], env={"COLUMNS": str(WRAPPED)} | environment)
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return command, answer.output


def without_cluster() -> Iterator[tuple[str, Session]]:
    """Pictures of the quick start on one's own machine."""
    with tempfile.TemporaryDirectory() as folder, running_crm(token="") as crm:
        directory = Path(folder)
        shutil.copytree(PROJECT / "examples" / "local", directory / "examples" / "local")
        manifest = directory / "examples" / "local" / "accounts.yaml"
        manifest.write_text(manifest.read_text().replace(CRM_URL, crm.url))
        rows = manifest.with_name("accounts.csv")
        yield (
            "first-run",
            [
                typed(f"retl {command}", directory)
                for command in ("validate -f examples/local", *["run -f examples/local"] * 2, "dlq stats")
            ],
        )
        rows.write_text(rows.read_text().replace("Alpenblick Hotels GmbH", "Alpenblick Resorts GmbH"))
        yield "plan", [typed("retl plan -f examples/local", directory)]


def with_cluster() -> Iterator[tuple[str, Session]]:
    """Pictures of the demo's cluster; its last one is a page of the API, drawn by a browser."""
    with _demo() as story:
        kubeconfig = {"KUBECONFIG": str(story.cluster.kubectl.kubeconfig)}

        def session(*commands: str) -> Session:
            return [typed(f"retl {command} -n flights", PROJECT, **kubeconfig) for command in commands]

        yield "status", session("status", f"status {SCHEDULED}")
        _photograph(f"http://127.0.0.1:{story.api_port}/docs", DIRECTORY / "api.png")


@contextmanager
def _demo() -> Iterator[Story]:
    with tempfile.TemporaryDirectory() as directory:
        stage = Stage(Path(directory), leave_up=False)
        story = Story(stage, Telling(sys.stderr))
        try:
            for step in (story.start_kubernetes, story.start_warehouse, story.start_crm, story.start_operator):
                step()
            story.apply()
            story.run_by_hand()
            story.run_on_schedule()
            yield story
        finally:
            stage.close()


def _photograph(url: str, path: Path) -> None:
    """What a browser shows of a page."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit(f"{path.name} needs chromium on PATH (Debian's package of that name)")
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=5000"]
    command = [chromium, *options, "--window-size=1200,760", f"--screenshot={path}", url]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def main(arguments: Sequence[str]) -> int:
    """Draw, or with `--check` name what is not as it was drawn; the exit code."""
    sessions = [*without_cluster(), *(with_cluster() if "--cluster" in arguments else ())]
    wanted = {DIRECTORY / f"{name}.svg": drawn(name, session) for name, session in sessions}
    return settle(wanted, arguments, by="python -m tools.pictures")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
