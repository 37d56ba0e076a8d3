PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
MODELS ?= models

.PHONY: serve test lint format bench lock clean

serve: .venv/serve  ## set up, then serve the classifiers in $(MODELS)
	$(BIN)/softgate serve "$(MODELS)"

test: .venv/dev  ## set up, then run every test
	$(BIN)/python -m pytest

lint: .venv/dev  ## set up, then check format, style, types and deployment files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict deploy .yamllint
	$(BIN)/hadolint Dockerfile

format: .venv/dev  ## rewrite the code in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev  ## set up, then measure the predict path beside a bare uvicorn answer
	$(BIN)/python tests/bench/bench_predict.py
	$(BIN)/python tests/bench/bench_selection.py

lock: .venv/dev  ## resolve the dependencies again into hash-pinned requirements files
	$(BIN)/uv pip compile pyproject.toml --extra text --extra build --universal --python-version 3.11 \
		--generate-hashes --no-header --upgrade --quiet --output-file requirements.txt
	$(BIN)/uv pip compile pyproject.toml --all-extras --constraint requirements.txt --universal --python-version 3.11 \
		--generate-hashes --no-header --upgrade --quiet --output-file requirements-dev.txt

clean:  ## remove what the other targets made
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache

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
