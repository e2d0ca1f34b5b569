# Needs a Python >= 3.11 with its venv module, and nothing else. PYTHON=... chooses one; ARGS=... goes to the command.
.DEFAULT_GOAL := help
.PHONY: help run demo test lint format bench performance picture schema dashboards lock clean

VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check --no-input
CANDIDATES = $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3.15 python3 python

# Each stamp says: what these files name is installed. Touched only after success, so an interrupted install starts over.
RUNTIME := $(VENV)/.installed-runtime
DEV     := $(VENV)/.installed-dev

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

run: $(RUNTIME) ## Start the gateway (make run ARGS="--port 4001")
	@exec $(BIN)/skein serve $(ARGS)

demo: $(RUNTIME) ## A gateway over the simulator, with traffic and faults (make demo ARGS="--seconds 300")
	@exec $(BIN)/skein demo $(ARGS)

test: $(DEV) ## All tests, in parallel (make test ARGS="-k breaker")
	@# One at once more than there are cores: much of it waits.
	$(BIN)/python -m pytest --numprocesses $$($(BIN)/python -c 'import os; print((os.cpu_count() or 1) + 1)') \
		--dist worksteal $(ARGS)

lint: $(DEV) ## Style, format, types, layers, locks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest tests/test_locks.py

format: $(DEV) ## Put the code into its format
	$(BIN)/ruff check --fix-only --select I .
	$(BIN)/ruff format .

bench: $(RUNTIME) ## Measure the gateway's own overhead, beside nginx if it is installed (make bench ARGS="--cases small")
	@exec $(BIN)/python -m gateway bench $(ARGS)

performance: $(RUNTIME) ## Write the table and the pictures of docs/performance.md
	$(BIN)/python -m gateway bench --markdown --picture docs/performance.svg $(ARGS) > docs/performance-figures.md.new
	@mv docs/performance-figures.md.new docs/performance-figures.md
	$(BIN)/python -m gateway bench --flame docs/performance-flame.svg --rounds 1 --requests 30000

picture: $(RUNTIME) ## Write docs/dynamic.svg: the strategy dynamic in its simulated world
	$(BIN)/skein bench --routing --picture docs/dynamic.svg

schema: $(RUNTIME) ## Write docs/skein.schema.json from the settings' types
	@mkdir -p docs
	$(BIN)/skein config schema > docs/skein.schema.json.new
	@mv docs/skein.schema.json.new docs/skein.schema.json

dashboards: $(DEV) ## Write dashboards/*.json from the Python beside them
	$(BIN)/python -m dashboards

# The development lock is resolved first and the others within it: what runs is what was tested.
# Pins stay as they are while pyproject.toml allows them; UPGRADE=--upgrade, or "--upgrade-package httpx", moves them.
UV      := $(BIN)/uv
COMPILE = $(UV) pip compile --quiet --system-certs --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock" $(UPGRADE)

lock: ## Resolve pyproject.toml into the lock files (UPGRADE=--upgrade for newer versions)
	@command -v $(UV) >/dev/null || $(MAKE) $(DEV)
	$(COMPILE) pyproject.toml --all-extras --group dev --output-file requirements-dev.lock
	$(COMPILE) pyproject.toml --constraints requirements-dev.lock --output-file requirements.lock
	$(COMPILE) pyproject.toml --all-extras --constraints requirements-dev.lock --output-file requirements-image.lock
	$(COMPILE) --group build --constraints requirements-dev.lock --output-file requirements-build.lock

clean: ## Remove everything that make and the tools made
	rm -rf $(VENV) build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): requirements.lock requirements-build.lock pyproject.toml
	@$(make_venv)
	@echo "Installing what the gateway runs on into $(VENV)"
	@$(PIP) install --quiet --require-hashes --requirement requirements.lock --requirement requirements-build.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME)
	@echo "Installing what tests and lint need into $(VENV)"
	@$(PIP) install --quiet --require-hashes --requirement requirements-dev.lock
	@touch $@

# Keeps a working .venv, makes one where there is none or its Python is gone.
define make_venv
if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	found=; new=; \
	for python in $(CANDIDATES); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		new="$$python"; \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null && { found="$$python"; break; }; \
	done; \
	if [ -z "$$new" ]; then echo "Skein needs Python 3.11 or newer and found none;" \
		"install one, or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; fi; \
	if [ -z "$$found" ]; then echo "$$new has no venv module; install it" \
		"(Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; fi; \
	echo "Making $(VENV) with $$found"; \
	"$$found" -m venv --clear $(VENV); \
fi
endef
