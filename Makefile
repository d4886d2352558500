# Everything is done with .venv, which `make setup` makes. All paths are relative: the directory may have any name.
PYTHON ?= python3
VENV := .venv/bin
PYTEST_ARGS ?=
JOBS ?= 2
LOCK_ARGS ?=
BENCH_ARGS ?=
SIM_ARGS ?=
DEMO_ARGS ?=
export PYTHON

.DEFAULT_GOAL := all
.PHONY: all help setup test test-tools audit faults faults-long fault-tools lint format types demo demo-album demo-cluster bench bench-album bench-setup bench-tools bench-markdown sim lock build clean

all: test lint types ## what has to pass before a commit: test + lint + types

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

setup: .venv/.stamp ## make .venv with the locked packages (again only when they changed)

# The stamp holds the directory it was made in: a checkout that was moved or copied is set up again.
ifneq ($(shell test -x .venv/bin/python && cat .venv/.stamp 2>/dev/null),$(shell pwd -P))
.PHONY: .venv/.stamp
endif
.venv/.stamp: requirements/dev.txt pyproject.toml tools/setup.sh
	tools/setup.sh
	@pwd -P > $@

test: setup test-tools fault-tools ## all tests, the real servers included; PYTEST_ARGS='-k name' for some
	@JOBS=$(JOBS) tools/test.sh $(PYTEST_ARGS)

test-tools: ## as root on Debian: install what the tests against real programs need
	@tools/test-tools.sh

lint: setup ## ruff: rules and layout
	$(VENV)/ruff check
	$(VENV)/ruff format --check

format: setup ## let ruff mend and lay out the code
	$(VENV)/ruff check --fix
	$(VENV)/ruff format

types: setup ## mypy --strict over src, tests, bench and sim
	$(VENV)/mypy --strict src tests bench sim

faults: setup test-tools fault-tools ## the fault suites, about half an hour; PYTEST_ARGS='-k power' for some
	FAULTS=commit $(VENV)/python -m pytest tests/faults $(PYTEST_ARGS)

faults-long: setup test-tools fault-tools ## the same with the figures of docs/RELIABILITY.md: hours
	FAULTS=long $(VENV)/python -m pytest tests/faults $(PYTEST_ARGS)

fault-tools: ## as root on Debian: install what the fault suites need besides
	@tools/fault-tools.sh

audit: setup ## are there known vulnerabilities in the locked packages? says so where nobody could be asked
	@tools/audit.sh

demo: setup ## the whole thing on an embedded S3, nothing else needed; Ctrl-C ends it
	@$(VENV)/jollyae demo

demo-album: setup ## a photo album in the browser, with sample photos; Ctrl-C ends it. Without a terminal: DEMO_ARGS='--stay --port 8080'
	@$(VENV)/jollyae album demo $(DEMO_ARGS)

demo-cluster: setup ## five hosts, Ceph RGW and RabbitMQ, live for a minute, while things are killed; root on Debian. DEMO_ARGS='--announce jollyae'
	@tools/apt-install.sh iproute2 util-linux rabbitmq-server || true
	@$(VENV)/python -m tests.chain.demo $(DEMO_ARGS)

bench: bench-setup bench-tools ## jollyae beside its peers, a quarter of an hour; BENCH_ARGS='--list' or 'small-http --rounds 3'
	@$(VENV)/python -m bench $(BENCH_ARGS)

bench-album: bench-setup ## photos read beside Pillow's naive way and pyvips, and into an album; BENCH_ARGS='--rounds 3'
	@$(VENV)/python -m bench pictures ingest ingest-many $(BENCH_ARGS)

bench-setup: setup .bench/.stamp ## make .bench/venv with the peers (again only when they changed)

ifneq ($(shell test -x .bench/venv/bin/python && cat .bench/.stamp 2>/dev/null),$(shell pwd -P))
.PHONY: .bench/.stamp
endif
.bench/.stamp: requirements/bench.txt | setup
	rm -rf .bench/venv
	$(VENV)/python -m venv --without-pip .bench/venv
	$(VENV)/python -m pip --python .bench/venv/bin/python --disable-pip-version-check install -q \
		--require-hashes -r requirements/bench.txt
	@pwd -P > $@

bench-tools: ## as root on Debian: install what the benchmarks need beside the peers
	@tools/bench-tools.sh

bench-markdown: setup ## the tables of the last benchmark, for docs/PERFORMANCE.md
	@$(VENV)/python -m bench --markdown

sim: setup ## ten thousand hosts and one S3, simulated: some minutes; SIM_ARGS='--list' or 'outage --seed 2'
	@$(VENV)/python -m sim $(SIM_ARGS)

lock: setup ## make requirements/*.txt again; LOCK_ARGS=--upgrade for newer versions
	$(VENV)/uv pip compile pyproject.toml --extra demo --extra web --extra clouds --extra zstd --extra crt --extra album --extra heic --extra raw --extra otel --extra amqp --group dev --universal --python-version 3.11 \
		--generate-hashes --no-header --quiet --output-file requirements/dev.txt $(LOCK_ARGS)
	$(VENV)/uv pip compile --group bench --universal --python-version 3.11 \
		--generate-hashes --no-header --quiet --output-file requirements/bench.txt $(LOCK_ARGS)

build: setup ## wheel and sdist, in dist/
	$(VENV)/hatchling build

clean: ## remove all that can be made again, .venv too
	rm -rf .venv .bench build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests bench sim -name __pycache__ -type d -prune -exec rm -rf {} +
