PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --upgrade --quiet
MODELS ?= models
# Beside the lock file, not in it: which file fits depends on the machine, so there is no one hash. On Linux the registry's
# is the build for graphics cards, gigabytes with what it needs; where pip finds a CPU build first, it takes that.
TORCH ?= torch==2.13.0

# With COMPILED=1, what `make compiled` made of the sources runs in their place: of the server, the tests and `softgate bench`.
COMPILED ?=
ifneq ($(filter-out 1,$(COMPILED)),)
$(error Expected COMPILED=1 or nothing; got $(COMPILED))
endif
BUILT := $(if $(COMPILED),build/compiled/made)
RUN := $(if $(COMPILED),PYTHONPATH="$(CURDIR)/build/compiled") $(BIN)
PYTEST := $(RUN)/python -m pytest $(if $(COMPILED),--override-ini=pythonpath=tests)
TESTS ?= --ignore=tests/exports

.PHONY: serve test test-all clients soak lint format bench compiled compare performance dashboards pictures lock clean

serve: .venv/serve $(BUILT)  ## set up, then serve the classifiers in $(MODELS)
	$(RUN)/softgate serve "$(MODELS)"

test: .venv/dev $(BUILT)  ## set up, then run every test but those of real exports, or those of $(TESTS)
	$(PYTEST) $(TESTS)

test-all: test .venv/exporters  ## set up the heavy exporters too, then run every test
	$(PYTEST) tests/exports

clients: .venv/dev  ## set up the real clients, each in an environment of its own, that tests of protocols run
	$(BIN)/python tests/clients/environments.py

soak: .venv/dev $(BUILT)  ## set up, then run the tests that take long: attacks, faults and hundreds of thousands of requests
	$(PYTEST) -m soak -rP --durations=0 --ignore=tests/exports

lint: .venv/dev  ## set up, then check format, style, types and deployment files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive service
	$(BIN)/yamllint --strict deploy .yamllint
	$(BIN)/hadolint Dockerfile

format: .venv/dev  ## rewrite the code in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev $(BUILT)  ## set up, then measure clinc150 beside a bare uvicorn answer, and what parts cost; needs wrk
	$(RUN)/softgate bench models/clinc150
	$(BIN)/python tests/bench/bench_selection.py
	$(BIN)/python tests/bench/bench_monitoring.py
	$(BIN)/python tests/bench/bench_tensors.py

compiled: build/compiled/made  ## set up, then compile the hot path for COMPILED=1; a minute, needs a C compiler

compare: .venv/dev build/compiled/made  ## set up peers, too, then measure all servers in turns; about a quarter of an hour, needs wrk
	PYTHONPATH="$(CURDIR)/build/compiled" $(BIN)/python tests/bench/compare.py

performance: .venv/dev  ## write what was compared, and a new profile, into docs/performance.md
	$(BIN)/python tests/bench/draw_performance.py
	$(BIN)/python tests/bench/draw_profile.py

dashboards: .venv/serve  ## write the Grafana dashboards and the manifests made of them and of the rules
	$(BIN)/python -m softgate.workbench.dashboards

pictures: .venv/dev  ## tell the story of docs/monitoring.md to a real server and draw what Prometheus saw; four minutes
	$(BIN)/python tests/deploy/draw_story.py

lock: .venv/dev  ## resolve the dependencies again into hash-pinned requirements files
	$(COMPILE) --extra text --extra image --extra grpc --extra report --extra build --output-file requirements.txt
	$(COMPILE) --extra text --extra image --extra grpc --extra report --extra build --extra client --extra test --extra lint \
		--extra lock --constraint requirements.txt --output-file requirements-dev.txt
	$(COMPILE:pyproject.toml=) --group compile --constraint requirements-dev.txt --output-file requirements-compile.txt
	$(COMPILE) --extra exporters --constraint requirements-dev.txt --no-emit-package torch \
		--output-file requirements-exporters.txt

clean:  ## remove what the other targets made
	rm -rf .venv .venv-clients .venv-peers build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache

# Each stamp is the record of one finished set-up; a changed lock file or project file makes it again.
.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "softgate needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv .venv

.venv/serve: requirements.txt pyproject.toml | .venv/bin/python
	$(PIP) --require-hashes --requirement requirements.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

.venv/dev: requirements-dev.txt .venv/serve
	$(PIP) --require-hashes --requirement requirements-dev.txt
	touch $@

.venv/compile: requirements-compile.txt .venv/serve
	$(PIP) --require-hashes --requirement requirements-compile.txt
	touch $@

# Beside the sources and not among them, where it would be loaded in place of what is edited next.
build/compiled/made: .venv/compile hatch_build.py pyproject.toml $(shell find service -name '*.py' -o -name '*.c')
	rm -rf build/compiled build/wheels
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --wheel-dir build/wheels .
	$(PIP) --no-deps --target build/compiled build/wheels/*.whl
	touch $@

.venv/exporters: requirements-exporters.txt .venv/dev
	$(PIP) --require-hashes --requirement requirements-exporters.txt
	$(PIP) "$(TORCH)"
	$(BIN)/python -m pip check
	touch $@
