# What can be done with a checkout. `make run` and `make test` need nothing beforehand: they set up what is missing.

VENV   := .venv
PYTHON := $(VENV)/bin/python
STAMPS := $(VENV)/stamps
DEBUG  := .cache/debug
ASAN   := .cache/asan
TSAN   := .cache/tsan
FUZZ   := .cache/fuzz
COVERAGE := .cache/coverage
PYTEST := $(PYTHON) -m pytest
ASAN_TESTS := tests/sip tests/engine tests/fuzz \
    $(addprefix tests/abuse/test_,torture.py bad_input.py differential.py tables.py never_rejected.py) \
    $(wildcard tests/proxy/test_core*.py tests/proxy/test_stream*.py) tests/proxy/test_events.py tests/proxy/test_websocket.py

.DEFAULT_GOAL := help
.PHONY: help run test live fleet-test abuse lint bench bench-scale debug asan tsan fuzz fuzz-coverage build deps docker-prove clean
.DELETE_ON_ERROR:

help:
	@echo 'make run           set up, start the proxy with a softswitch, place demonstration calls, go on serving'
	@echo 'make test          set up, run every test (live ones with SIPp, baresip, sipsak and pyVoIP included)'
	@echo 'make lint          ruff, cython-lint and mypy'
	@echo 'make bench         one line of figures for each part of the call path'
	@echo 'make bench-scale   the tables with 100 million numbers and 540 million subscribers (minutes, 13 GB)'
	@echo 'make live          only the tests with real programs'
	@echo 'make fleet-test    the fleet at full length: a thousand nodes, long absences, large joins (an hour)'
	@echo 'make abuse         fault and abuse tests at full length (hours)'
	@echo 'make debug         build with bounds checks and line tracing in a tree of its own, run every test on it'
	@echo 'make asan          the same with AddressSanitizer and UBSan: torture messages, fuzz corpora, playbooks'
	@echo 'make tsan          the tables under ThreadSanitizer, hammered by threads'
	@echo 'make fuzz          coverage-guided fuzzing, SECONDS=600 for each target (TARGETS="head uri" for some)'
	@echo 'make fuzz-coverage how much of the parsers the fuzz corpora reach; fails below 90 %'
	@echo 'make build         only build'
	@echo 'make deps          only install what tests and benchmarks need'
	@echo 'make docker-prove  carry out the Dockerfile on a bare Debian tree, without a container engine (root)'
	@echo 'make clean         remove everything that was built or downloaded'

run: build
	@exec $(VENV)/bin/callsieve run --config conf/quickstart.toml --demo

test: deps
	@$(PYTEST)

live: deps
	@$(PYTEST) tests/live

fleet-test: deps
	@CALLSIEVE_ABUSE=full $(PYTEST) --durations=0 --durations-min=5 tests/abuse/test_fleet.py tests/abuse/test_mixed_fleet.py \
	    tests/proxy/sync $(addprefix tests/live/test_fleet_,broker.py nodes.py many.py join.py processes.py)

abuse: deps
	@CALLSIEVE_ABUSE=full $(PYTEST) tests/abuse

lint: $(STAMPS)/test-packages
	@$(VENV)/bin/ruff check
	@PATH=$(abspath $(VENV))/bin:$$PATH cython-lint engine proxy tests
	@$(VENV)/bin/mypy

bench: deps
	@scripts/debian-packages.sh bench
	@scripts/bench.sh $(PYTHON)

bench-scale: deps
	@$(PYTHON) -m tests.bench.scale_tables

debug: deps
	@scripts/debug-tree.sh $(DEBUG)
	@cd $(DEBUG) && CALLSIEVE_BUILD=debug ../../scripts/build.sh ../../$(PYTHON) engine proxy tests
	@echo 'callsieve: running the tests on the debug build'
	@cd $(DEBUG) && PYTHONPATH=$(CURDIR)/$(DEBUG) ../../$(PYTHON) -m pytest

# What a sanitizer finds ends the run.
asan: $(STAMPS)/test-packages
	@scripts/debug-tree.sh $(ASAN)
	@cd $(ASAN) && CALLSIEVE_BUILD=asan ../../scripts/build.sh ../../$(PYTHON) engine proxy
	@echo 'callsieve: running torture messages, fuzz corpora and playbooks under the sanitizers'
	@cd $(ASAN) && ../../scripts/sanitized.sh asan ../../$(PYTHON) -m pytest --capture=sys $(ASAN_TESTS)

tsan: $(STAMPS)/test-packages
	@scripts/debug-tree.sh $(TSAN)
	@cd $(TSAN) && CALLSIEVE_BUILD=tsan ../../scripts/build.sh ../../$(PYTHON) engine
	@echo 'callsieve: hammering the tables under the thread sanitizer'
	@cd $(TSAN) && ../../scripts/sanitized.sh tsan ../../$(PYTHON) -m pytest tests/abuse/test_tables.py -k as_threads

SECONDS := 600
fuzz: $(STAMPS)/fuzz-packages
	@scripts/debian-packages.sh fuzz
	@scripts/debug-tree.sh $(FUZZ)
	@cd $(FUZZ) && CALLSIEVE_BUILD=fuzz ../../scripts/build.sh ../../$(PYTHON) engine proxy
	@cd $(FUZZ) && ../../scripts/fuzz.sh ../../$(PYTHON) $(SECONDS) $(TARGETS)

fuzz-coverage: $(STAMPS)/test-packages
	@scripts/debug-tree.sh $(COVERAGE)
	@cd $(COVERAGE) && CALLSIEVE_BUILD=coverage ../../scripts/build.sh ../../$(PYTHON) engine proxy
	@cd $(COVERAGE) && PYTHONPATH=$(CURDIR)/$(COVERAGE) ../../$(PYTHON) -m tests.fuzz.coverage

# build.sh compares times itself, so that asking again costs a moment.
build: $(STAMPS)/packages
	@scripts/build.sh $(PYTHON) engine proxy
	@scripts/link-command.sh $(PYTHON) $(STAMPS)/command

deps: $(STAMPS)/test-packages
	@scripts/build.sh $(PYTHON) engine proxy tests
	@scripts/link-command.sh $(PYTHON) $(STAMPS)/command
	@scripts/debian-packages.sh test

$(STAMPS)/venv:
	@scripts/debian-packages.sh build
	@echo 'callsieve: creating the virtual environment $(VENV)'
	@python3 -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/packages: $(STAMPS)/venv pyproject.toml
	@scripts/python-packages.sh $(PYTHON)
	@touch $@

$(STAMPS)/test-packages: $(STAMPS)/packages
	@scripts/python-packages.sh $(PYTHON) test
	@touch $@

$(STAMPS)/fuzz-packages: $(STAMPS)/packages
	@scripts/python-packages.sh $(PYTHON) fuzz
	@touch $@

docker-prove:
	@scripts/debian-packages.sh prove
	@python3 scripts/docker_prove.py

clean:
	@rm -rf $(VENV) .cache build dist var callsieve.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find engine proxy tests -name '*.so' -delete
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
