"""A SavedModel by TensorFlow's C library: types, failures, and others who use the same symbols."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from serving.graph import signatures
from serving.graph.inference import Network
from serving.runtime import saved_model
from serving.runtime.c_api import Failure
from serving.runtime.session import ONEDNN, Session
from tests.serving import made_up

v1 = tf.compat.v1


def save(folder: pathlib.Path, function: object, *specs: tf.TensorSpec) -> pathlib.Path:
    """Saves a function as `serving_default`."""
    endpoint = tf.function(function).get_concrete_function(*specs)
    tf.saved_model.save(tf.Module(), str(folder), {"serving_default": endpoint})
    return folder


TYPES = ["float16", "float32", "float64", "int8", "int64", "uint32", "bool", "string"]


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_and_shape_comes_back_as_it_went(dtype: str, tmp_path: pathlib.Path) -> None:
    spec = tf.TensorSpec(None, dtype, "x")
    folder = save(tmp_path / "1", lambda x: {"y": tf.identity(x)}, spec)
    session = Session(folder)
    for shape in ((), (3,), (2, 0, 3), (2, 3)):
        count = int(np.prod(shape))
        if dtype == "string":
            values = np.empty(shape, object)
            values.reshape(-1)[:] = [bytes([i]) * 20 * i for i in range(count)]
        else:
            values = np.arange(count).reshape(shape).astype(dtype)
        answer = session.run("serving_default", {"x": values})["y"]
        assert (answer.dtype, answer.shape) == (values.dtype, values.shape)
        assert answer.tolist() == values.tolist()
    session.close()


def test_outputs_are_chosen_and_inputs_may_be_none(tmp_path: pathlib.Path) -> None:
    session = Session(
        save(tmp_path / "1", lambda: {"a": tf.constant([1.0]), "b": tf.constant([2])})
    )
    assert session.signatures["serving_default"].inputs == {}
    assert list(session.run("serving_default", {}, ["b"])) == ["b"]
    assert session.run("serving_default", {}).keys() == {"a", "b"}


def test_a_type_that_numpy_lacks_is_a_failure(tmp_path: pathlib.Path) -> None:
    spec = tf.TensorSpec((None,), "float32", "x")
    session = Session(save(tmp_path / "1", lambda x: {"y": tf.cast(x, tf.bfloat16)}, spec))
    with pytest.raises(Failure, match="DataType 14") as caught:
        session.run("serving_default", {"x": np.ones(2, np.float32)})
    assert caught.value.code == 12


def endless(x: tf.Tensor) -> dict[str, tf.Tensor]:
    """Takes as long as somebody waits."""
    return {"y": tf.while_loop(lambda y: tf.reduce_all(y >= 0), lambda y: [y * 0.5], [x])[0]}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("endless") / "1"
    return Session(save(folder, endless, tf.TensorSpec((None,), "float32", "x")))


def test_time_is_limited_and_the_next_call_is_answered(busy: Session) -> None:
    with pytest.raises(Failure) as caught:
        busy.run("serving_default", {"x": np.ones(1, np.float32)}, seconds=0.05)
    assert caught.value.code == 4
    negative = -np.ones(1, np.float32)
    assert busy.run("serving_default", {"x": negative})["y"] == negative


def test_closing_waits_for_those_who_use_it(busy: Session) -> None:
    failures = []

    def use() -> None:
        try:
            busy.run("serving_default", {"x": np.ones(1, np.float32)}, seconds=0.5)
        except Failure as error:
            failures.append(error.code)

    user = threading.Thread(target=use)
    user.start()
    while not busy._running:
        pass
    busy.close()
    busy.close()
    user.join()
    assert failures == [4]
    with pytest.raises(Failure, match="the model is closed") as caught:
        busy.run("serving_default", {"x": np.ones(1, np.float32)})
    assert caught.value.code == 1


@pytest.fixture
def old_control_flow() -> Iterator[None]:
    """Loops of `Enter` and `Switch`, not of `While`."""
    v1.disable_control_flow_v2()
    yield
    v1.enable_control_flow_v2()


@pytest.mark.usefixtures("old_control_flow")
@pytest.mark.parametrize("has_loop", [True, False])
def test_graphs_that_need_the_parallel_executor_get_it(
    has_loop: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ONEDNN, "0")
    with v1.Session(graph=tf.Graph()) as session:
        x = v1.placeholder(tf.float32, [None])
        if has_loop:
            # The least power of two times x that is more than 20.
            y = tf.while_loop(lambda y: tf.reduce_all(y < 20), lambda y: [2 * y], [x])[0]
        else:
            y = x * v1.Variable(3.0, use_resource=False)
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(tmp_path / "1"), {"x": x}, {"y": y})
    run = Session(tmp_path / "1").run
    answer = run("serving_default", {"x": np.array([7.0], np.float32)})
    assert answer["y"] == [28.0 if has_loop else 21.0]


STREAM = """
import pathlib, sys
import numpy as np
from serving.runtime.session import Session
run = Session(pathlib.Path(sys.argv[1])).run
x = np.random.default_rng(4).normal(size=(1, 9, int(sys.argv[2]))).astype(np.float32)
whole = run("serving_default", {"sequence": x, "lengths": np.array([9], np.int32)})
states = {name: np.zeros_like(whole[name]) for name in ("h", "c")}
for time in range(9):
    answer = run("step", {"frame": x[:, time], **states})
    assert (answer["logits"] == whole["logits"][:, time]).all(), time
    states = {name: answer[f"next_{name}"] for name in states}
