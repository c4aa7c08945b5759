# Everything a developer types. `make` alone lists it. Needs python3 (3.11 or newer), its venv module and make; the rest goes into .venv.
# Paths are relative on purpose: a checkout folder with spaces in its name works.

PYTHON ?= $(shell for candidate in python3.13 python3.12 python3.11 python3; do \
	if command -v $$candidate >/dev/null 2>&1 && $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$candidate; break; fi; done)
ARGS ?=

VENV_PYTHON := .venv/bin/python
# Wheels alone: no compiler is needed, and nothing runs code of its own while it installs.
PIP_INSTALL := $(VENV_PYTHON) -m pip install -qq --no-input --disable-pip-version-check
LOCKED := --require-hashes --only-binary :all:
COMPILE := env -u UV_INDEX -u UV_DEFAULT_INDEX -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS UV_NO_CONFIG=1 \
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-header --no-annotate --system-certs

# A virtual environment knows its folder by heart: made elsewhere, it is made again.
ifneq ($(wildcard .venv/.folder),)
ifneq ($(shell cat .venv/.folder),$(CURDIR))
$(shell rm -f .venv/.created .venv/.runtime .venv/.development)
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run pages pages-or-say test check bench bench-smoke test-faults test-browser test-contract test-wheel test-clients format lock clean \
	install install-runtime

help: ## List what can be typed here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

run: .venv/.runtime pages-or-say ## Start the whole of Luneo on this machine (Ctrl-C stops it)
	@exec .venv/bin/luneo up $(ARGS)

pages: entrypoints/web/static/manifest.json ## Build the pages' scripts and sheets (needs Node 20 with npm, or fetches it once)

# Luneo serves its API without pages too, and its first page then says what is missing.
pages-or-say: .venv/.runtime
	@$(MAKE) --no-print-directory pages || echo "The pages could not be built: the API serves all the same, and / says how to build them." >&2

test: .venv/.development ## Run every test but those that have a target of their own (ARGS="-k name" narrows it)
	@exec $(VENV_PYTHON) -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --ignore=tests/faults --ignore=tests/browser \
		--ignore=tests/benchmarks --ignore=tests/clients --ignore=tests/contract --ignore=tests/wheel $(ARGS)

check: .venv/.development ## Formatting, lint, types and the laws of imports
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

test-faults: .venv/.development ## Kill, double and starve real processes
	@exec $(VENV_PYTHON) -m pytest tests/faults $(ARGS)

test-browser: .venv/.development pages ## Walk through the pages in Chromium
	@exec $(VENV_PYTHON) -m pytest tests/browser $(ARGS)

test-contract: .venv/.development ## Call every operation with what its description allows and forbids
	@exec $(VENV_PYTHON) -m pytest tests/contract $(ARGS)

test-wheel: .venv/.development ## Build the wheel, install it far from the checkout, and test what was installed
	@exec $(VENV_PYTHON) -m pytest -o faulthandler_timeout=600 tests/wheel $(ARGS)

test-clients: .venv/.development ## Talk to the app with OpenAI clients of others, from npm and PyPI
	@exec $(VENV_PYTHON) -m pytest -o faulthandler_timeout=600 tests/clients $(ARGS)

bench: .venv/.development ## Measure against the budgets; writes bench.json
	@exec $(VENV_PYTHON) -m tests.benchmarks $(ARGS)

bench-smoke: .venv/.development ## Run every benchmark briefly, to see that it runs
	@exec $(VENV_PYTHON) -m tests.benchmarks --smoke $(ARGS)

format: .venv/.development ## Format, and repair what lint can repair
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

install: .venv/.development ## Only set up .venv with everything

install-runtime: .venv/.runtime ## Only set up .venv with what `luneo` needs to run

# The widest set first: the others are parts of what it came to.
lock: .venv/.development ## Resolve the newest allowed versions again, with hashes
	$(COMPILE) --upgrade pyproject.toml --group build --group development -o requirements/development.txt
	$(COMPILE) pyproject.toml -c requirements/development.txt -o requirements/runtime.txt
	$(COMPILE) --group build -c requirements/development.txt -o requirements/build.txt
	$(COMPILE) --upgrade --group pages -o requirements/pages.txt

clean: ## Remove .venv, caches and build results (the data in .luneo stays)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage dist build bench.json
	rm -rf entrypoints/web/static entrypoints/web/assets/node_modules entrypoints/web/assets/generated
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.created:
	@if [ -z "$(PYTHON)" ]; then echo "Luneo needs Python 3.11 or newer: install it, or say where it is with 'make PYTHON=/path/to/python3 …'." >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is missing or older than Python 3.11, which Luneo needs." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv module is missing: install it first (Debian, Ubuntu: apt-get install python3-venv)." >&2; exit 1; }
	@echo "Creating .venv"
	@"$(PYTHON)" -m venv --clear .venv
	@printf '%s\n' "$(CURDIR)" > .venv/.folder
	@touch $@

# The project itself goes in as a link to this folder: an edit is live, an install is needed only when its metadata changes.
.venv/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml .venv/.created
	@echo "Installing the locked packages (once; a minute or so)"
	@$(PIP_INSTALL) $(LOCKED) -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.development: requirements/development.txt .venv/.runtime
	@echo "Installing the locked packages for development"
	@$(PIP_INSTALL) $(LOCKED) -r requirements/development.txt
	@touch $@

# What pages are built from: newer than what was built, it is built again.
PAGE_SOURCES := $(wildcard $(addprefix entrypoints/web/,assets/*.* assets/.npmrc assets/src/*.ts assets/src/lib/*.ts assets/styles/*.css \
	catalogues/*.json templates/*.html)) contracts/openapi.json

entrypoints/web/static/manifest.json: $(PAGE_SOURCES) | .venv/.runtime
	@entrypoints/web/assets/build.sh --node || { echo "Fetching Node (once)" && $(PIP_INSTALL) $(LOCKED) -r requirements/pages.txt; }
	@echo "Building the pages"
	@entrypoints/web/assets/build.sh "$(CURDIR)/$(VENV_PYTHON)"
