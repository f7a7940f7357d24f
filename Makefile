# The two commands of the README, and what they need. Python 3.11 or later, git and make are enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test pytest soak storm check fast bench mutate docs clean

demo: $(VENV)/.installed  ## Curate the pool that ships with the package into runs/demo, distil a student on it, evaluate and ground that
	$(BIN)/siglino curate experiment=demo
	$(BIN)/siglino distill experiment=demo
	$(BIN)/siglino inspect runs/demo
	$(BIN)/siglino evaluate experiment=demo
	$(BIN)/siglino ground experiment=demo

test: $(VENV)/.installed  ## Everything that CI checks
	@$(MAKE) --no-print-directory --jobs 2 check pytest

pytest: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n 2 --dist loadscope --durations 12 -m "not soak and not storm"

soak: $(VENV)/.installed  ## The long tests: the demo as it stands, kills at random, Ray's dead drivers
	$(BIN)/python -m pytest -q -n 2 --dist loadscope --durations 12 -m soak

storm: $(VENV)/.installed  ## Kills, signals, overlaps, flips and damaged files by the hundred; an hour
	$(BIN)/python -m pytest -q -s --durations 12 -m storm

fast: $(VENV)/.installed check  ## The same without what starts Ray, Prefect, S3 or a browser
	$(BIN)/python -m pytest -q -m "not slow and not soak and not storm"

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(VENV)/.installed  ## Ratios of the hot paths against named baselines, into docs/benchmarks.jsonl too
	$(BIN)/python -m tests.benchmarks

mutate: $(VENV)/.installed  ## Break the code line by line; every break must make a test fail
	$(BIN)/python -m scripts.mutate

docs: $(VENV)/.docs  ## The documentation as a site in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --clean

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

# Bytecode is made by all cores afterwards; pip takes one. Files that are for other Pythons have none.
$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check --editable '.[demo,dev]'
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $@

clean:
	rm -rf $(VENV) site build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
