# `make music` and the other targets start from nothing but Python 3.11, 3.12 or 3.13.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
  if "$$python" -c '$(FITS)' 2>/dev/null; then echo "$$python"; break; fi; done)
UV_VERSION := 0.13.9
BUILDIFIER := npx --yes @bazel/buildifier@8.2.1
# Processes that share the tests, and what else pytest is told: make test PYTEST_ARGS="-k cells"
TEST_WORKERS ?= 2
PYTEST_ARGS ?=
# Which environments of make wheel-test, by the names in tests/install/wheel_check.py; without: most.
WHEEL_CASES ?=
# Which Python they are of: make wheel-test WHEEL_PYTHON=python3.13
export WHEEL_PYTHON ?=
# What else the study is told: make speech STUDY_ARGS=--variants=V,NFG
STUDY_ARGS ?=
BAZEL_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := .venv-bench
CUDA_VENV := .venv-cuda
DOCS_VENV := .venv-docs
IO_VENV := .venv-io
FANOVA_VENV := .venv-fanova
RAY_VENV := .venv-ray
KSERVE_VENV := .venv-kserve
INSTALLED := $(VENV)/installed

# What a recipe's processes import is compiled once, and found by the others.
unexport PYTHONDONTWRITEBYTECODE

# Recipes stop at the first command that fails, also inside a pipe.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@grep -hE '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z.-]+):.*## /  make \1\t/' | expand -t 22

# --- The environment ---

.PHONY: .venv
.venv: $(INSTALLED) ## the environment: every package of requirements_lock.txt, its hash checked

