# Everything a new machine needs is made by these targets; Python 3.11+, git, make and a package index are enough.
#   make run      environment, then the whole fraud_detection lifecycle on simulated data
#   make test     environment and the servers that tests start (PostgreSQL, Redis, Chromium), then the tests
#   make test PROJECT=fraud_detection   what concerns one project: its contract, the laws of learning, its own tests
#   make ui       the page to play with, MLflow and Dagster, on the loopback address
#   make demo-drift   the closed loop as a story: drift, alarm, retraining, promotion
#   make lint     ruff and mypy
#   make page     build the page of the model server from its TypeScript (node comes from the lock, nothing else is needed)
#   make lock     resolve pyproject.toml anew into requirements.lock
#   make notebooks    runs the notebooks from top to bottom and keeps what they show
#   make benchmark PROJECT=fraud_detection   the README's result table, on the public data; DATASET=... for another set

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# What pip is configured with holds for uv too: an index, further indexes, folders of wheels (a CPU build of torch may
# lie there). A machine with an NVIDIA GPU ignores the folders for torch, so that the index's CUDA build is taken.
pip_setting = $(or $($(1)),$(shell $(PYTHON) -m pip config get global.$(2) 2>/dev/null))
UV_FIND_LINKS ?= $(call pip_setting,PIP_FIND_LINKS,find-links)
UV_INDEX ?= $(call pip_setting,PIP_EXTRA_INDEX_URL,extra-index-url)
UV_DEFAULT_INDEX ?= $(call pip_setting,PIP_INDEX_URL,index-url)
# Safe with several indexes, because the lock's hashes decide what may be installed.
UV_INDEX_STRATEGY := unsafe-best-match
export UV_INDEX_STRATEGY
$(foreach name,UV_FIND_LINKS UV_INDEX UV_DEFAULT_INDEX,$(if $($(name)),$(eval export $(name))))
HAS_GPU := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1 && echo yes)
TORCH_ENV := $(if $(HAS_GPU),env -u UV_FIND_LINKS,)
TORCH := $(shell sed -n 's/^  "\(torch==[^"]*\)".*/\1/p' pyproject.toml)

export PATH := $(abspath $(BIN)):$(PATH)
# Many container images set it. The environment here is our own folder, and where bytecode is never kept, every command
# compiles all that it imports again: that doubles the time until it begins to work.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test services ui demo-drift lint page lock notebooks benchmark bench-env clean

run: $(STAMP)
	kedro run --pipeline=fraud_detection

test: $(STAMP) $(if $(PROJECT),,services)
	pytest $(if $(PROJECT),tests/contract tests/pipelines/$(PROJECT) -k $(PROJECT),-n 2 --dist loadscope)

services:
	scripts/services

ui: $(STAMP)
	kedro up

demo-drift: $(STAMP)
	python benchmarks/demo_drift.py

lint: $(STAMP)
	ruff check . && ruff format --check . && mypy && python scripts/check_starter_types.py

page: $(STAMP)
	python scripts/play_page.py

# uv installs from the lock with every hash checked; torch, whose builds differ from machine to machine, comes in a
# step of its own, pinned to its version.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==0.13.9"
	uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock
	$(TORCH_ENV) uv pip install --quiet --python $(BIN)/python "$(TORCH)"
	uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

CUDA_PACKAGES := cuda-bindings cuda-pathfinder cuda-toolkit triton torch $(addprefix nvidia-,cublas cuda-cupti \
  cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 nccl-cu12 nccl-cu13 \
  nvjitlink nvshmem-cu13 nvtx)

# Left out of the lock: kedro-telemetry (a hard dependency of kedro whose only work is to report), nvidia-nccl
# (xgboost over several GPUs only), and torch with its CUDA libraries (own step above).
lock:
	uv pip compile pyproject.toml --all-extras --python-version 3.11 --universal --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --no-annotate --quiet \
	  $(foreach package,kedro-telemetry $(CUDA_PACKAGES),--no-emit-package $(package)) \
	  -o requirements.lock

notebooks: $(STAMP)
	python notebooks/execute.py

benchmark: $(STAMP)
	python benchmarks/reference.py $(or $(PROJECT),fraud_detection) $(if $(DATASET),--dataset $(DATASET))

# The competitors of benchmarks/startup.py and benchmarks/training.py, kept out of the environment: their plug-ins
# would slow every command down.
bench-env: $(STAMP)
	uv pip install --quiet --python $(BIN)/python --target .bench --no-deps -r benchmarks/requirements.txt

clean:
	rm -rf $(VENV) .bench .pytest_cache .mypy_cache .ruff_cache
