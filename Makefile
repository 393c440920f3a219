# `make demo` and `make test` need Python 3.11 or newer and make, and nothing else: they set up what they use. Servers
# that tests talk to are installed by the tests (see CONTRIBUTING).

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin

MANIFESTS := $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml))

.PHONY: help demo demo-cluster test lint types imports unit soak bench compiled docs dist lock clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

demo: $(VENV)/run.stamp ## watch Arke do its job on this machine, and look around in its console until a key is pressed
	$(BIN)/arke demo

demo-cluster: $(VENV)/run.stamp ## the same on a cluster, a node of which is killed (needs PostgreSQL)
	$(BIN)/arke demo --cluster

test: $(VENV)/dev.stamp ## everything CI runs, types beside the rest
	@$(MAKE) --no-print-directory --jobs=2 types lint imports unit

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint --strict -c deploy/.yamllint deploy
	$(BIN)/kubernetes-validate --strict --quiet --no-warn -k 1.30 $(MANIFESTS)
	$(BIN)/kubernetes-validate --strict --quiet --no-warn -k 1.37 $(MANIFESTS)

types: $(VENV)/dev.stamp
	$(BIN)/mypy

imports: $(VENV)/dev.stamp
	$(BIN)/lint-imports

unit: $(VENV)/dev.stamp
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not soak"

soak: $(VENV)/dev.stamp ## the long runs
	$(BIN)/pytest -m soak

bench: $(VENV)/run.stamp ## speed, as ratios measured in one run
	$(BIN)/arke bench all

compiled: $(VENV)/dev.stamp ## the package as this machine runs it with less CPU, in build/compiled (needs a C compiler)
	rm -rf build/wheel build/compiled
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(BIN)/python -m hatchling build -t wheel -d build/wheel
	$(BIN)/python -m zipfile -e build/wheel/*.whl build/compiled

docs: $(VENV)/dev.stamp ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/site

dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
dist: $(VENV)/dev.stamp ## wheels, sdist, list of parts (SBOM) and checksums, in dist
	rm -rf dist
	$(BIN)/python -m hatchling build
	! $(BIN)/python tools/compiled.py || HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(BIN)/python -m hatchling build -t wheel
	$(BIN)/python tools/sbom.py dist/arke.cdx.json
	cd dist && sha256sum -- * > SHA256SUMS

PIN := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q

lock: $(VENV)/dev.stamp ## pin dependencies anew (needs uv in the environment)
	$(BIN)/$(PIN) --group build -o requirements/build.txt
	$(BIN)/$(PIN) pyproject.toml --group build -o requirements/run.txt
	$(BIN)/$(PIN) pyproject.toml --all-extras -o requirements/image.txt
	$(BIN)/$(PIN) pyproject.toml --group dev -o requirements/dev.txt

clean: ## remove everything that was made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	sh tools/make-venv.sh $(PYTHON) $(VENV)

$(VENV)/run.stamp: $(VENV)/bin/python requirements/run.txt pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/run.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
# Where Python may not keep its bytecode, as in many images of containers, each process would compile all of it anew.
	$(BIN)/python -m compileall -q src
	touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/dev.txt
	touch $@
