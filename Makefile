# The verbs that people know. With a Docker engine they use docker-compose.yml, else the embedded stack of `hcp`.
# STACK=embedded or STACK=docker overrides.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
HCP    := $(BIN)/hcp
DAY    := $(shell date +%Y%m%d-%H%M%S)
STACK  ?= $(shell docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1 && echo docker || echo embedded)

.DEFAULT_GOAL := help
.PHONY: help setup start stop restart clean status logs health db-shell timescale-shell test check lint format build \
        backup-db demo bench bench-rollup bench-projections bench-timescale bench-visible bench-live bench-latency \
        bench-day bench-decisions bench-dispatch bench-simulate chaos generate

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Make the virtual environment from the lock file

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements.lock)"
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock \
		|| $(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -c "import projections.session, projections.writer"  # compiles their loops, once
	@touch $@

start: setup ## Start the services
ifeq ($(STACK),docker)
	docker compose up --detach --wait
else
	$(HCP) up
endif

stop: ## Stop the services; the data stay
ifeq ($(STACK),docker)
	docker compose down
else
	$(HCP) down
endif

restart: stop start ## Stop, then start

clean: ## Stop the services and delete their data
ifeq ($(STACK),docker)
	docker compose down --volumes
else
	[ ! -x $(HCP) ] || $(HCP) down --wipe
endif

logs: ## Show the newest lines of every log
ifeq ($(STACK),docker)
	docker compose logs --tail 50
else
	$(HCP) logs
endif

status: health

health: ## Say which services answer; exit code 3 unless all do
ifeq ($(STACK),docker)
	docker compose ps
else
	$(HCP) status
endif

db-shell: ## Open psql on Postgres (what is true now)
	$(HCP) psql

timescale-shell: ## Open psql on TimescaleDB (what happened when)
	$(HCP) psql metrics

backup-db: ## Dump both databases into backups/
	mkdir -p backups
	$(HCP) backup backups/$(DAY)

demo: setup ## Run the whole system with a live view; DEMO="--for 60s" ends it by itself
	$(HCP) demo $(DEMO)

test: setup check ## Run all checks and all tests, on the embedded stack where there is no Docker
	$(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder --durations=25 $(TESTS)

check: setup lint ## Everything that needs no stack: lint, types, import rules, generated files, unit tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m schemas.generate --check
	$(BIN)/python -m hcp.environment_example --check
	$(BIN)/python -m deploy.grafana.dashboards --check

lint: setup ## Check style with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: setup ## Write the generated files: event classes, env.example, dashboards
	$(BIN)/python -m schemas.generate
	$(BIN)/python -m hcp.environment_example
	$(BIN)/python -m deploy.grafana.dashboards

build: setup ## Build the wheel, and the image where Docker is
	$(BIN)/uv build --quiet --no-build-isolation --wheel
ifeq ($(STACK),docker)
	docker compose build
endif

chaos: setup ## Kill workers, databases and the broker 50 times in one run and compare every table
	$(BIN)/python -m tests.chaos.endurance $(CHAOS)

bench: bench-rollup bench-projections bench-timescale ## Run all benchmarks; each prints ratios measured in one run

bench-rollup: setup ## Rollup against Faust and Kafka Streams (where the peers are there)
	$(BIN)/python -m tests.bench.rollup

bench-projections: setup ## Projections into PostgreSQL against Debezium, executemany and raw COPY; PROJECTIONS="--records N"
	$(BIN)/python -m tests.bench.projections $(PROJECTIONS)

bench-visible: setup ## From an event's send to its row, one at a time
	$(BIN)/python -m tests.bench.visible

bench-live: setup ## 27,000 readings a second live for ten minutes beside the whole system
	$(BIN)/python -m tests.bench.live $(LIVE)

bench-day: setup ## A part of a day of 400,000 miners and 10,000 GPUs through the whole system, as fast as it goes
	$(BIN)/python -m tests.bench.day $(FULL)

bench-latency: setup ## From a signal's or price's send to its decision in Postgres, beside 27,000 readings a second
	$(BIN)/python -m tests.bench.decision_latency $(LATENCY)

bench-decisions: setup ## Plans of a fleet: gap and time, against SCIP and HiGHS; DECISIONS=--large adds a ten times larger one
	$(BIN)/python -m tests.bench.decisions $(DECISIONS)

bench-dispatch: setup ## The optimum of one interval, against CP-SAT; DISPATCH="--transformers 2" has some that bind
	$(BIN)/python -m tests.bench.dispatch $(DISPATCH)

bench-simulate: setup ## What 400,000 miners and 10,000 GPUs cost to simulate, encode and produce, and encoding beside fastavro
	$(BIN)/python -m tests.bench.simulate $(SIMULATE)

bench-timescale: setup ## Projection into the embedded TimescaleDB against raw COPY
	$(BIN)/python -m tests.bench.timescale