# pip stays in the environment: the offline stand-in of rules_python reads it. uv therefore
# installs beside it (`uv pip sync` would remove both). Compiled here once, TensorFlow starts in a
# third of the time wherever Python may not write bytecode itself.
$(INSTALLED): requirements_lock.txt
	@python="$(PYTHON)"; "$$python" -c '$(FITS)' 2>/dev/null || { \
	  echo "error: expected Python 3.11, 3.12 or 3.13, found $$("$${python:-python3}" -V 2>&1 | tail -n 1);" \
	    "name one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(BIN)/python -c '$(FITS)' 2>/dev/null || "$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
	  --require-hashes -r requirements_lock.txt
	@touch $@

.PHONY: lock
lock: $(INSTALLED) ## requirements_lock.txt again, from pyproject.toml (UPGRADE=--upgrade for newest versions)
	$(BIN)/uv pip compile pyproject.toml --extra all --extra bench --extra dev \
	  --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-header --quiet $(UPGRADE) -o requirements_lock.txt

# TensorFlow 2.16, under which tensorflow-io runs, knows no later Python than 3.12.
IO_FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
IO_PYTHON ?= $(shell for python in $(PYTHON) python3.12 python3.11; do \
  if "$$python" -c '$(IO_FITS)' 2>/dev/null; then echo "$$python"; break; fi; done)

$(IO_VENV)/installed: requirements_io_lock.txt | $(INSTALLED)
	@"$(IO_PYTHON)" -c '$(IO_FITS)' 2>/dev/null || { \
	  echo "error: expected Python 3.11 or 3.12 for tensorflow-io, name one: make IO_PYTHON=python3.12 ..." >&2; exit 2; }
	"$(IO_PYTHON)" -m venv --clear --without-pip $(IO_VENV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(IO_VENV)/bin/python \
	  --require-hashes -r requirements_io_lock.txt
	@touch $@

.PHONY: io-lock
io-lock: $(INSTALLED) ## requirements_io_lock.txt again: the environment of the extra [io]
	$(BIN)/uv pip compile --group io-test --universal --python-version 3.11 \
	  --generate-hashes --no-header --quiet $(UPGRADE) -o requirements_io_lock.txt

# pyrfr comes as source: about two minutes.
$(FANOVA_VENV)/installed: requirements_fanova_lock.txt | $(INSTALLED)
	$(BIN)/python -m venv --clear --without-pip $(FANOVA_VENV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(FANOVA_VENV)/bin/python \
	  --require-hashes -r requirements_fanova_lock.txt
	@touch $@

.PHONY: fanova-lock
fanova-lock: $(INSTALLED) ## requirements_fanova_lock.txt again: the environment of the extra [fanova]
	$(BIN)/uv pip compile pyproject.toml --extra study --extra fanova --group fanova-test --universal --python-version 3.11 \
	  --fork-strategy fewest --generate-hashes --no-header --quiet $(UPGRADE) -o requirements_fanova_lock.txt

# The site's tools stand beside the environment, which the notebooks run in.
$(DOCS_VENV)/installed: requirements_docs_lock.txt | $(INSTALLED)
	$(BIN)/python -m venv --clear --without-pip $(DOCS_VENV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(DOCS_VENV)/bin/python \
	  --require-hashes -r requirements_docs_lock.txt
	site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	$(BIN)/python -c "$$site" > "$$($(DOCS_VENV)/bin/python -c "$$site")/project.pth"
	@touch $@

.PHONY: docs-lock
docs-lock: $(INSTALLED) ## requirements_docs_lock.txt again: the tools of the site
	$(BIN)/uv pip compile --group docs --constraint requirements_lock.txt --universal --python-version 3.11 \
	  --fork-strategy fewest --generate-hashes --no-header --quiet $(UPGRADE) -o requirements_docs_lock.txt

.PHONY: docs
docs: $(DOCS_VENV)/installed ## the site, in build/site: a broken link, a failing notebook or an undocumented name is an error
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --site-dir build/site

# --- The study ---

.PHONY: music speech handwriting
music: ## the study of real chorales in minutes: report and exported model
speech: ## the same of synthetic speech
handwriting: ## the same of synthetic handwriting
music speech handwriting: $(INSTALLED)
	$(BIN)/python -m tuner.run --task=$@ --preset=quick $(STUDY_ARGS)

.PHONY: paper
paper: $(INSTALLED) ## the paper's three tasks in one plan, 5,400 trials: STUDY_ARGS=--dry_run says how long that takes here
	$(BIN)/python -m tuner.run --task=music,speech,handwriting $(STUDY_ARGS)

.PHONY: bench
bench: $(INSTALLED) ## the benchmarks: this project and its peers in one run
	$(BIN)/python -m benchmarks.run $(BENCH_ARGS)

# PyTorch stays out of the lock: it is large, and nothing but the benchmarks needs it.
.PHONY: bench-peers
bench-peers: ## PyTorch for the benchmarks, in an environment of its own
	"$(PYTHON)" -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy

# Ray stays out of the lock, too: it comes with much that is not needed for anything else.
.PHONY: bench-ray
bench-ray: $(RAY_VENV)/installed ## Ray Serve for the benchmark of serving, in an environment of its own

# Beside the environment, whose versions count.
$(RAY_VENV)/installed: requirements_lock.txt | $(INSTALLED)
	$(BIN)/python -m venv --clear --without-pip $(RAY_VENV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(RAY_VENV)/bin/python -c requirements_lock.txt 'ray[serve-grpc]==2.60.0'
	site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	$(BIN)/python -c "$$site" > "$$($(RAY_VENV)/bin/python -c "$$site")/project.pth"
	@touch $@

WEB_RUNTIME := build/npm/node_modules/onnxruntime-web/dist
WEB_ARGS ?=

.PHONY: web
web: $(INSTALLED) $(WEB_RUNTIME) ## the page that composes in the browser, in build/web and served to this machine (WEB_ARGS=--noserve)
	$(BIN)/python -m serving.composer.page --out=build/web --runtime=$(WEB_RUNTIME) $(WEB_ARGS)

# --- The checks ---

# Only files with examples: two commands in one process would both define --study_dir.
EXAMPLES = $(shell grep -rl --include='*.py' '>>> ' common serving tuner zoo)

.PHONY: test
test: $(INSTALLED) ## the tests, and the examples in the docstrings
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadscope --no-loadscope-reorder --doctest-modules tests $(EXAMPLES) $(PYTEST_ARGS)

.PHONY: test-slow
test-slow: $(INSTALLED) ## the tests marked slow
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadscope --no-loadscope-reorder -m slow --timeout 3600 tests $(PYTEST_ARGS)

.PHONY: io-test
io-test: $(IO_VENV)/installed ## the tests of tensorflow-io and of the front ends, in an environment with TensorFlow 2.16
	$(IO_VENV)/bin/python -m pytest tests/common/media/remote_audio_test.py $(wildcard tests/zoo/frontends)

BROWSER_TESTS := tests/tuner/analysis/report/browser_test.py tests/tuner/analysis/live/browser_test.py tests/serving/composer/browser_test.py

# Versions and hashes of axe-core and ONNX Runtime stand in npm's locks.
.PHONY: browser-test
browser-test: $(INSTALLED) chromium tests/browser/node_modules $(WEB_RUNTIME) ## the report's page, the live one and the composer's in Chromium: what they do, accessibility, no network
	BROWSER_TEST=1 $(BIN)/python -m pytest -m "slow or not slow" $(BROWSER_TESTS) $(PYTEST_ARGS)

tests/browser/node_modules: tests/browser/package-lock.json
	@command -v npm >/dev/null || { \
	  echo "error: npm was not found; axe-core comes from npm: install Node.js" >&2; exit 2; }
	npm ci --prefix tests/browser --no-audit --no-fund
	@touch $@

# Nothing but files: what would run while it is installed is for other uses of it.
$(WEB_RUNTIME): serving/composer/web/package-lock.json
	@command -v npm >/dev/null || { \
	  echo "error: npm was not found; ONNX Runtime for browsers comes from npm: install Node.js" >&2; exit 2; }
	mkdir -p build/npm
	cp serving/composer/web/package.json serving/composer/web/package-lock.json build/npm
	npm ci --prefix build/npm --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: chromium
chromium:
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
	  echo "error: Chromium and its driver were not found; install Debian's packages: apt-get install chromium chromium-driver" >&2; exit 2; \
	fi; \
	apt-get update -qq; \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver

.PHONY: fanova-test
fanova-test: $(FANOVA_VENV)/installed ## the back end fanova against the package itself, in an environment of its own
	$(FANOVA_VENV)/bin/python -m pytest tests/tuner/analysis/importance/fanova_package_test.py

# Beside the environment, and not in it: 190 MB that only GPUs need.
.PHONY: cuda-test
cuda-test: $(CUDA_VENV)/installed ## the engine `cuda`: compiled for all devices, on a driver without a GPU and on a GPU if there is one
	$(CUDA_VENV)/bin/python -m pytest -m "slow or not slow" tests/tuner/training/cuda $(PYTEST_ARGS)

$(CUDA_VENV)/installed: | $(INSTALLED)
	$(BIN)/python -m venv --clear --without-pip $(CUDA_VENV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(CUDA_VENV)/bin/python --no-deps \
	  cuda-bindings==13.5.0 cuda-core==1.2.2 cuda-pathfinder==1.9.1 \
	  nvidia-cuda-nvdisasm==13.5.37 nvidia-cuda-nvrtc==13.5.37
	site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	$(BIN)/python -c "$$site" > "$$($(CUDA_VENV)/bin/python -c "$$site")/project.pth"
	@touch $@

.PHONY: ray-test
ray-test: $(RAY_VENV)/installed ## studies on the nodes of a Ray cluster, all of them on this computer: killed, added, resumed
	$(RAY_VENV)/bin/python -m pytest tests/tuner/parallel/ray_test.py $(PYTEST_ARGS)

# KServe's package wants older versions of what the lock has.
.PHONY: deploy-check
deploy-check: $(KSERVE_VENV)/installed ## the manifest of KServe by KServe's own classes, in an environment of its own
	$(KSERVE_VENV)/bin/python tests/serving/kserve_check.py

$(KSERVE_VENV)/installed: | $(INSTALLED)
	$(BIN)/python -m venv --clear --without-pip $(KSERVE_VENV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(KSERVE_VENV)/bin/python kserve==0.21.0
	@touch $@

.PHONY: dist
dist: $(INSTALLED) ## the wheel and the source distribution, in dist/
	$(BIN)/uv build --quiet --clear --out-dir dist

.PHONY: wheel-test
wheel-test: $(INSTALLED) ## the wheel in a fresh environment for each extra, on TensorFlow and JAX (WHEEL_CASES=torch for PyTorch)
	$(BIN)/python -m tests.install.wheel_check $(WHEEL_CASES)

.PHONY: lint
lint: lint-python lint-build ## ruff, mypy, import-linter, buildifier

.PHONY: lint-python
lint-python: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: lint-build
lint-build:
	@command -v npx >/dev/null || { \
	  echo "error: npx was not found; buildifier comes from npm: install Node.js" >&2; exit 2; }
	find . \( -name '.?*' -o -name node_modules -o -name studies -o -name venv \) -prune -o -type f \
	  \( -name BUILD -o -name 'WORKSPACE*' -o -name MODULE.bazel -o -name '*.bzl' \) -print \
	  | sort | xargs $(BUILDIFIER) -mode=check -lint=warn -warnings=all

# Debian's Bazel 4.2, with no network: third_party/offline stands in for what Bazel would fetch.
# A cached pass proves nothing, hence --cache_test_results=no. The native engine is compiled once for
# all targets: their sandboxes share the folder of its machine code. (--test_env belongs to the build's
# configuration, too: alike, nothing is analyzed twice.)
BAZEL_TESTS := //...

.PHONY: bazel-test
bazel-test: $(INSTALLED) bazel-4 ## `bazel build //...` and `bazel test //...` offline, with Debian's Bazel
	export PYTHON_BIN_PATH="$$PWD/$(BIN)/python" NUMBA_CACHE_DIR="$$(mktemp -d)"; \
	trap 'third_party/offline/bazel.sh shutdown; rm -rf "$$NUMBA_CACHE_DIR"' EXIT; \
	third_party/offline/bazel.sh build //... --test_env=NUMBA_CACHE_DIR; \
	third_party/offline/bazel.sh test $(BAZEL_TESTS) --cache_test_results=no --test_env=NUMBA_CACHE_DIR \
	  --sandbox_writable_path="$$NUMBA_CACHE_DIR" $(BAZEL_ARGS)

.PHONY: bazel-smoke
bazel-smoke: BAZEL_TESTS := //:smoke
bazel-smoke: bazel-test ## the same with one short test: enough where `make test` has passed

.PHONY: bazel-4
bazel-4:
	@if command -v bazel-4 >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
	  echo "error: bazel-4 was not found; install Debian's package: apt-get install bazel-bootstrap" >&2; exit 2; \
	fi; \
	apt-get update -qq; \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends bazel-bootstrap

.PHONY: clean
clean: ## removes the environment and the tools' caches; studies stay
	rm -rf $(VENV) $(BENCH_VENV) $(CUDA_VENV) $(DOCS_VENV) $(FANOVA_VENV) $(IO_VENV) $(KSERVE_VENV) $(RAY_VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
