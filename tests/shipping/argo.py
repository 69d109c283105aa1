"""Argo CD's health checks and actions, as Argo CD runs them: in its Lua, and with what it does of their answers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.chart import PROJECT
from tests.programs import program

Object = dict[str, Any]
CUSTOMIZATIONS = PROJECT / "argocd" / "resource_customizations" / "reverseetl.io"


def health(live: Object) -> Object:
    """`status` and `message` of an object."""
    told: Object = _answer(CUSTOMIZATIONS / live["kind"] / "health.lua", live)
    return told


def offered(live: Object) -> Object:
    """The actions that there are for an object, by name."""
    told: Object = _answer(CUSTOMIZATIONS / live["kind"] / "actions" / "discovery.lua", live)
    return told


def act(action: str, live: Object) -> list[Object] | Object:
    """What an action makes: the object as it is to be, or a list of `operation` and `resource`."""
    told: list[Object] | Object = _answer(CUSTOMIZATIONS / live["kind"] / "actions" / action / "action.lua", live)
    return told if isinstance(told, list) else _mended(told, live)


def merge_patch(before: Object, after: Object) -> Object:
    """What turns one object into the other."""
    patch: Object = dict.fromkeys(before.keys() - after.keys())
    for name, value in after.items():
        was = before.get(name)
        if isinstance(value, dict) and isinstance(was, dict):
            if inner := merge_patch(was, value):
                patch[name] = inner
        elif value != was:
            patch[name] = value
    return patch


def _answer(script: Path, live: Object) -> Any:
    asked = json.dumps({"script": script.read_text(), "object": live})
    done = subprocess.run([program("argolua")], input=asked, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{script}: {done.stderr}"
    return json.loads(done.stdout)


def _mended(made: Any, live: Any) -> Any:
    """Lua has one kind of table: as Argo CD does, take an empty list for the object that was there."""
    if made == [] and isinstance(live, dict):
        return live
    if isinstance(made, dict) and isinstance(live, dict):
        return {name: _mended(value, live.get(name)) for name, value in made.items()}
    if isinstance(made, list) and isinstance(live, list) and len(made) == len(live):
        return [_mended(value, was) for value, was in zip(made, live, strict=True)]
    return made
