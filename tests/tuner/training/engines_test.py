import importlib
import sys
from types import SimpleNamespace

import pytest
import tensorflow as tf

from common.errors import InputError
from tuner.training import engines
from tuner.training.engines import Choice


@pytest.fixture
def no_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    # What Python raises for it is an ImportError.
    monkeypatch.setitem(sys.modules, "numba", None)


def test_cpus_get_the_native_engine_without_a_word() -> None:
    assert engines.choose("auto") == engines.choose("native") == Choice("native", "")


def test_an_accelerator_gets_keras_unless_native_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [SimpleNamespace(device_type=kind) for kind in ("CPU", "GPU")]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda: devices)
    choice = engines.choose("auto")
    assert choice.engine == "keras" and "GPU" in choice.reason
    assert engines.choose("native") == Choice("native")


@pytest.mark.usefixtures("no_numba")
def test_without_numba_auto_takes_keras_and_native_is_refused() -> None:
    choice = engines.choose("auto")
    assert choice.engine == "keras" and "Numba" in choice.reason
    with pytest.raises(InputError, match="--engine=native: needs Numba") as caught:
        engines.choose("native")
    assert "\n" not in str(caught.value)


def test_what_only_keras_can_do_gets_keras() -> None:
    choice = engines.choose("auto", keras_for="--strategy=mirrored")
    assert choice == Choice("keras", "--strategy=mirrored needs it")
    assert engines.choose("keras", keras_for="--strategy=mirrored") == Choice("keras")
    with pytest.raises(InputError, match="--strategy=mirrored needs --engine=keras"):
        engines.choose("native", keras_for="--strategy=mirrored")


def test_engines_are_imported_by_name() -> None:
    reference = importlib.import_module("tuner.training.keras_engine")
    assert engines.load("keras") is reference.train
