# Headrace: `make demo` shows it, `make test` proves it.
PYTHON ?= python3.11
VENV := .venv
PROTO_VENV := .venv-proto
BIN := $(VENV)/bin
STUBS := client/headrace/v1
.DEFAULT_GOAL := help
.PHONY: help demo check format test test-fast acceptance proto proto-check clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: $(VENV)/.done ## the main job, end to end, on an embedded database
	@$(BIN)/python examples/demo.py

check: $(VENV)/.done proto-check ## format, lint, types, import contracts, stubs, proto lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

format: $(VENV)/.done ## put the code into shape
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(BIN)/buf format --write

test: $(VENV)/.done ## every test
	$(BIN)/pytest

test-fast: $(VENV)/.done ## the tests that answer within a minute
	$(BIN)/pytest -q -m "not slow"

acceptance: $(VENV)/.done ## the acceptance list: row, test, outcome
	$(BIN)/python tests/acceptance.py

proto: $(PROTO_VENV)/.done ## make the stubs anew
	PATH="$(PROTO_VENV)/bin:$$PATH" $(PROTO_VENV)/bin/python -m grpc_tools.protoc -Iproto \
	    --python_out=client --grpc_python_out=client --mypy_out=quiet:client --mypy_grpc_out=quiet:client proto/headrace/v1/*.proto

proto-check: $(PROTO_VENV)/.done ## the committed stubs are those that the .proto files give
	@made=$$(mktemp -d) && trap 'rm -rf "$$made"' EXIT && PATH="$(PROTO_VENV)/bin:$$PATH" \
	$(PROTO_VENV)/bin/python -m grpc_tools.protoc -Iproto --python_out="$$made" --grpc_python_out="$$made" \
	    --mypy_out=quiet:"$$made" --mypy_grpc_out=quiet:"$$made" proto/headrace/v1/*.proto && \
	diff -r -x __pycache__ -x __init__.py "$$made/headrace/v1" $(STUBS) \
	    || { echo "the stubs in $(STUBS) are not those of proto/: run 'make proto'" >&2; exit 1; }

$(VENV)/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[server,examples]' --group dev
	@touch $@

$(PROTO_VENV)/.done: pyproject.toml
	$(PYTHON) -m venv $(PROTO_VENV)
	$(PROTO_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(PROTO_VENV)/bin/python -m pip install --quiet --group proto
	@touch $@

clean: ## remove what make has made
	rm -rf $(VENV) $(PROTO_VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage*
