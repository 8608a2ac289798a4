# SPDX-License-Identifier: Apache-2.0
#
# Everything works on a fresh machine: python3 with its headers and venv, and a C compiler.
# The environment is made again when its requirements change, the extension when its sources do.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TESTS ?= tests --ignore tests/verify --ignore tests/openstack
# Much of a test is waiting, so there are more at a time than processors.
WORKERS ?= $(shell expr 2 \* $$(nproc))
# A shell's background jobs ignore Ctrl-C, and so would the programs on which tests press it.
PYTEST = env --default-signal=INT,QUIT $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

C_WARNINGS := -std=gnu11 -O2 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
COMPILERS := $(shell command -v gcc) $(shell command -v clang)

# Tests start some thousand programs, which would each compile their modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## a collector, and a service talking RPC through it; SECONDS=20 ends by itself
	@$(BIN)/shmetrics demo $(if $(SECONDS),--seconds $(SECONDS))

quick: build ## the tests that start no process: under a minute
	@$(PYTEST) --examples 5 -m quick $(TESTS)

test: build ## all that shows that the product works; TESTS='tests/cli -k lanes' for some of it
	@$(PYTEST) --examples 10 $(TESTS)

verify: build ## the proofs: models, memory order, kills, limits, sanitizers, fuzzing, soak, other Pythons
	@$(MAKE) --no-print-directory proofs properties
	@$(MAKE) --no-print-directory test-pythons EXCEPT="$(or $(EXCEPT),$(shell \
	    $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'))"

proofs: build ## the part of verify in tests/verify
	@$(PYTEST) tests/verify

properties: build ## the part of verify that takes all examples of hypothesis
	@$(PYTEST) -m hypothesis tests --ignore tests/verify --ignore tests/openstack

# One after the other: each starts a dozen processes, and what it measures is theirs.
openstack: build ## real services of OpenStack from the index; SERVICES='zaqar nova' for some of them
	@$(BIN)/python -m pytest -q $(if $(SERVICES),$(SERVICES:%=tests/openstack/test_%.py),tests/openstack)
	@cat build/openstack/result.md

test-pythons: ## what depends on it, shared out among CPython 3.10 to 3.13; WHOLE=1: all on each
	@EXCEPT="$(EXCEPT)" .ci/pythons

fuzz: build ## fuzzing for MINUTES=10, or RUNS= of each target; TARGETS=drain for some of them
	@$(BIN)/python -m tests.verify.fuzz --minutes $(or $(MINUTES),10) $(if $(RUNS),--runs $(RUNS)) $(TARGETS)

bench: build ## the benchmarks, to benchmarks/results/; QUICK=1 for a short look
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

# make bench-compare one.json other.json: what looks like targets are the files.
ifeq (bench-compare,$(firstword $(MAKECMDGOALS)))
A ?= $(word 2,$(MAKECMDGOALS))
B ?= $(word 3,$(MAKECMDGOALS))
$(wordlist 2,3,$(MAKECMDGOALS)): ; @:
.PHONY: $(wordlist 2,3,$(MAKECMDGOALS))
endif

bench-compare: $(VENV)/.environment ## two results: A=benchmarks/results/one.json B=other.json, or just the names
	@$(BIN)/python -m pyperf compare_to --table $(A) $(B)

performance: $(VENV)/.environment ## the newest full run becomes docs/performance.md; RESULT=one.summary.json
	@$(BIN)/python -m benchmarks.page $(or $(RESULT),--newest)

budgets: build ## instructions per event, against benchmarks/budgets.toml
	@$(BIN)/python -m benchmarks.instructions

soak: build ## kills, restarts, forks and hostile lanes under load, and an exact audit; MINUTES=10 SEED=n
	@$(BIN)/python -m tests.verify.soak --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) --json build/soak.json
	@SHMETRICS_SOAK_SECONDS=$$((30 * $(or $(MINUTES),10))) $(if $(SEED),SHMETRICS_SOAK_SEED=$(SEED)) \
	    $(BIN)/python -m pytest -q tests/verify/soak/test_units.py

check: build ## style, types, and C warnings with every compiler there is
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@PATH="$(abspath $(BIN)):$$PATH" cython-lint --max-line-length 100 shmetrics benchmarks
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo --no-cache >$(VENV)/imports || { cat $(VENV)/imports; exit 1; }
	@for compiler in $(COMPILERS); do for source in csrc/*/*.[ch]; do \
	    $$compiler $(C_WARNINGS) -x c -fsyntax-only -include $$source /dev/null || exit 1; \
	done; done
	@echo "check: clean"

# Not --quiet: then a warning would not count as an error. MkDocs 1 is pinned: no news of a next one.
docs: $(VENV)/.environment ## the site of docs/, to build/site; a link to nothing is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Through make test, so that it is of the same tests. --cov last: what is before it are TESTS.
coverage: build ## what make test runs of each folder of shmetrics/; of its Python, not of C and Cython
	@rm -rf build/coverage
	@failed=0; $(MAKE) --no-print-directory test TESTS='$(TESTS) --cov --cov-report=' || failed=1; \
	    $(BIN)/coverage json --quiet -o build/coverage/report.json && \
	    $(BIN)/python -m tests.coverage_by_folder build/coverage/report.json && exit $$failed

environment: $(VENV)/.environment

build: $(VENV)/.built ## the environment and the extension (the other targets see to it)

pins: $(VENV)/.environment ## write requirements-dev.txt anew, with today's newest versions
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 \
	    --extra collector --extra oslo --no-annotate --no-header \
	    pyproject.toml requirements-dev.in --output-file requirements-dev.txt

clean: ## remove what was built; the environment stays
	@rm -rf build dist benchmarks/build *.egg-info $(shell find shmetrics -name '*.c' -o -name '*.so') $(VENV)/.built

# Modules are compiled when they are first imported: most of them never are.
$(VENV)/.environment: requirements-dev.txt
	@echo "$@: Python environment"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile -r requirements-dev.txt
	@touch $@

$(VENV)/.built: $(VENV)/.environment pyproject.toml setup.py $(wildcard csrc/*/*.[ch] $(addsuffix *.p[yx][xdi],shmetrics/ shmetrics/*/ shmetrics/*/*/))
	@echo "$@: extension"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
	    --no-build-isolation --no-deps --editable .
	@touch $@

.PHONY: docs coverage soak help demo quick test verify proofs properties openstack test-pythons fuzz bench bench-compare performance budgets check environment build pins clean
