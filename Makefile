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

# Ray's tests wait a third of their time for each other's processes, and fork, which xdist's workers cannot: two processes
# of pytest run side by side, and the first one's output follows the second's.
define RAY_TESTS
mkdir -p build; echo 'pytest -q -m "ray and not slow", in two processes'; \
.venv/bin/python -m pytest -q -m "ray and not slow" tests/jobs > build/ray-jobs.txt 2>&1 & \
.venv/bin/python -m pytest -q -m "ray and not slow" tests --ignore tests/jobs; others=$$?; \
wait $$!; jobs=$$?; cat build/ray-jobs.txt; exit $$((jobs > others ? jobs : others))
endef

.PHONY: venv demo test check lint types docs format bench gpu clean

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

.venv/.documentation: .venv/.installed
	@$(INSTALL) -c constraints.txt -e '.[docs]'
	@touch $@

.venv/.benchmarks: .venv/.installed
	@$(INSTALL) -c constraints.txt -e '.[bench]'
	@touch $@

demo: venv
	.venv/bin/polyray run compare --out runs/demo

test: venv
	.venv/bin/python -m pytest -q -n $(WORKERS)
	@$(RAY_TESTS)
	.venv/bin/python -m pytest -q -m "(agents or data or processes) and not slow" -n $(WORKERS)

check: lint types

lint: .venv/.checkers
	.venv/bin/ruff check --quiet --output-format concise .
	.venv/bin/ruff format --check .

# mypy and Sphinx follow folders and not the mapping of the editable install: build/typed/polyray links the folders as
# they are imported.
build/typed: FORCE
	@rm -rf $@ && mkdir -p $@/polyray
	@ln -s $(CURDIR)/platform/polyray/* $(CURDIR)/envs $(CURDIR)/jobs $(CURDIR)/tune_spaces $@/polyray/

FORCE:

types: .venv/.checkers build/typed
	MYPYPATH=build/typed:. .venv/bin/mypy build/typed/polyray tests benchmarks examples

# The pages and, from the docstrings, the reference: build/docs/README.html. Nothing is downloaded, warnings are errors.
docs: .venv/.documentation build/typed
	@rm -rf build/site build/docs build/doctrees && mkdir -p build/site
	@cp -Rp README.md CHANGELOG.md CONTRIBUTING.md docs examples build/site/
	@SPHINX_APIDOC_OPTIONS=members,show-inheritance .venv/bin/sphinx-apidoc -q --separate --module-first \
		--follow-links --no-toc --output-dir build/site/api build/typed/polyray
	PYTHONPATH=build/typed .venv/bin/sphinx-build --quiet --fail-on-warning --conf-dir docs --doctree-dir build/doctrees \
		build/site build/docs
	@cp build/docs/README.html build/docs/index.html
	@echo "The documentation is in build/docs/index.html."

format: .venv/.checkers
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

# Those that take minutes. benchmarks.crossfit and benchmarks.babyai_episodes train for an hour or more: run them by name.
bench: .venv/.benchmarks
	@set -e; for name in imports routing layers babyai_env babyai_train sweeps; do .venv/bin/python -m benchmarks.$$name; done

# No Ray, no installation: with .venv where there is one, else with a Python that has torch, transformers, numba and
# gymnasium. make gpu ARGUMENTS="--part routing" runs a part.
gpu: build/typed
	PYTHONPATH=build/typed $(if $(wildcard .venv/bin/python),.venv/bin/python,$(PYTHON)) -m benchmarks.gpu $(ARGUMENTS)

clean:
	rm -rf .venv build dist *.egg-info platform/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
