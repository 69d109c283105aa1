#!/usr/bin/env bash
# Pins the requirements of the images and of development with their digests, for every supported Python.
set -euo pipefail
cd "$(dirname "$0")/.."
pin() {
  out=requirements/$1.txt; shift
  uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header --generate-hashes \
    --no-emit-package reverse-etl-operator "$@" pyproject.toml -o "$out"
}
pin operator --extra controller --extra api
pin runner --extra runner
pin dev --extra dev
