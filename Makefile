# make demo   install into .venv, then adapt the shipped breast detector to the embedded eye
# make test   install into .venv, then lint, check types and run the fast tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint format bench clean install

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev,onnx,openvino,adapters,slides,spatial,sweeps,slurm,ray]"
	touch $@

demo: install
	$(BIN)/transfer-kit finetune --base breast --target eye --freeze 2 --compare-scratch

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest --numprocesses auto -m "not slow"

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	@for script in matching encoding decoding patches training startup; do \
		$(BIN)/python benchmarks/$$script.py; \
	done

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache
