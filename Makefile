# `make app` and `make test` do all the set-up themselves.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup app test lint bench fuzz audit video

setup: .venv/.ready

.venv/.ready: pyproject.toml requirements.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v in ((3, 11), (3, 12)) else f"Python 3.11 or 3.12 is needed, this is {v[0]}.{v[1]}: try make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[build,test]'
	touch $@

app: setup
	$(BIN)/python app.py

# Each worker has a server and a Chromium of its own, and one thread.
WORKERS ?= 2

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: setup
	$(BIN)/python -m pytest --override-ini addopts= -q -s tests/benchmarks

# The film assets/demo.mp4 and the README's pictures; needs ffmpeg and Chromium.
video: setup
	$(BIN)/python -m assets.make_video

# Hostile files and requests; `make fuzz EXAMPLES=100000` for a night.
EXAMPLES ?= 2000

fuzz: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	NCDETECT_FUZZ=$(EXAMPLES) $(BIN)/python -m pytest --override-ini addopts= --timeout 0 -q -s tests/fuzz

# Known vulnerabilities of what is installed; it asks an advisory database, so it needs the network.
audit: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python -m pip_audit --skip-editable
