# Everything that a user, a developer and the continuous integration call. `make help` lists it.

# The first Python that is new enough; set PYTHON to choose another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet
LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --generate-hashes \
	--python-version 3.11 --no-emit-index-url pyproject.toml
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install develop demo serve worker test test-slow check check-clients bench bench-data openapi format lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "foretell needs Python 3.11 or newer on the PATH, or: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/pip
	$(PIP) --require-hashes -r requirements/runtime.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.develop: requirements/dev.txt pyproject.toml | $(BIN)/pip
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.runtime

$(VENV)/.bench: requirements/bench.txt $(VENV)/.develop
	$(PIP) --require-hashes -r requirements/bench.txt
	@touch $@

install: $(VENV)/.runtime ## create .venv with what the service needs, locked and hashed

develop: $(VENV)/.develop ## the same, with what tests, checks and examples need

demo: develop ## start the service, post the examples, draw a double-descent curve, compare with real data
	$(BIN)/python examples/demo.py

serve: install ## start the service on 127.0.0.1:8000 (ARGS="--port 9000" for options)
	$(BIN)/foretell serve $(ARGS)

worker: install ## start a worker beside the service (ARGS for options)
	$(BIN)/foretell worker $(ARGS)

test: develop ## run the tests, with a Valkey of their own (ARGS="-k name" to choose)
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not slow" $(ARGS)

test-slow: develop ## run the tests that take longer
	$(BIN)/python -m pytest -m slow $(ARGS)

check: develop ## format, lint, types, imports, dependencies, compose file, OpenAPI snapshot
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/python -m service openapi | diff docs/openapi.json - || { echo "run: make openapi" >&2; exit 1; }

check-clients: develop ## generate TypeScript and Java-generated Python clients and compile them (needs npm and Java)
	tests/clients/check $(BIN)

bench: $(VENV)/.bench ## measure, side by side with baselines, as ratios
	$(BIN)/python -m benchmarks $(ARGS)

bench-data: $(VENV)/.bench ## compare predictions on real data with trained models (ARGS=--quick for a look)
	$(BIN)/python -m benchmarks data $(ARGS)

openapi: install ## write docs/openapi.json
	$(BIN)/python -m service openapi > docs/openapi.json

format: develop ## format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: develop ## resolve the dependencies anew into requirements/
	$(LOCK) --extra dev --output-file requirements/dev.txt $(ARGS)
	$(LOCK) --extra bench --constraints requirements/dev.txt --output-file requirements/bench.txt
	$(LOCK) --extra build --constraints requirements/dev.txt --output-file requirements/runtime.txt
	$(LOCK) --extra build --extra cuda13 --constraints requirements/dev.txt --output-file requirements/cuda13.txt

clean: ## remove what the targets made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
