# The commands for developers. All of them work in .venv and build/ and touch nothing outside this folder.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
PIP := .venv/bin/python -m pip -qq --disable-pip-version-check --no-input
# Python compiles what it imports, once, if it may; compiling all of torch and Ray beforehand would only lengthen the wait.
INSTALL := $(PIP) install --no-compile
unexport PYTHONDONTWRITEBYTECODE
export PIP_PROGRESS_BAR := off
export OMP_NUM_THREADS ?= 1
export RAY_USAGE_STATS_ENABLED ?= 0
WORKERS ?= 2

.PHONY: venv demo test check format bench clean

venv: .venv/.installed

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Polyray needs Python 3.11 or newer on the PATH (or make PYTHON=/path/to/python3.11)."; exit 1; }
	@$(PYTHON) -m venv .venv

# torch comes first and alone: its version decides which build of it everything else is installed beside.
.venv/.installed: setup.cfg pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing Polyray and what it needs into .venv: some minutes the first time."
	@$(INSTALL) "$$(grep '^torch==' constraints.txt)"
	@$(INSTALL) -c constraints.txt -e '.[test]'
	@touch $@

.venv/.checkers: .venv/.installed
	@$(INSTALL) -c constraints.txt -e '.[dev]'
	@touch $@

.venv/.benchmarks: .venv/.installed
	@$(INSTALL) -c constraints.txt -e '.[bench]'
	@touch $@

demo: venv
	.venv/bin/polyray run compare --out runs/demo

test: venv
	.venv/bin/python -m pytest -q -n $(WORKERS)
	.venv/bin/python -m pytest -q -m ray
	.venv/bin/python -m pytest -q -m "(agents or data) and not slow" -n $(WORKERS)

# mypy follows folders and not the mapping of the editable install, so build/typed/polyray links them as they are imported.
check: .venv/.checkers
	.venv/bin/ruff check --quiet --output-format concise .
	.venv/bin/ruff format --check .
	@rm -rf build/typed && mkdir -p build/typed/polyray
	@ln -s $(CURDIR)/platform/polyray/* $(CURDIR)/envs $(CURDIR)/jobs $(CURDIR)/tune_spaces build/typed/polyray/
	MYPYPATH=build/typed:. .venv/bin/mypy build/typed/polyray tests benchmarks

format: .venv/.checkers
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

# Those that take minutes. benchmarks.crossfit and benchmarks.babyai_episodes train for an hour or more: run them by name.
bench: .venv/.benchmarks
	@set -e; for name in routing babyai_env babyai_train; do .venv/bin/python -m benchmarks.$$name; done

clean:
	rm -rf .venv build dist *.egg-info platform/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
