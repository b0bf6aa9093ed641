# `make help` lists the targets. The README's commands are `make demo-light`, `make demo` and `make test`.

PYTHON ?= python3
# Another index for torch alone, such as https://download.pytorch.org/whl/cpu: 1 GB instead of 7.
TORCH_INDEX ?=
# How long `make demo` measures, in seconds.
DEMO_SECONDS ?= 10
# The machine and the command of `make numa-guest`; without a command it gives a shell.
SHAPE ?= 2s2n-smt
CMD ?=

MAKEFLAGS += --no-print-directory
environment = $(PYTHON) tools/make_environment.py
bin := .venv/bin
ipex := .venv-ipex/bin
light := .venv-light/bin
package := .venv-package/bin
# What Python can warn of is an error in our tests (pyproject.toml: filterwarnings). Without the allocator of -X dev, which
# makes the long ones half as long again. Two processes share the tests: most of a test's time it waits.
strict = --tx "2*popen//python='$(CURDIR)/$(bin)/python' -X dev -X warn_default_encoding"
# Saved machines that lie beside the checkout (tests/machine/probe/test_saved_machines.py).
IPEXLAUNCH_TOPOLOGIES ?= ../shared/topologies/dev
elsewhere = $(PYTHON) tools/copy_tests.py && cd build/elsewhere && \
    env -u PYTHONPATH PYTHONMALLOC=pymalloc IPEXLAUNCH_TOPOLOGIES="$(abspath $(IPEXLAUNCH_TOPOLOGIES))"

.DEFAULT_GOAL := help
.PHONY: python help demo demo-light test campaign-faults campaign-batch campaign-shards campaign-programs fuzz check lint docs look spell fmt bench outputs numa-guest hooks release deb try-installing clean env env-ipex env-light env-torch env-peers env-ray env-package

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: env-ipex ## the main job on a real model: pinned instances, one honest rate
	@$(call demonstrate,$(ipex),examples/embed.py,30)

demo-light: env-light ## the same job through OpenVINO, without torch: 0.4 GB
	@$(call demonstrate,$(light),examples/light/embed.py,5)

# $(call demonstrate,ENVIRONMENT,SCRIPT,SECONDS TO BE READY) runs as the target's name says.
define demonstrate
instances=2; \
$(1)/python -m ipexlaunch plan --ninstances 2 >/dev/null 2>&1 || instances=1; \
echo "$@: ipexlaunch --ninstances $$instances $(2) --seconds $(DEMO_SECONDS) (about $$(( $(DEMO_SECONDS) + $(3) )) seconds)"; \
mkdir -p runs; \
$(1)/python -m ipexlaunch --ninstances $$instances --report runs/$@.json $(2) --seconds $(DEMO_SECONDS) && \
echo "$@: the report as JSON is in runs/$@.json"
endef

test: env ## run every test
	@$(environment) ipex --optional --torch-index "$(TORCH_INDEX)"
	@$(environment) torch --torch-index "$(TORCH_INDEX)"
	@$(environment) light
	@echo "test: running every test (10 to 40 minutes on 2 cores; make test ARGS='tests/plan -x' for less)"
	@$(elsewhere) IPEXLAUNCH_TESTED=installed $(CURDIR)/$(bin)/python -m pytest $(strict) --dist load $(ARGS)

campaign-faults: env ## kill, stop and starve runs in every way that we know, for real (about 20 minutes; docs/developing.md)
	@$(elsewhere) $(CURDIR)/$(bin)/python -m tests.faults

campaign-batch: env ## the same with batch jobs: nothing lost, nothing doubled (about 25 minutes)
	@$(elsewhere) $(CURDIR)/$(bin)/python -m tests.batch_faults --faults 1000

campaign-shards: env ## jobs in shards: processes and hosts are lost and come back (5 to 15 minutes; hosts as root)
	@$(elsewhere) $(CURDIR)/$(bin)/python -m tests.shard_faults --faults 100

fuzz: env ## 50,000 damaged documents, lists, sentences, messages and options (about 5 minutes)
	@$(elsewhere) $(CURDIR)/$(bin)/python -m tests.fuzz --count 50000

check: env ## format, lint, types, import rule, the house: what nothing uses, what stands twice, what is too long
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/python tools/unused_defaults.py
	$(bin)/python tools/draw_house.py --check
	$(bin)/python tools/check_house.py
	$(bin)/vulture
	$(bin)/pylint --score=n ipexlaunch
	$(bin)/python tools/check_words.py

lint: check ## the same as check

look: docs ## look at the site in a browser: accessibility, console, keyboard, narrow and dark (needs chromium; 15 minutes)
	$(bin)/python -m pip install --quiet --group pages
	$(bin)/python tools/check_pages.py build/docs/README.html build/docs/docs/*.html build/docs/examples/README.html build/docs/topologies/README.html

spell: env ## spelling and grammar of pages, help and messages: codespell, our phrases, Harper (needs npm; a minute or more)
	$(bin)/python tools/check_words.py --grammar

docs: env ## the site of the documentation in build/docs, with every link checked; manual pages in build/man
	$(bin)/sphinx-build -q -W --keep-going -d build/doctrees -b html -c docs . build/docs
	$(bin)/python tools/make_man_pages.py build/man
	@echo "docs: open build/docs/index.html"

fmt: env ## format and fix what can be fixed
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

bench: env-ipex ## measure the launcher against numactl, run_cpu and ipexrun (about 15 minutes)
	@$(ipex)/python benchmarks/launch_overhead.py --ipex-python $(ipex)/python; launch=$$?; \
	$(ipex)/python benchmarks/embed_throughput.py --ipex-python $(ipex)/python && exit $$launch

outputs: env env-ipex env-light ## put real output of now into README.md and examples/README.md (about 3 minutes)
	$(bin)/python tools/refresh_outputs.py

numa-guest: env ## run CMD, or a shell, in a Linux guest of another SHAPE: make numa-guest SHAPE=8n CMD='numactl -H'
	@$(bin)/python -m tests.guest --shape $(SHAPE) -- $(CMD)

campaign-programs: env ## run thirty public programs under ipexlaunch; docs/developing.md gets the table (15 minutes)
	@$(bin)/python -m tests.programs.campaign --torch-index "$(TORCH_INDEX)" $(ARGS)

hooks: env ## install the pre-commit hooks (needs git)
	$(bin)/python -m pip install --quiet --group dev
	$(bin)/pre-commit install

release: env-package ## check version and changelog, build sdist and wheel into dist/, the same byte by byte (TRY=--try: in preparation)
	@$(package)/python tools/release.py $(TRY)

deb: env-package ## a Debian package for this distribution's Python, into dist/
	@$(package)/python tools/make_deb.py $(ARGS)

try-installing: env-package ## install with pip, uv and pipx on each Python, and run what people run (20 minutes)
	@$(package)/python tools/try_installing.py $(ARGS)

python:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "make: there is no $(PYTHON) here: apt-get install python3, or make ... PYTHON=/path/to/python" >&2; exit 2; }

env: python ## make .venv (the other targets do it where needed)
	@$(environment) test

env-ipex: python ## make .venv-ipex, with torch, IPEX and a model
	@$(environment) ipex --torch-index "$(TORCH_INDEX)"

env-light: python ## make .venv-light, with OpenVINO and a model, without torch
	@$(environment) light

env-torch: python ## make .venv-torch, with current torch, torchao and a model
	@$(environment) torch --torch-index "$(TORCH_INDEX)"

env-peers: python ## make .venv-peers, with the engines that benchmarks/engines.py compares ours with (llama.cpp is built)
	@$(environment) peers --torch-index "$(TORCH_INDEX)"

env-package: python ## make .venv-package, with what builds, checks and tries packages
	@$(environment) package

env-ray: python ## make .venv-ray, with Ray's core
	@$(environment) ray

clean: ## remove the environments, caches and results
	rm -rf .venv .venv-ipex .venv-light .venv-torch .venv-peers .venv-ray .venv-package .programs runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
