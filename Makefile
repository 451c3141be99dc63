# Two commands are the whole set-up: `make demo` shows the main job, `make test` proves it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := actors protocol config tests benchmarks

.PHONY: demo test test-vllm check fuzz env lock clean

env: $(VENV)/.ready

# The environment is made from the hashed lock, which is whole: --no-deps, since older pips look for the newest release of
# a package that is asked for with an extra and then refuse it. The project itself is installed editable into it.
$(VENV)/.ready: requirements-dev.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing; install Python 3.11 or newer, or say PYTHON=/path/to/python"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "make: the venv module is missing; on Debian: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q actors protocol config
	touch $@

check: env
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell

test: check
	$(BIN)/python -m pytest

# The vLLM adapter against a real vLLM on CPU: builds its image (2 GB, about three minutes), or takes IMAGE=...@sha256:...
test-vllm: env
	$(BIN)/python -m pytest -m vllm --durations=0 tests/e2e/test_vllm.py $(if $(IMAGE),--vllm-image $(IMAGE))

# A million mutated frames against both sides of the protocol; then guided by coverage, where atheris is installed.
fuzz: env
	$(BIN)/python -m tests.protocol.fuzz_frames --frames $(or $(FRAMES),1000000)
	$(BIN)/python -m tests.protocol.fuzz_coverage --runs $(or $(RUNS),1000000)

demo: env
	$(BIN)/python -m tests.bed.demo $(if $(ONCE),--once) $(if $(ENGINE),--engine $(ENGINE)) $(if $(MODEL),--model $(MODEL)) $(if $(IMAGE),--image $(IMAGE))

# Maintainers only: writes the locks anew. The lock holds versions and hashes, no address of any registry.
lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q -o requirements.lock
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra master --group dev --generate-hashes --no-emit-index-url --no-header --no-annotate -q -o requirements-dev.lock

clean:
	rm -rf $(VENV) .demo .bed .mypy_cache .ruff_cache .pytest_cache .hypothesis
