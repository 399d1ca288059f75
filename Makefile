# Two commands matter: `make run` and `make test`. Each sets up what it needs, and again only when that has changed.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Where torch comes from, if not from the default index: make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

.PHONY: run notebook test test-all fuzz test-lowest test-newest setup machine machine-all lint format types docs docs-test bench clean

run: setup  ## get Fashion-MNIST, train, judge, say where the report is
	$(BIN)/fittingroom train --or-sample
	@echo "  ($(BIN)/fittingroom is the command here)"

AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)  # in a container, where Jupyter refuses to start otherwise

notebook: setup  ## open the notebooks in Jupyter; what they write goes into notebooks/fitting-room-1, and so on
	$(BIN)/jupyter lab $(AS_ROOT) --notebook-dir notebooks notebooks/$(or $(NOTEBOOK),fashion_mnist.ipynb)

# Half of the suite each, in its order, and what is left at the end shared: else most of what a file's tests share is made twice.
TWO := -n 2 --dist worksteal

test: setup machine lint types  ## everything that has to hold before a commit
	$(BIN)/pytest $(TWO) -m "not nightly"

test-all: setup machine-all lint types test-lowest test-newest  ## the long tests too
	$(BIN)/pytest $(TWO)

# The core of the suite with other versions than the pinned ones: the lowest that pyproject.toml permits, and the newest that
# pip finds. An old package's own warnings of what it uses are no faults here. torch is the pinned one, as its lowest
# version for the CPU is on PyTorch's own index alone: with TORCH_INDEX, the lowest and the newest are taken from there.
CORE := tests/predict tests/artifact tests/data/formats tests/data/test_convert.py tests/evaluation tests/recipes \
	tests/runs/test_tracking.py tests/serve/test_hostile.py tests/serve/test_hardship.py tests/serve/test_request_log.py \
	tests/cli/test_predict.py tests/cli/test_serve.py tests/test_estimator.py
OTHERS := '.[mlflow,serve,sklearn,tensorboard,train,tune]' httpx hypothesis pytest pytest-xdist
PINNED_TORCH := grep '^torch==' constraints.txt
torch_of = $(if $(TORCH_INDEX),true,$(PINNED_TORCH))

test-lowest: .venv-lowest/.installed
	.venv-lowest/bin/python -m pytest $(TWO) -p no:cacheprovider -o filterwarnings=default -m "not nightly" $(CORE)

test-newest: .venv-newest/.installed
	.venv-newest/bin/python -m pytest $(TWO) -p no:cacheprovider -o filterwarnings=default -m "not nightly" $(CORE)

.venv-lowest/.installed: pyproject.toml constraints.txt scripts/lowest_versions.py
	$(PYTHON) -m venv --clear .venv-lowest
	{ $(PYTHON) scripts/lowest_versions.py $(if $(TORCH_INDEX),,--without torch); $(torch_of); } > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
		--constraint .venv-lowest/constraints.txt --editable $(OTHERS)
	@touch $@

# Made anew each time: what is newest changes from day to day.
.venv-newest/.installed: FORCE
	$(PYTHON) -m venv --clear .venv-newest
	{ $(torch_of); } > .venv-newest/constraints.txt
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --constraint .venv-newest/constraints.txt --editable $(OTHERS)

FORCE:

MINUTES ?= 10

fuzz: setup  ## mutate data files, files of runs and requests for MINUTES; what is found is kept in .fuzz/
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.hostile.fuzz --minutes $(MINUTES)

setup: $(VENV)/.installed  ## make .venv and install the package with pinned dependencies

# timm without what it asks for: its torchvision doesn't load beside a CPU build of torch, and is not needed here.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer expected, " + sys.version.split()[0] + " found: make setup PYTHON=python3.12")'
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || \
		{ echo "a virtual environment can't be made: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
	@echo "installing fittingroom and its pinned dependencies into $(VENV): some minutes, without a word"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
		--constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps timm
	@touch $@

# What the tests need of the machine, installed through apt by whoever may: Chromium for the pages, the official data for
# what is said of it. Elsewhere those tests say that they did not run; with CI=true they fail instead.
machine:
	@{ command -v chromium && ls /usr/share/datasets/fashion-mnist; } >/dev/null 2>&1 || $(call apt,chromium dataset-fashion-mnist)

# What only the nightly tests need: PostgreSQL for a shared study, iproute2 for two hosts in one machine.
machine-all: machine
	@{ command -v ip && ls /usr/lib/postgresql/*/bin/initdb; } >/dev/null 2>&1 || $(call apt,iproute2 postgresql)

apt = test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || { apt-get update -qq && apt-get install -y -qq $(1); } >/dev/null 2>&1 || true

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup
	$(BIN)/mypy

docs: setup  ## the pages, into site/; a warning is an error
	$(BIN)/sphinx-build -q -W --keep-going docs site

docs-test: setup  ## every command of the docs, every example, the notebooks
	$(BIN)/pytest $(TWO) tests/docs

BENCH := benchmarks/.venv

bench: $(BENCH)/.installed  ## measure against the notebook and its peers; about five hours and 15 GB of disk, nothing else running
	$(BENCH)/bin/python benchmarks/throughput.py
	$(BENCH)/bin/python benchmarks/throughput.py --same
	$(BENCH)/bin/python benchmarks/data_path.py
	$(BENCH)/bin/python benchmarks/memory.py
	$(BENCH)/bin/python benchmarks/photos.py
	$(BENCH)/bin/python benchmarks/scaling.py
	$(BENCH)/bin/python benchmarks/curves.py
	$(BENCH)/bin/python benchmarks/time_to_accuracy.py --recipes swift --seeds 20 --first-seed 20
	$(BENCH)/bin/python benchmarks/time_to_accuracy.py --recipes steady --seeds 5
	$(BENCH)/bin/python benchmarks/time_to_accuracy.py --recipes strong compact --seeds 3 --first-seed 20
	$(BENCH)/bin/python benchmarks/distributed.py
	$(BENCH)/bin/python benchmarks/scoring.py
	$(BENCH)/bin/python benchmarks/larger_than_memory.py
	test -d benchmarks/runs/served || $(BENCH)/bin/python -m fittingroom train --no-test --out benchmarks/runs/served
	$(BENCH)/bin/python benchmarks/predict.py benchmarks/runs/served
	$(BENCH)/bin/python benchmarks/serving.py benchmarks/runs/served
	$(BENCH)/bin/python benchmarks/ood.py
	$(BENCH)/bin/python benchmarks/table.py --write
	$(BENCH)/bin/python benchmarks/plot.py

$(BENCH)/.installed: benchmarks/requirements.txt
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
		--no-deps --requirement benchmarks/requirements.txt
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) .venv-lowest .venv-newest site .mypy_cache .ruff_cache .pytest_cache .hypothesis
