# `make demo` and `make test` do all the set-up that they need: only Python 3.11, make and g++ have to be there.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What is imported is compiled then, and only that.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-compile
TORCH := $(shell grep '^torch==' requirements.lock)
OUT ?= demo_out
# Files of tests run side by side; `make test WORKERS=` runs them in one process. How many: tests/conftest.py.
WORKERS ?= --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# Hundreds of tests start Python; where the environment forbids bytecode each of them would compile torch and all else anew.
unexport PYTHONDONTWRITEBYTECODE
# As the command line asks for itself: threads inside small sums, and those that spin between them, cost more than they do.
CALM := OPENBLAS_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE

.PHONY: demo test lint docs wheels setup clean

demo: setup
	$(BIN)/gaussavatar demo --out $(OUT)

test: setup
	$(CALM) $(BIN)/python -m pytest $(WORKERS) --durations 12 $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	@if $(BIN)/pyright --version >/dev/null 2>&1; then $(BIN)/pyright --level error; \
	else echo "pyright skipped: it fetches its own program on first use, and could not"; fi

# One site of docs/ and the public docstrings: site/index.html. A warning is an error.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# Both distributions, for each system and pure: dist/*.whl (packaging/README.md). Tools have an environment of their own.
wheels:
	@test -x .venv-wheels/bin/python || $(PYTHON) -m venv .venv-wheels
	.venv-wheels/bin/python -m pip --disable-pip-version-check --quiet install -r packaging/requirements.txt
	.venv-wheels/bin/python packaging/wheels.py dist

setup: $(VENV)/.native

$(VENV)/.packages: requirements.lock
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 13)' || \
	  { echo "error: expected Python 3.11 or 3.12 as $(PYTHON); run make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "error: expected $(PYTHON) -m venv to work; install the system package python3-venv" >&2; exit 2; }
	@echo "installing the pinned packages into $(VENV), and building the native library beside it"
	@# A build that fails here is told by the step that is about it.
	@$(PYTHON) cuda_ext/build.py --cached >/dev/null 2>&1 & \
	$(BIN)/python packaging/install.py requirements.lock; status=$$?; wait; exit $$status
	$(INSTALL) $(TORCH)
	@touch $@

$(VENV)/.package: $(VENV)/.packages pyproject.toml
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# The library is cached by the hash of its sources, so this costs a second when nothing has changed.
$(VENV)/.native: $(VENV)/.package $(shell find cuda_ext -type f 2>/dev/null)
	@echo "building the native library"
	$(BIN)/python -c 'from gaussavatar.native.library import native_info; print(native_info()["library"])'
	@touch $@

clean:
	rm -rf $(VENV) build dist site
