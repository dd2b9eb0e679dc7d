# SPDX-License-Identifier: GPL-2.0-or-later
# Every target sets up what it needs by itself: a virtual environment in .venv, with everything from PyPI.
# Needed beforehand: Python 3.10 or newer with its C headers, git and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The installation is renewed only when one of these changes; everything else is used straight from the checkout.
BUILD_INPUTS := pyproject.toml setup.py pvisor/build_backend.py pvisor/build_zigcc.py pvisor/abi/abi.cdef \
	guest_sdk/include/pv/abi.h \
	$(wildcard pvisor/cpu/shim/*.py pvisor/cpu/shim/*.[ch] pvisor/cpu/shim/*.cdef) \
	$(wildcard pvisor/full/native/*.[ch] pvisor/para/native/*.[ch])

.PHONY: help demo install dev test check check-linux lint gen bench clean
.DEFAULT_GOAL := install

help:
	@echo "make         set up .venv, or bring it up to date: afterwards $(BIN)/pvisor works"
	@echo "make demo    build the hello demo for both modes, run it, and compare what it cost"
	@echo "make test    all tests"
	@echo "make check   what CI runs: generated files fresh, lint, types, all tests"
	@echo "make check-linux"
	@echo "             Debian's kernel in many settings; fetches packages of Debian, takes long"
	@echo "make lint    ruff and mypy"
	@echo "make gen     rewrite the files generated from the ABI table"
	@echo "make bench   what an exit costs here, beside its floor"
	@echo "make clean   remove .venv and everything built"

demo: install
	@$(BIN)/pvisor compare hello

# The stamps notice a changed file; the loader itself notices one that was removed, and a folder that was moved.
FRESH := cd / && $(abspath $(BIN))/python -c 'import pvisor.cpu.shim' 2>/dev/null

install: $(VENV)/.installed
	@($(FRESH)) || { rm -f $(VENV)/.installed; $(MAKE) --no-print-directory $(VENV)/.installed; }

dev: $(VENV)/.dev
	@($(FRESH)) || { rm -f $(VENV)/.dev; $(MAKE) --no-print-directory $(VENV)/.dev; }

test: dev
	@$(BIN)/python -m pytest

check: dev
	@$(BIN)/python -m pvisor.abi --check
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory test

check-linux: dev
	@$(BIN)/python -m pytest -m linux_matrix tests/linux

lint: dev
	@$(BIN)/ruff check .
	@$(BIN)/mypy

gen: install
	@$(BIN)/python -m pvisor.abi

bench: install
	@$(BIN)/pvisor bench --floor

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis pvisor/cpu/_shim*.so
	find . -path ./.git -prune -o -name __pycache__ -type d -print | xargs rm -rf

$(VENV)/.installed: $(VENV)/.python $(BUILD_INPUTS)
	@echo "Installing pvisor into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.python $(BUILD_INPUTS)
	@echo "Installing pvisor and its development tools into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.installed $@

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "pvisor needs Python 3.10 or newer: make PYTHON=python3.x says which one to use" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
		|| { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment: apt-get install python3-venv (Debian, Ubuntu)" >&2; \
		exit 1; }
	@touch $@
