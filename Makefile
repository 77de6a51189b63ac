# `make demo` and `make test` set up .venv by themselves. PYTHON=… picks another interpreter (3.11 to 3.13).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
export OMP_NUM_THREADS ?= 2

.PHONY: demo test lint types clean

demo: $(READY)
	$(BIN)/python run_all.py --dataset demo --preset smoke --jobs 2 --out results/local

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/pyright

clean:
	rm -rf $(VENV)

# torch comes first and by its constraint: left to itself, pip would take the newest build there is.
# RecBole asks for a ray that has no wheel for Python 3.12 and later: there it comes without its own requirements.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[neural,dev]'
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 12))' || \
		$(BIN)/python -m pip install --quiet --no-deps recbole==1.2.1
	touch $(READY)
