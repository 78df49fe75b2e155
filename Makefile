PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# what each stamp installs beside the engine
EXTRAS_demo := demo
EXTRAS_dev := demo,data,train,faces,gpu,int8,dev
EXTRAS_peers := peers

.PHONY: help demo quick test test-full chaos fuzz lint format bench bench-peers gpu proto reference clean

# Fast and without worker processes, a broker, a GPU or torch.
QUICK := tests/kernels tests/test_docs.py $(addprefix tests/engine/, admission decode detectors report wire \
  core/test_budget.py core/test_queue.py commands/test_reference.py test_bundle.py test_outcome.py)
SLOW := $(addprefix --ignore tests/engine/, decode/test_fuzz.py decode/test_raster_matrix.py decode/test_tiff_matrix.py \
  decode/test_confined.py detectors/test_on_device.py)

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.demo ## Stream images through a Kafka broker and the shipped detector (no torch needed)
	$(BIN)/python -P -m assay.bench.demo

quick: $(VENV)/.dev ## Run the tests that matter while editing (under a minute on 2 cores)
	$(BIN)/pytest -q -x $(QUICK) $(SLOW)

# The trainers' tests have a process of their own: torch, DALI and OpenVINO each bring an OpenMP runtime.
test: $(VENV)/.dev ## Run the tests (at most 15 minutes on 2 cores)
	$(BIN)/pytest --ignore tests/trainers
	$(BIN)/pytest tests/trainers

test-full: $(VENV)/.dev ## Run all tests that need no GPU (at most 60 minutes on 2 cores)
	$(BIN)/pytest -m "not gpu and not chaos and not fuzz" --ignore tests/trainers
	$(BIN)/pytest -m "not gpu and not chaos and not fuzz" tests/trainers

chaos: $(VENV)/.dev ## Kill members of a group and their broker at random, for 3 minutes: outcomes exactly once
	$(BIN)/pytest -s -m chaos tests/chaos

fuzz: $(VENV)/.dev ## Send damaged files of every format to a server, for FUZZ_SECONDS (300)
	$(BIN)/pytest -s -m fuzz tests/fuzz

lint: $(VENV)/.dev .types/assay ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy -p assay.engine -p assay.kernels -p assay.trainers -p assay.bench

format: $(VENV)/.dev ## Put the sources in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.dev ## Measure throughput against ceilings and peers; writes bench/results/
	$(BIN)/python -P -m assay.bench

bench-peers: $(VENV)/.peers $(VENV)/triton ## Measure beside other servers (12 minutes, ROUNDS=10); writes bench/results/peers.md
	$(BIN)/python -P -m assay.bench.peers --rounds $(or $(ROUNDS),10)

# The wheel wants NumPy 1: a folder of its own. Where there is no such wheel, Triton is left out of the table.
$(VENV)/triton:
	-$(BIN)/pip install --quiet --target $@ --no-deps 'nvidia-pytriton>=0.7' 'numpy<2'

# Such a machine may have no network: without an environment here, $(PYTHON) runs this folder as it lies.
gpu: GPU_PYTHON := $(if $(wildcard $(BIN)/python),$(BIN)/python,PYTHONPATH=$(CURDIR)/.types $(PYTHON))
gpu: .types/assay ## On a machine with an NVIDIA GPU: its tests, parity, speed, training; writes bench/results/gpu/
	@$(GPU_PYTHON) -P -m assay.bench.gpu --check
	$(GPU_PYTHON) -P -m assay.bench.gpu_parts

reference: $(VENV)/.dev ## Rebuild docs/reference.md from the settings and commands
	$(BIN)/python -P -m assay.engine.commands.reference > docs/reference.new
	mv docs/reference.new docs/reference.md

proto: $(VENV)/.dev ## Rebuild the generated gRPC code from proto/
	$(BIN)/python -P -m assay.engine.wire.generate

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .types .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

$(VENV)/.%: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[$(EXTRAS_$*)]'
	touch $@

.types/assay:
	mkdir -p .types
	ln -sfn .. $@
