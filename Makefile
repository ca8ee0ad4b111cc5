# Everything sets up its own environment: a fresh machine needs Python 3.11-3.13, make and the package registries.
.PHONY: install demo test test-postgresql check bench lock clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALLED := $(VENV)/.installed
# A shell that forbids bytecode makes importing TensorFlow 2.4 times slower.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPATH :=

install: $(INSTALLED)

$(INSTALLED): requirements/dev.txt requirements/tools.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/tools.txt
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: install
	@$(BIN)/python demo/run.py $(if $(DATA),--data "$(DATA)") $(if $(SEED),--seed $(SEED))

test: install
	@.ci/offscreen-gl
	@tools/chromium.sh
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder -m "not alone"
	$(BIN)/python -m pytest -m alone

# The store, audit trail and queue on a PostgreSQL server of its own; as root on Debian it is installed where it is missing.
test-postgresql: install
	tools/postgresql.sh $(BIN)/python -m pytest -m postgresql tests/coordinator/store

check: install
	@.ci/offscreen-gl
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow and not data"

bench: install
	$(BIN)/python benchmarks/run.py

# Pins with hashes and without addresses, for every platform and Python that pyproject.toml allows.
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--custom-compile-command "make lock" pyproject.toml
lock: install
	$(COMPILE) --upgrade --all-extras -o requirements/dev.txt
	echo uv | $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" -c requirements/dev.txt - -o requirements/tools.txt
	$(COMPILE) --extra edge -c requirements/dev.txt -o requirements/edge.txt
	$(COMPILE) --extra edge --extra ui -c requirements/dev.txt -o requirements/ui.txt
	$(COMPILE) --extra edge --extra federation -c requirements/dev.txt -o requirements/federation.txt
	$(COMPILE) --extra edge --extra federation --extra training -c requirements/dev.txt -o requirements/training.txt
	$(COMPILE) --extra coordinator -c requirements/dev.txt -o requirements/coordinator.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist
