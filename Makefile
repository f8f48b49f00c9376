# The project's commands. Needs make and Python 3.11 to 3.14; everything else goes into .venv.

FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
NUMBER := import sys; print("%d.%d" % sys.version_info[:2])
# A Python that is asked for and is not the one in .venv gets an environment of its own, .venv-3.13.
ifeq ($(origin PYTHON),undefined)
PYTHON = $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
else
VENV := $(shell asked=$$("$(PYTHON)" -c '$(NUMBER)' 2>/dev/null); \
	there=$$(.venv/bin/python -c '$(NUMBER)' 2>/dev/null || echo "$$asked"); \
	if [ "$$asked" = "$$there" ]; then echo .venv; else echo ".venv-$$asked"; fi)
endif
BIN := $(VENV)/bin
NEWEST := 3.14
# Tests start hundreds of processes, which import dlc in half the time where bytecode is kept.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help train test lint types conformance conformance-full faults instruction-sets \
	fuzz mpi wheel browser libraries networks networks-of-the-day bench bench-compile clean cuda \
	cuda-check

help:
	@echo "make train        train LeNet-5 on the bundled handwritten digits"
	@echo "make test         lint, types and all tests (about 6 minutes on two cores);"
	@echo "                  PYTHON=python3.13 make test  with that Python, in .venv-3.13"
	@echo "make conformance  tests of PyTorch, JAX, ONNX and others: the cut of the day (docs/conformance.md)"
	@echo "make conformance-full  all of them, or SHARD=k/20; writes the table of docs/conformance.md"
	@echo "make faults       plant the faults that the change touches and a quarter of the others; the tests"
	@echo "                  must catch each (FAULTS=all: all of them)"
	@echo "make instruction-sets  the backend tests on the other instruction sets, native or interpreted"
	@echo "make cuda         CUDA kernels without a GPU: new ones compile to machine code, an eighth of all"
	@echo "                  programs agrees with the evaluator; make cuda-check: all of everything"
	@echo "make mpi          training in two and four processes of this machine, and how it ends"
	@echo "make fuzz         fresh random programs and contractions; the seed is printed"
	@echo "make wheel        install the wheel into an empty environment and follow docs/using.md there"
	@echo "make browser      open the inspector's page in a Chromium, where one is installed"
	@echo "make libraries    compile libraries without Python, run them under sanitizers and valgrind"
	@echo "make networks     train every bundled network from three seeds, and hold it to its figure"
	@echo "make networks-of-the-day  a tenth of them, once"
	@echo "make bench        step time, cold and warm start beside PyTorch and JAX"
	@echo "make bench-compile  processor time of compiling by stage, without kernels, as programs grow"
	@echo "make clean        remove .venv and .venv-3.*, caches and build results"

train: $(VENV)/.installed
	$(BIN)/dlc train lenet

test: lint types
	$(BIN)/python -m pytest -q -n auto --dist worksteal

# For the oldest Python, and for the newest: without the rules that ask for what the oldest lacks.
lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff check . --target-version py$(subst .,,$(NEWEST)) --extend-ignore UP,B911,B912

# For the Python that runs, as NumPy's types of one Python are no syntax for an older one, and for
# the newest, both at once. CI runs the oldest that it finds.
types: $(VENV)/.test
	@$(BIN)/mypy & oldest=$$!; $(BIN)/mypy --python-version $(NEWEST); newest=$$?; \
		wait $$oldest && exit $$newest

conformance: $(VENV)/.conformance
	$(BIN)/python -m pytest -q -m conformance -n auto --dist worksteal

# Everything, in 20 shards that go on where they were ended: SHARD=k/20 runs one of them, DLC_CPU
# says the instruction set. Fresh random models are made first, in an environment of their own.
SHARD ?=
SHARDS := $(if $(SHARD),$(SHARD),$(foreach k,$(shell seq 20),$(k)/20))

conformance-full: $(VENV)/.conformance
	@status=0; for shard in $(SHARDS); do \
		$(BIN)/python -m tests.conformance.nnsmith_fresh .nnsmith $${shard%/*}; \
		CONFORMANCE_FULL=1 SHARD=$$shard $(BIN)/python -m pytest -q -m conformance \
			-n auto --dist worksteal --conformance-results || status=1; done; exit $$status

instruction-sets: $(VENV)/.test
	$(BIN)/python tests/each_instruction_set.py

cuda: $(VENV)/.cuda
	$(BIN)/python -m pytest -q -m cuda tests/cuda

cuda-check: $(VENV)/.cuda
	CUDA_FULL=1 $(BIN)/python -m pytest -q -m cuda tests/cuda

faults: $(VENV)/.test
	$(BIN)/python -m pytest -q -m faults -n auto --dist worksteal tests/faults

# FUZZ_SEED=17 make fuzz repeats a run.
fuzz: $(VENV)/.test
	$(BIN)/python -m pytest -q -m fuzz -rP -n auto --dist worksteal

mpi: $(VENV)/.mpi
	$(BIN)/python -m pytest -q -m mpi -n 2 --dist worksteal tests/distributed

wheel: $(VENV)/.test
	$(BIN)/python -m tests.wheel

browser: $(VENV)/.test
	@if command -v chromium chromium-browser google-chrome >/dev/null; then \
		$(BIN)/python -m pytest -q -m browser tests/inspector; \
	else echo "no Chromium is installed: the inspector's page was not opened"; fi

# A C compiler, a C++ compiler and valgrind are used where they are installed.
libraries: $(VENV)/.test
	@for tool in cc g++ valgrind; do command -v $$tool >/dev/null || \
		echo "$$tool is not installed: what needs it is not run"; done
	$(BIN)/python -m pytest -q -m library -n 2 --dist loadfile tests/library

# NAMES="xor lenet" make networks trains some of them.
networks: $(VENV)/.test
	$(BIN)/python -m tests.networks.run $(NAMES)

# The tenth that is the day's.
networks-of-the-day: $(VENV)/.test
	$(BIN)/python -m pytest -q -m networks -n auto --dist worksteal tests/networks

bench: $(VENV)/.conformance
	$(BIN)/dlc bench --against torch,jax

bench-compile: $(VENV)/.test
	$(BIN)/python -m tests.compile_time.bench

# A stamp a set of packages: a second run of any target installs nothing, and each set is installed
# by one run of pip. Of the many files of the larger ones bytecode is made when they are imported.
$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "dlc needs Python 3.11 to 3.14, and no python3 here is one;" \
		"install it, or name it: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@"$(PYTHON)" -c '$(FITS)' || { echo "dlc needs Python 3.11 to 3.14; $(PYTHON) is" \
		"`"$(PYTHON)" --version 2>&1`" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --no-compile --editable ".[test]"
	@touch $(VENV)/.installed $@

$(VENV)/.conformance: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --no-compile --editable ".[test,conformance]"
	@touch $(VENV)/.installed $(VENV)/.test $@

$(VENV)/.cuda: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --no-compile --editable ".[test,cuda]"
	@touch $(VENV)/.installed $(VENV)/.test $@

$(VENV)/.mpi: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --no-compile --editable ".[test,mpi]"
	@touch $(VENV)/.installed $(VENV)/.test $@

clean:
	rm -rf .venv .venv-3.* .nnsmith build dist dlc.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