assert all((states[name] == whole[name]).all() for name in states)
"""


@pytest.mark.parametrize("onednn", ["0", "1"])
def test_a_stream_is_the_whole_sequence_with_either_executor(
    onednn: str, tmp_path: pathlib.Path
) -> None:
    network = made_up.make_network("V", 60)
    endpoints = signatures.endpoints(Network.of(network, "V"), signatures.Meaning())
    signatures.write_saved_model(network, endpoints, tmp_path)
    command = [sys.executable, "-c", STREAM, str(tmp_path), str(made_up.FEATURES)]
    subprocess.run(command, check=True, env={**os.environ, ONEDNN: onednn})


def test_what_is_no_saved_model_is_an_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x12\xff")
    with pytest.raises(InputError, match="expected a SavedModel. Received: damaged"):
        Session(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(InputError, match="with the tag serve. Received: none"):
        Session(tmp_path)


def test_versions_are_named_by_numbers(tmp_path: pathlib.Path) -> None:
    for name in ("0012", "1", "v3", ".tmp-4", "5x", "99999999999999999999", "1.5", "-7"):
        (tmp_path / name).mkdir()
    assert saved_model.find_versions(tmp_path) == {1: tmp_path / "1", 12: tmp_path / "0012"}


def test_variables_that_are_missing_are_a_failure(tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.w = tf.Variable(2.0)
    module.f = tf.function(lambda x: {"y": x * module.w})
    endpoint = module.f.get_concrete_function(tf.TensorSpec((None,), "float32", "x"))
    tf.saved_model.save(module, str(tmp_path / "1"), {"serving_default": endpoint})
    (tmp_path / "1" / "variables" / "variables.data-00000-of-00001").unlink()
    with pytest.raises(Failure):
        Session(tmp_path / "1")
    (tmp_path / "1" / "variables" / "variables.index").unlink()
    with pytest.raises(InputError, match=r"expected variables.variables\.index beside it"):
        Session(tmp_path / "1")


def test_others_keep_their_own_symbols(tmp_path: pathlib.Path) -> None:
    """TensorFlow brings a copy of OpenSSL, by which Python's own would crash."""
    folder = save(tmp_path / "1", lambda x: {"y": x + 1}, tf.TensorSpec((None,), "float32", "x"))
    code = f"""
import pathlib, sys
import numpy as np
from serving.runtime.session import Session
session = Session(pathlib.Path({str(folder)!r}))
import hashlib, hmac, ssl
ssl.create_default_context()
hashlib.new("sha512", b"x")
hmac.new(b"a", b"b", "sha256").digest()
assert session.run("serving_default", {{"x": np.ones(1, np.float32)}})["y"] == [2]
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
