"""Settings of every test process, made before the first import of TensorFlow or Keras."""

import contextlib
import functools
import gc
import importlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator

import pytest

# Bazel keeps the home folder away from tests; Keras, Hypothesis and Matplotlib want to write.
_SCRATCH = os.environ.get("TEST_TMPDIR")
if _SCRATCH:
    os.environ.setdefault("HOME", _SCRATCH)
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.path.join(_SCRATCH, "hypothesis"))
    tempfile.tempdir = _SCRATCH

# Tests run in several processes at once, on small shapes: more threads would only get in their way.
for _variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# XLA's programs run once or twice here: compiling them well would take longer than it saves.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_llvm_disable_expensive_passes=true",
)
os.environ.setdefault("MPLBACKEND", "agg")
# A keras.json in the user's home folder must not choose what is tested.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
if os.environ["KERAS_BACKEND"] == "jax":
    # Nothing needs it there; where it can be imported, Keras does so to save a layer.
    sys.modules["tensorflow"] = None  # type: ignore[assignment]

# Tests start commands as a user does (`python -m tuner.run`), from folders of their own.
# abspath, not resolve: under Bazel the files are links out of the sandbox.
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PATHS = os.environ.get("PYTHONPATH", "").split(os.pathsep)
if _ROOT not in _PATHS:
    os.environ["PYTHONPATH"] = os.pathsep.join([_ROOT, *filter(None, _PATHS)])


# Not even to look for examples in it: it is for processes with that backend.
collect_ignore_glob = [] if os.environ["KERAS_BACKEND"] == "jax" else ["**/on_jax.py"]


@pytest.hookimpl(tryfirst=True)
def pytest_make_collect_report(collector: pytest.Collector) -> None:
    """Lets the second of several processes import the tests beginning with the last.

    Each imports all of them. What one has compiled, with rewritten assertions, the other reads.
    """
    config = collector.config
    worker = getattr(config, "workerinput", {}).get("workerid")
    # What is printed while a file is collected, pytest captures.
    if worker == "gw1" and "tests" in config.args and isinstance(collector, pytest.File):
        _import_last_half()


@functools.cache
def _import_last_half() -> None:
    files = sorted(pathlib.Path(_ROOT, "tests").rglob("*_test.py"), reverse=True)
    for path in files[: len(files) // 2]:
        # What is wrong with a module, its own collection will say.
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(path.relative_to(_ROOT).with_suffix("").parts))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Lets the short tests of `common` come last, so that processes that share tests end together.

    With `--dist loadscope --no-loadscope-reorder` pytest-xdist hands out whole modules in this
    order: divided, a module would set up twice what its tests share.
    """
    if hasattr(config, "workerinput"):
        # One test of most of a minute, which nothing should have to wait for at the end, is first.
        items.sort(key=lambda item: (item.path.name == "jax_test.py", item.path), reverse=True)


def pytest_collection_finish() -> None:
    """Spares the garbage collector, which Keras calls often, what the imported modules hold."""
    gc.collect()
    gc.freeze()
    # Traced graphs are many small objects, nearly all of which stay: look at them less often.
    gc.set_threshold(20_000, 50, 100)


@pytest.fixture
def small_blocks() -> Iterator[None]:
    """See `tests.zoo.harness.small_blocks`."""
    from tests.zoo import harness

    with harness.small_blocks():
        yield


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """Chromium, see `tests.browser.chromium`; without it the tests are skipped."""
    # Late: Selenium is for these tests alone.
    from tests.browser import chromium

    browser = chromium.start(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.driver.quit()
