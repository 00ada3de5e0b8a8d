# Everything needs Python 3.11 or newer and make; the rest is installed into .venv when first wanted.

# Of a Python: 1, built with optimisations, as those of distributions are; 0, built without; less, too old.
FITNESS = import ensurepip, sys, sysconfig; said = str(sysconfig.get_config_var("CONFIG_ARGS")); \
	fitness = ("--enable-optimizations" in said or sys.prefix == "/usr") - (sys.version_info < (3, 11)) * 2
# The first that was built with optimisations; where there is none, the first that is new enough.
PYTHON ?= $(shell for least in 1 0; do \
	for python in python3.13 python3.12 python3.11 python3 /usr/bin/python3 python3.14 python; do \
	$$python -c '$(FITNESS); sys.exit(fitness < '$$least')' 2>/dev/null && echo $$python && exit; done; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test simulate faults bench bench-readme bench-growth bench-peers lint format page schemas clean

help:  ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found: install one, or say make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

install: $(STAMP)  ## a virtual environment with everything in it

demo: $(STAMP)  ## an order approval on a real server, start to finish
	@$(BIN)/python examples/demo.py

test: lint  ## formatting, lint, types, import rules, schemas, and the whole test suite
	$(BIN)/pytest -n 2 --dist loadfile --ignore tests/faults
	$(BIN)/pytest tests/faults

simulate: $(STAMP)  ## engines under every kind of fault, in virtual time: SEEDS=5000 of them by default
	$(BIN)/python -m stageflow_es.testing.simulator --seeds $(or $(SEEDS),5000)

faults: $(STAMP)  ## real faults, hundreds of kills, on one server and on three: MINUTES=5 each, SEED= to repeat a run
	AWAY=60 $(BIN)/pytest tests/faults
	SERVERS=1 $(BIN)/python -m tests.faults
	SERVERS=3 $(BIN)/python -m tests.faults

bench: $(STAMP)  ## every figure of the README, in a table and as JSON: QUICK=1 for a short one, ONLY="w1 w2" for some
	QUICK=$(QUICK) $(BIN)/python -m benchmarks $(ONLY)

bench-growth: $(STAMP)  ## how cost grows with sessions, parked sessions, stages and context
	QUICK=$(QUICK) $(BIN)/python -m benchmarks.growth

bench-peers: $(STAMP)  ## the same work on other engines, installed into build/peers: ONLY="burr restate" for some
	QUICK=$(QUICK) $(BIN)/python -m benchmarks.peers $(ONLY)

bench-readme: $(STAMP)  ## write the README's figures from what the other three measured
	$(BIN)/python -m benchmarks.readme

lint: $(STAMP)  ## formatting, lint, types, import rules, schemas
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m stageflow_es.docs.schemas --check

format: $(STAMP)  ## format, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

page: $(STAMP)  ## the documentation page of the built-in and the example stages, in site/
	$(BIN)/stageflow docs -o site --stages examples/order_stages.py examples/*_*.json

schemas: $(STAMP)  ## write schemas/ from the types
	$(BIN)/python -m stageflow_es.docs.schemas

clean:  ## remove what was built, the virtual environment too
	rm -rf $(VENV) build dist site .stageflow .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
