# Everything a newcomer needs: make demo, make test, make benchmark. Each prepares .venv when it is missing.
# The first interpreter that really runs and has a version that fits (a version manager's shim may exist and not run).
PYTHON ?= $(shell for name in python3 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
# PyTorch for the fits that need it, which the demo does not: cpu, cuda (several GB) or none. Tests of the fits are skipped without it.
TORCH ?= cpu
TORCH_PACKAGE = torch==2.13.0
# Two threads by default: what the figures in the README were measured with.
export OMP_NUM_THREADS ?= 2

.PHONY: setup torch demo test lint benchmark screenshots test-slicer clean
setup: $(VENV)/.ready

$(VENV)/.ready: requirements/run.txt requirements/test.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Perfusion Suite needs Python 3.11 or 3.12; set PYTHON=/path/to/python3.12 and run make again." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# The processor's build is small; where the package index has none, the common build, with several GB of CUDA, serves as well.
$(VENV)/.torch-$(TORCH): $(VENV)/.ready
	@case "$(TORCH)" in \
	  none) ;; \
	  cpu) $(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH_PACKAGE)+cpu" 2>/dev/null \
	    || $(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH_PACKAGE)" ;; \
	  cuda) $(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH_PACKAGE)" ;; \
	  *) echo "TORCH must be cpu, cuda or none, not $(TORCH)." >&2; exit 2 ;; \
	esac
	@touch $@

torch: $(VENV)/.torch-$(TORCH)

demo: setup
	$(BIN)/perfusion-suite demo demo-output

test: torch
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The pictures of the README: panels and layouts in the emulation of Slicer, slice views of the demo when it was made.
screenshots: setup
	$(BIN)/python Testing/tools/make_screenshots.py

# In a real Slicer desktop: make test-slicer SLICER=/path/to/Slicer
test-slicer: setup
	@test -n "$(SLICER)" || { echo "Say where Slicer is: make test-slicer SLICER=/path/to/Slicer" >&2; exit 2; }
	$(BIN)/python Testing/slicer/run.py "$(SLICER)"

benchmark: torch
	$(BIN)/python Testing/benchmarks/run_all.py

clean:
	rm -rf $(VENV) demo-output benchmark-output build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
