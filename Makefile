# Everything a fresh clone needs: a Python >= 3.11 with venv, and make. `make` alone lists the targets.

export PYTHON
VENV := .venv
BIN := $(VENV)/bin
# Ready: the environment holds what the lock names, and this checkout. Touched last, so that a broken
# installation is done again.
READY := $(VENV)/.ready
BENCH := .venv-bench
DOCS := .venv-docs

.PHONY: help demo test lint lab bench bench-full docs dist lock clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make demo        a made-up fleet over 90 days, read, kept and explained (into demo/)
## make test        linters, types, layers, and every test that can run here
## make lint        the linters, types and layers alone
## make lab         install the servers that tests/lab talks to (root, Debian)
## make bench       the speed tables of the README, side by side with parsedmarc, checkdmarc and bare servers
## make bench-full  the same with 100,000 messages and 3 million reports (an hour, 15 GB of disk)
## make docs        the handbook, into docs/_build
## make dist        sdist and wheel, into dist/
## make lock        resolve requirements/*.txt anew
## make clean       remove what the targets above made

$(READY): requirements/dev.txt pyproject.toml scripts/venv.sh
	@sh scripts/venv.sh $(VENV) requirements/dev.txt
	@touch $@

$(BENCH)/.ready: requirements/bench.txt pyproject.toml scripts/venv.sh
	@sh scripts/venv.sh $(BENCH) requirements/bench.txt
	@touch $@

$(DOCS)/.ready: requirements/docs.txt pyproject.toml scripts/venv.sh
	@sh scripts/venv.sh $(DOCS) requirements/docs.txt
	@touch $@

demo: $(READY)
	@sh scripts/demo.sh $(BIN)/tlsrpt demo

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

# tests/conftest.py ends the run with the lab tests that could not run here, and why.
test: lint
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST)

lab:
	@sh scripts/lab.sh

bench: $(BENCH)/.ready
	$(BENCH)/bin/python -m bench.run
	$(BENCH)/bin/python -m bench.record_check
	$(BENCH)/bin/python -m bench.dkim
	$(BENCH)/bin/python -m bench.receive

bench-full: $(BENCH)/.ready
	$(BENCH)/bin/python -m bench.run --full

docs: $(DOCS)/.ready
	$(DOCS)/bin/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# hatchling by itself: needs no git, and no network once the environment stands.
dist: $(READY)
	$(BIN)/python -m hatchling build -d dist

lock: $(READY)
	@sh scripts/lock.sh

clean:
	rm -rf build dist demo docs/_build bench/data $(BENCH) $(DOCS) $(VENV)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
