# Headrace: `make demo` shows it, `make test` proves it.
PYTHON ?= python3.11
VENV := .venv
PROTO_VENV := .venv-proto
FLOOR_VENV := .venv-floor
NODE_VENV := .venv-node
BIN := $(VENV)/bin
STUBS := client/headrace/v1
.DEFAULT_GOAL := help
.PHONY: help demo check format test test-tools test-fast test-deep test-chaos storm coverage acceptance settings asyncapi service-config bench proto proto-check sync sync-check clean

help: ## this list
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z%-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: $(VENV)/.done ## the main job, end to end, on an embedded database
	@$(BIN)/python examples/demo.py

check: $(VENV)/.done proto-check sync-check ## format, lint, types, import contracts, stubs, blocking client, proto lint, breaks of the contract, words, AsyncAPI
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/python tests/breaking.py
	$(BIN)/python tests/wording.py
	$(BIN)/check-jsonschema --schemafile tests/schemas/asyncapi-3.0.0.json docs/asyncapi.yaml

format: $(VENV)/.done ## put the code into shape
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(BIN)/buf format --write

# Most tests wait for something: more of them run at once than there are processors.
SIDE_BY_SIDE = -n $(or $(TESTS_AT_ONCE),3) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.done $(FLOOR_VENV)/.done test-tools $(NODE_VENV)/.done ## every test but the deep ones, in some minutes
	$(FLOOR_VENV)/bin/python -m pytest -q -p no:support.services $(SIDE_BY_SIDE) tests/client # the light client needs no services
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not deep"

test-fast: $(VENV)/.done test-tools ## the tests that answer within a minute
	$(BIN)/pytest -q $(SIDE_BY_SIDE) -m "not slow and not deep"

test-deep: $(VENV)/.done test-tools ## storms, chaos, faults, fuzz, soak and models in their short form
	$(BIN)/pytest $(SIDE_BY_SIDE) -m deep

# gRPC for Go, with the protobuf library that the code of protoc-gen-go needs: apt would choose an older one.
GO_PACKAGES := golang-go protoc-gen-go protoc-gen-go-grpc golang-google-grpc-dev golang-github-golang-protobuf-1-5-dev
GO_LIBRARIES := google.golang.org/grpc/server.go github.com/golang/protobuf/proto/registry.go
# Those run no client in another language.
test-fast test-deep test-chaos storm: NO_LANGUAGES := 1

# What tests need from the system, and where it is: PostgreSQL unless HEADRACE_TEST_POSTGRESQL_URL names one.
# Root installs all that is missing at once, and the policy keeps services from being started; others are told the names.
test-tools:
	@missing=; \
	command -v strace >/dev/null || missing="$$missing strace"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing="$$missing rabbitmq-server"; \
	[ -n "$$HEADRACE_TEST_POSTGRESQL_URL" ] || command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 \
	    || missing="$$missing postgresql"; \
	[ -n "$(NO_LANGUAGES)" ] || command -v npm >/dev/null || missing="$$missing npm"; \
	[ -n "$(NO_LANGUAGES)" ] || { command -v go && command -v protoc-gen-go && command -v protoc-gen-go-grpc \
	    && cd /usr/share/gocode/src && ls $(GO_LIBRARIES); } >/dev/null 2>&1 \
	    || missing="$$missing $(GO_PACKAGES)"; \
	[ -n "$$missing" ] || exit 0; \
	[ "$$(id -u)" = 0 ] || { echo "The tests need these packages, install them or run this as root:$$missing" >&2; exit 1; }; \
	policy=/usr/sbin/policy-rc.d; \
	[ -e $$policy ] || { trap "rm -f $$policy" EXIT; printf '#!/bin/sh\nexit 101\n' >$$policy; chmod +x $$policy; }; \
	echo "installing$$missing"; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends $$missing >/dev/null \
	    || { echo "The tests need these packages, which could not be installed:$$missing" >&2; exit 1; }

