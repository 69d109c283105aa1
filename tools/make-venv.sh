#!/usr/bin/env bash
# Makes the virtual environment with the pinned development requirements: with uv where present, else with venv and pip.
set -euo pipefail
python=$1 venv=$2

"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
  echo "$("$python" --version) is not supported: Python 3.11 to 3.13 is needed (make PYTHON=python3.12 …)" >&2
  exit 2
}
echo "Installing the development environment into $venv (once; about a minute with an empty cache)" >&2
if command -v uv >/dev/null; then
  uv venv --quiet --allow-existing --python "$("$python" -c 'import sys; print(sys.executable)')" "$venv"
  uv pip install --quiet --compile-bytecode --python "$venv" -r requirements/dev.txt
  uv pip install --quiet --python "$venv" --no-deps --editable .
else
  if ! "$python" -m venv "$venv"; then
    # Debian keeps the venv module in a package of its own.
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 1
    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
    "$python" -m venv "$venv"
  fi
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --use-pep517 -r requirements/dev.txt
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
fi
