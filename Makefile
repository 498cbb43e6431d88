# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.PHONY: help setup packages test lint unit integration sanity fuzz mutants soak build bench demo demo-clean clean

# Debian's own, because ansible-test wants a real executable and the shims of version managers are none.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3.1[1-4] /usr/bin/python3) python3)
VENV := .venv
GATES := $(VENV)/bin/python tests/tools/gates.py
FUZZ_SECONDS ?= 600
MUTANTS ?= 100000
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

help: ## name the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: packages $(VENV)/installed ## install what the tests need: Debian packages (as root) and .venv

packages:
	@tests/tools/install_packages tests/requirements-apt.txt

$(VENV)/installed: tests/requirements.txt tests/requirements-unit.txt | packages
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install -qq -r tests/requirements.txt
	@touch $@

test: setup ## run every gate; the last line counts the tests
	@$(GATES)

lint: setup ## style, types, documentation, licences
	@$(GATES) lint

unit: setup ## unit tests and imports on the Pythons of this machine
	@$(GATES) unit

integration: setup ## tests that start real pods; as root
	@$(GATES) integration

sanity: setup ## ansible-test sanity
	@$(GATES) sanity

fuzz: setup ## fuzz the readers of hostile data, FUZZ_SECONDS (600) for each target
	@$(VENV)/bin/python tests/fuzz/fuzz.py --seconds $(FUZZ_SECONDS)

mutants: setup ## damage signatures and keys, MUTANTS (100000) of them, and compare with gpgv and sqv what is accepted
	@$(VENV)/bin/python tests/fuzz/mutants.py --count $(MUTANTS)

soak: setup ## kill fetches and collections at every call that changes a file, as `make test` does at one in eight
	@ROCKET_KILL_EVERY=1 $(VENV)/bin/python -m pytest -q tests/faults/test_faults_kill.py

build: ## build/rocket, the command as one executable file
	@mkdir -p build
	@PYTHONPATH=plugins/module_utils $(PYTHON) -c 'from _rocket.host.zipapp import build; build("build/rocket")'

bench: build ## measure rocket beside crun, runc, podman, skopeo, umoci and tar; as root
	@$(PYTHON) tests/bench/launch.py
	@$(PYTHON) tests/bench/unpack.py
	@$(PYTHON) tests/bench/fetch.py

demo: setup build ## build, sign, publish, roll out, update and refuse on this machine; as root
	@bash demo/run

demo-clean: ## remove what the demo left
	@bash demo/clean

clean: ## remove what was built, and the caches; .venv stays
	@rm -rf build .cache .ansible tests/output .mypy_cache .ruff_cache .pytest_cache .hypothesis