test-chaos: $(VENV)/.done test-tools ## the long form of the tests that break things; HEADRACE_SEED=N repeats a run
	HEADRACE_LONG=1 $(BIN)/pytest -s -o timeout=7200 -m deep

storm: $(VENV)/.done test-tools ## three instances on one PostgreSQL, killed under load; a report at the end
	$(BIN)/pytest -q tests/chaos/test_storm_fleet.py

coverage: $(VENV)/.done test-tools $(NODE_VENV)/.done ## lines of server and client that the tests reach: at least 90 of 100
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q $(SIDE_BY_SIDE)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --fail-under=90

acceptance: $(VENV)/.done ## the acceptance list: row, test, outcome
	$(BIN)/python tests/acceptance.py

settings: $(VENV)/.done ## the table of settings in docs/operations.md
	$(BIN)/python tests/settings_table.py

asyncapi: $(VENV)/.done ## the schemas of messages in docs/asyncapi.yaml
	@$(BIN)/python tests/asyncapi.py

service-config: $(VENV)/.done ## the retry policy for clients in other languages, from the Python client's own
	@$(BIN)/python tests/service_config.py >proto/headrace/v1/service_config.json

# MEASURES chooses (P1 P3 …), ROUNDS and SCALE make it shorter. One that is chosen or short prints; the whole writes.
bench: $(VENV)/.done ## every measure beside its peers: benchmarks/RESULTS.md, docs/performance.svg; ROUNDS=5 SCALE=1 MEASURES="P1 P3"
	$(BIN)/python -m benchmarks $(or $(MEASURES),--write)

bench-%: $(VENV)/.done ## one measure, such as bench-P3: printed only
	$(BIN)/python -m benchmarks $*

proto: $(PROTO_VENV)/.done ## make the stubs anew
	PATH="$(PROTO_VENV)/bin:$$PATH" $(PROTO_VENV)/bin/python -m grpc_tools.protoc -Iproto \
	    --python_out=client --grpc_python_out=client --mypy_out=quiet:client --mypy_grpc_out=quiet:client proto/headrace/v1/*.proto

proto-check: $(PROTO_VENV)/.done ## the committed stubs are those that the .proto files give
	@made=$$(mktemp -d) && trap 'rm -rf "$$made"' EXIT && PATH="$(PROTO_VENV)/bin:$$PATH" \
	$(PROTO_VENV)/bin/python -m grpc_tools.protoc -Iproto --python_out="$$made" --grpc_python_out="$$made" \
	    --mypy_out=quiet:"$$made" --mypy_grpc_out=quiet:"$$made" proto/headrace/v1/*.proto && \
	diff -r -x __pycache__ -x __init__.py "$$made/headrace/v1" $(STUBS) \
	    || { echo "the stubs in $(STUBS) are not those of proto/: run 'make proto'" >&2; exit 1; }

sync: $(VENV)/.done ## make the blocking client anew from the one for asyncio
	@$(BIN)/python tests/sync_client.py

sync-check: $(VENV)/.done ## the committed blocking client is what the one for asyncio gives
	@$(BIN)/python tests/sync_client.py --check

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

$(FLOOR_VENV)/.done: pyproject.toml
	$(PYTHON) -m venv $(FLOOR_VENV)
	$(FLOOR_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(FLOOR_VENV)/bin/python -m pip install --quiet --editable . --group test \
	    $$(sed -n 's/^dependencies = \[\(.*\)\]/\1/p' pyproject.toml | tr -d '",' | sed 's/>=/==/g')
	@touch $@

$(NODE_VENV)/.done: examples/clients/node/package-lock.json | test-tools
	mkdir -p $(NODE_VENV) && cp examples/clients/node/package*.json $(NODE_VENV)
	npm ci --prefix $(NODE_VENV) --ignore-scripts --no-audit --no-fund --silent
	@touch $@

clean: ## remove what make has made
	rm -rf $(VENV) $(PROTO_VENV) $(FLOOR_VENV) $(NODE_VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage*
