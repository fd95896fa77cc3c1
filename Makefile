# Each target does all of its own set-up, and does it again only when something changed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

BIN := .venv/bin
ifneq ($(filter true 1,$(CI)),)
export OMNIBOT_REQUIRE_SERVERS := 1
endif

# Each of these workers starts the servers that its tests talk to.  One more than there are processors: they wait a lot.
WORKERS := $(shell n=$$(($$(nproc 2>/dev/null || echo 1) + 1)); echo $$((n > 4 ? 4 : n)))
SIDE_BY_SIDE := -q -n $(WORKERS) --dist worksteal

.PHONY: help demo test lint sabotage fuzz soak bench setup servers clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What `make servers` unpacked goes before what is installed, whose AppArmor profile may keep it from other files.
IRC_SERVERS := $(or $(OMNIBOT_TEST_CACHE),$(HOME)/.cache/omnibot-tests)/irc/usr

demo: ## try the bot in this terminal, with no account anywhere; NETWORK=irc: on an IRC network of its own
	@tools/venv.sh
	@if [[ "$(NETWORK)" == irc ]]; then PATH="$(IRC_SERVERS)/sbin:$(IRC_SERVERS)/bin:$$PATH" $(BIN)/omnibot demo --network irc; \
	elif [[ -n "$(filter-out console,$(NETWORK))" ]]; then echo "NETWORK is console or irc, not $(NETWORK)." >&2; exit 1; \
	elif [[ -t 0 && -t 1 ]]; then $(BIN)/omnibot demo; else $(BIN)/omnibot demo --script; fi

test: ## everything: lint, the tests with their coverage, the attacks with their guards taken away
	@tools/servers.sh & if ! tools/venv.sh dev; then wait; exit 1; fi; wait $$!
	@$(MAKE) lint
	$(BIN)/pytest $(SIDE_BY_SIDE) --cov --cov-report=term --cov-fail-under=90
	$(BIN)/pytest $(SIDE_BY_SIDE) --sabotage tests/attacks

lint: setup ## style, types and import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

sabotage: setup ## take each guard away in turn; a test that does not notice fails
	@tools/servers.sh
	$(BIN)/pytest $(SIDE_BY_SIDE) --sabotage tests/attacks

fuzz: setup ## a million hostile inputs, where `make test` has 40,000
	FUZZ_INPUTS=1000000 $(BIN)/pytest -q -n $(WORKERS) --durations=0 --durations-min=1 tests/fuzz tests/adapters/irc/test_fuzz.py

soak: setup ## ten thousand people, while everything around the bot is killed and cut; about a quarter of an hour
	$(BIN)/python -m bench.soak

bench: setup ## measure, by hand: times are never a test
	$(BIN)/python -m bench

setup: ## only the set-up of `make test`: .venv
	@tools/venv.sh dev

servers: ## only the servers that the tests talk to
	@tools/servers.sh

clean: ## remove .venv, caches and reports; the servers' cache outside the clone stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
