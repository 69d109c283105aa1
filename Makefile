# Every target makes .venv by itself: with uv where it is installed, else with the standard library's venv and pip.
# `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
KEEP ?=
# What shares the processors well; what has a Kubernetes of its own for each process (and builds it when it is not
# there); what needs the machine's network and containers for itself.
TOGETHER := tests/unit tests/faults tests/engine tests/destinations tests/rest tests/cli tests/examples
CLUSTER := tests/cluster tests/shipping
ALONE := tests/e2e
PYTEST := $(BIN)/python -m pytest
SIDE_BY_SIDE := -n 2 --dist worksteal
FILE_BY_FILE := -n 2 --dist loadfile

# The tests start hundreds of Python processes; compiling the same modules in each would take longer than the tests.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-down test check static e2e first-rows bench bench-controller bench-rest bench-destinations faults chart docs site release cluster cluster-down crds format lock clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

$(READY): requirements/dev.txt pyproject.toml
	@tools/make-venv.sh "$(PYTHON)" "$(VENV)"
	@touch $@

demo: $(READY) ## Warehouse to CRM on a real Kubernetes control plane (KEEP=1 leaves it up)
	@$(BIN)/python -m examples.demo $(if $(KEEP),--keep)

demo-down: $(READY) ## Stop what `make demo KEEP=1` left up
	@$(BIN)/python -m examples.demo down

test: static ## Everything: check, then all tests on real PostgreSQL, Kubernetes and, as root on Debian, real pods
	@failed=0; \
	$(PYTEST) $(FILE_BY_FILE) $(CLUSTER) || failed=1; \
	$(PYTEST) $(ALONE) || failed=1; \
	$(PYTEST) $(SIDE_BY_SIDE) $(TOGETHER) || failed=1; \
	exit $$failed

check: static ## Format, lint, types, layers, generated files, unit tests; under two minutes
	$(PYTEST) -q $(SIDE_BY_SIDE) tests/unit

static: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/retl crds crds --check
	$(BIN)/python -m tools.pages --check
	$(BIN)/python -m tools.connectors --check

e2e: $(READY) ## Real pods, images and the chart: a cluster of its own (root, Debian packages), or RETL_E2E_KUBECONFIG
	$(PYTEST) tests/e2e

first-rows: $(READY) ## Time README's way from a clone to the first rows in a cluster (root, Debian packages)
	@$(BIN)/python -m tools.first_rows

bench: $(READY) ## Rows per second and peak memory
	$(BIN)/python -m bench

bench-rest: $(READY) ## Requests a second of the REST API, beside kubectl
	$(BIN)/python -m bench rest

bench-destinations: $(READY) ## Rows per second and calls of each destination connector against its simulator
	$(BIN)/python -m bench destinations

bench-controller: $(READY) ## 10,000 syncs on a real API server, beside as many CronJobs
	$(BIN)/python -m bench controller

faults: $(READY) ## 10,000 seeds of the simulated cluster (about an hour)
	$(BIN)/python -m tests.faults --seeds 10000 --jobs 2

cluster: $(READY) ## Start a Kubernetes control plane and leave it up
	@$(BIN)/python -m tests.cluster up

cluster-down: $(READY) ## Stop it
	@$(BIN)/python -m tests.cluster down

crds: $(READY) ## Write crds/*.yaml from the models
	$(BIN)/retl crds crds

chart: $(READY) ## Lint, render, validate and install the Helm chart on a real control plane
	$(PYTEST) $(FILE_BY_FILE) tests/shipping

docs: $(READY) ## Write what is generated: pages of states, references, the chart's README, kustomize base, Argo CD's ConfigMap
	$(BIN)/python -m tools.pages
	$(BIN)/python -m tools.chart_readme
	$(BIN)/python -m tools.kustomize
	$(BIN)/python -m tools.argocd
	$(BIN)/python -m tools.reference
	$(BIN)/python -m tools.connectors

site: $(READY) ## The documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

release: $(READY) ## Of a clean commit: wheel, chart, images (as root, with buildah), bills of materials and checksums, in dist
	$(BIN)/python -m tools.release

format: $(READY) ## Format and fix what can be fixed
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: ## Pin the requirements anew (needs uv)
	tools/lock.sh

clean: ## Remove the virtual environment and caches of this folder
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
