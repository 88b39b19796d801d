# make setup | demo | bench | test | test-all | lint | docs. Every target makes .venv by itself.
PYTHON ?= python3
VENV := .venv
# A machine with an NVIDIA driver gets the CUDA build of JAX.
REQUIREMENTS := $(if $(shell command -v nvidia-smi 2>/dev/null),requirements.txt,requirements-cpu.txt)

.PHONY: setup demo bench test test-all lint docs clean

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.txt requirements-cpu.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("dopi_jax needs Python 3.11 or newer, found " + sys.version.split()[0] + ": run make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet -r $(REQUIREMENTS)
	$(VENV)/bin/python -m pip install --quiet --no-deps -e .
	@touch $@

demo: $(VENV)/.ready
	$(VENV)/bin/python -m dopi_jax.commands.demo

# make bench ARGS="--networks resnet6 --batch 4 --size 256x832"; docs/PERFORMANCE.md says what it measures.
bench: $(VENV)/.ready
	$(VENV)/bin/python -m benchmarks $(ARGS)

test: $(VENV)/.ready
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(VENV)/.ready
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.ready
	$(VENV)/bin/ruff check .

# Builds the site into site/, with an environment of its own: the API reference is read from the source, not imported.
docs: $(VENV)-docs/.ready
	$(VENV)-docs/bin/mkdocs build --strict

$(VENV)-docs/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-docs/bin/python -m pip install --quiet --group docs
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-docs site build dist *.egg-info
