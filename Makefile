# Every target installs what it needs; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

BENCH_DATA ?= build/bench/texts.jsonl
TRAFFIC ?= $(or $(TIDEGAUGE_DATA_DIR),../shared/data)
CONVERSATIONS ?= $(TRAFFIC)/sgd/conversations.jsonl
ARRIVALS ?= $(TRAFFIC)/arrivals/azure_conv.csv
QUESTIONS ?= $(wildcard $(TRAFFIC)/clinc150/queries.jsonl)
PAIRS ?= $(TRAFFIC)/grounding/pairs.jsonl
QUICK ?=
# Processes that run the tests; each starts brokers and browsers of its own.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install hooks demo lint test coverage e2e test-stats nightly fuzz generate ways audit \
	bench-gateway bench-capture bench-drift bench-embed bench-promise bench-grounding bench-judge \
	bench-report clean

# The pure packages, and the least share of their lines and branches that the tests must run.
PURE := schemas streaming detection drift vitals quality monitoring reports
FLOOR := 94
MEASURE := $(addprefix --cov=tidegauge.,$(PURE)) --cov-branch --cov-report=term:skip-covered \
	--cov-fail-under=$(FLOOR)

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(VENV)/installed ## create .venv with everything that the demo and the tests need

$(VENV)/installed: pyproject.toml infra/install.sh infra/constraints.txt
	@PYTHON=$(PYTHON) VENV=$(VENV) sh infra/install.sh
	@touch $@

$(VENV)/backends: $(VENV)/installed
	@echo "installing the embedder's other backends (100 MB to download, ten seconds)"
	@$(BIN)/pip install -qq --no-compile --disable-pip-version-check \
		--constraint infra/constraints.txt --editable '.[onnx,openvino]'
	@touch $@

$(VENV)/manifests: $(VENV)/installed
	@echo "installing Kubernetes' schemas (100 MB on disk)"
	@$(BIN)/pip install -qq --no-compile --disable-pip-version-check \
		--constraint infra/constraints.txt --editable '.[manifests]'
	@touch $@

$(BIN)/helm: $(VENV)/installed infra/helm_binary.py
	@echo "installing Helm (37 MB to download)"
	@$(BIN)/python infra/helm_binary.py $(BIN)

demo: ## the whole pipeline on this machine (ARGS=--exit ends by itself)
	@sh infra/demo/machine.sh
	@$(MAKE) --no-print-directory install
	@exec $(BIN)/tidegauge demo $(ARGS)

hooks: install ## run format, lint, types and spelling before every commit
	$(BIN)/pre-commit install

lint: install ## format, lint, types, import contracts, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

test: install $(VENV)/backends ## unit, contract and integration tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
		-m "not e2e and not stats and not nightly" $(ARGS)

coverage: install ## coverage of the pure packages by their own tests; fails below its floor
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not e2e and not stats" \
		$(addprefix tests/,$(PURE)) $(MEASURE) $(ARGS)

e2e: install ## the demo's path with a real vLLM, and its summary checked
	$(BIN)/python -m pytest -m "e2e and not nightly" --timeout 1500 $(ARGS)

test-stats: install ## the statistical promises, with fixed seeds
	$(BIN)/python -m pytest -m stats $(ARGS)

# Without npm the tests of accessibility have the older axe-core of their own dependency.
$(VENV)/axe: $(VENV)/installed
	@! command -v npm >/dev/null || npm install --silent --no-audit --no-fund --prefix $@ axe-core@4

nightly: install $(VENV)/backends $(VENV)/manifests $(VENV)/axe $(BIN)/helm test-stats ## what is too long for every change: stats, slow e2e, all coverage
	PYTHON=$(PYTHON) VENV=$(VENV) sh infra/audit.sh
	PYTHONPATH=. $(BIN)/python -m tests.fuzz.fuzzer --seconds 300
	$(BIN)/python -m pytest -m "e2e and nightly" --timeout 1500
	TIDEGAUGE_TEST_AXE=$$(ls $(VENV)/axe/node_modules/axe-core/axe.min.js 2>/dev/null) \
		$(BIN)/python -m pytest -m "not e2e and not stats" --hypothesis-profile=nightly --cov=tidegauge --cov-branch \
		--cov-report=term:skip-covered --cov-report=html:build/coverage
	$(BIN)/coverage report --skip-covered --include='schemas/*,pipelines/*' --fail-under=$(FLOOR)

generate: install ## rewrite what is made from the code: schemas, settings, commands, the ways
	$(BIN)/python -m tidegauge.schemas.publish
	$(BIN)/python infra/settings_table.py docs/SETTINGS.md
	$(BIN)/python infra/cli_reference.py docs/CLI.md
	$(BIN)/python infra/ways.py --write docs/ARCHITECTURE.md

audit: install ## whether the dependencies fit each other, and whether any is known to be vulnerable
	PYTHON=$(PYTHON) VENV=$(VENV) sh infra/audit.sh

ways: install ## print the files that one exchange, one prompt and one window pass
	$(BIN)/python infra/ways.py $(ARGS)

fuzz: install ## change inputs at random for FUZZ_SECONDS (20), and keep those that fail
	PYTHONPATH=. $(BIN)/python -m tests.fuzz.fuzzer --seconds $(or $(FUZZ_SECONDS),20) $(ARGS)

bench-gateway: install ## CPU per request of gateways, peers interleaved (QUICK=1)
	QUICK=$(QUICK) $(BIN)/python infra/bench/gateway.py

bench-capture: install ## cost of capturing and shipping an event (QUICK=1)
	QUICK=$(QUICK) $(BIN)/python infra/bench/capture.py

bench-embed: install $(VENV)/backends ## texts/s of a core by each backend, against the machine's limit (QUICK=1)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 QUICK=$(QUICK) $(BIN)/python infra/bench/embed.py

build/bench-env/installed: infra/bench/drift_requirements.txt
	$(PYTHON) -m venv build/bench-env
	build/bench-env/bin/pip install -q 'torch==2.13.0+cpu' || build/bench-env/bin/pip install -q torch==2.13.0
	build/bench-env/bin/pip install -q -r infra/bench/drift_requirements.txt
	@touch $@

bench-drift: install build/bench-env/installed ## delays and peers on BENCH_DATA=FILE.jsonl (QUICK=1)
	OMP_NUM_THREADS=1 $(BIN)/python infra/bench/drift.py --data $(BENCH_DATA) $(if $(QUICK),--quick) \
		--peers 'build/bench-env/bin/python infra/bench/drift_peers.py'

bench-report: install ## size and time of a report of 100,000 rows (QUICK=1)
	QUICK=$(QUICK) $(BIN)/python infra/bench/report.py

bench-judge: install ## judging against vLLM's own benchmark, and what its clients notice (QUICK=1)
	QUICK=$(QUICK) $(BIN)/python infra/bench/judge.py

bench-promise: install ## false alarms and delays on CONVERSATIONS=, ARRIVALS= and QUESTIONS= (QUICK=1)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/tidegauge bench promise \
		--conversations $(CONVERSATIONS) --arrivals $(ARRIVALS) \
		$(if $(QUESTIONS),--questions $(QUESTIONS)) $(if $(QUICK),--quick)

bench-grounding: install ## how well unsupported claims are told on PAIRS=FILE.jsonl (QUICK=1: no model)
	OMP_NUM_THREADS=1 $(BIN)/tidegauge bench grounding --data $(PAIRS) $(if $(QUICK),--no-model) \
		--keep build/bench/grounding-read.jsonl $(ARGS)

clean: ## remove what was built
	rm -rf build dist $(VENV)
