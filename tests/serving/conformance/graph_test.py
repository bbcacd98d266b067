"""What is in an export's graph, and what must not be: it shall run on any server."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pool, message_factory

from serving.clients import checks
from serving.clients.errors import ServingError
from serving.clients.local import LocalModel
from serving.graph import signatures
from serving.graph.inference import Network
from serving.publish import warmup
from tests import commands
from tests.serving import made_up
from tests.serving.conformance.exported import Exported
from tests.zoo import harness

# Operations that want XLA, a GPU's library, or Python begin so.
FORBIDDEN = ("Cudnn", "EagerPyFunc", "Py", "Xla", "_")

# What a node or a function says that wants XLA, or has a gradient of its own.
ATTRIBUTES = ("_XlaCompile", "_XlaMustCompile", "_gradient_op_type")


def read_graph(folder: pathlib.Path) -> Any:
    """Reads the `MetaGraphDef` of a SavedModel: graph, functions, signatures."""
    # TensorFlow has no public name for the message, but registers it when it is imported.
    package = tf.compat.v1.MetaGraphDef.DESCRIPTOR.file.package
    kind = descriptor_pool.Default().FindMessageTypeByName(f"{package}.SavedModel")
    content = (folder / "saved_model.pb").read_bytes()
    return message_factory.GetMessageClass(kind).FromString(content).meta_graphs[0]


def parts(content: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yields name, nodes, and attributes of what a request runs: graph and functions.

    That is all but what reads and writes the variables, which TensorFlow itself keeps on the CPU.
    """
    graph = content.graph_def
    nodes = {node.name: node for node in graph.node}
    functions = {function.signature.name: function for function in graph.library.function}
    outputs = [
        info.name
        for signature in content.signature_def.values()
        for info in signature.outputs.values()
    ]
    reached: dict[str, Any] = {}
    waiting = [_node_of(name) for name in outputs if name]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached[name] = nodes[name]
            waiting += map(_node_of, nodes[name].input)
    yield "graph", list(reached.values()), {}
    called = set(_called(reached.values()))
    while True:
        more = {n for name in called for n in _called(functions[name].node_def)} - called
        if not more:
            break
        called |= more
    for name in sorted(called):
        yield name, functions[name].node_def, functions[name].attr


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").split(":")[0]


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    for node in nodes:
        for value in node.attr.values():
            yield from filter(None, [value.func.name, *(f.name for f in value.list.func)])


def faults(content: Any) -> list[str]:
    """What a server might not have or not do."""
    found = []
    for part, nodes, attributes in parts(content):
        found += [f"{part}: {name}" for name in ATTRIBUTES if _set(attributes, name)]
        for node in nodes:
            where = f"{part}, {node.name}"
            found += [f"{where}: {name}" for name in ATTRIBUTES if _set(node.attr, name)]
            if node.op.startswith(FORBIDDEN):
                found.append(f"{where}: {node.op}")
            if node.device:
                found.append(f"{where}: on {node.device}")
    return found


def _set(attributes: Any, name: str) -> bool:
    return name in attributes and bool(attributes[name].b or attributes[name].s)


@harness.some_variants
def test_no_operation_needs_more_than_any_tensorflow(exported: Exported, code: str) -> None:
    content = read_graph(exported.version(code))
    assert faults(content) == []
    operations = {node.op for _, nodes, _ in parts(content) for node in nodes}
    assert {"MatMul", "ReadVariableOp", "Sigmoid"} < operations
    assert operations & {"While", "StatelessWhile"}
    # Those that the walk leaves out want no more than a CPU.
    devices = {node.device for f in content.graph_def.library.function for node in f.node_def}
    assert all(device in ("", "/device:CPU:0", "/device:CPU:*") for device in devices)


def test_a_step_has_no_loop(exported: Exported) -> None:
    content = read_graph(exported.version("V"))
    loops = {}
    for name in ("step", "chunk"):
        one = type(content).FromString(content.SerializeToString())
        for other in set(one.signature_def) - {name}:
            del one.signature_def[other]
        loops[name] = {node.op for _, nodes, _ in parts(one) for node in nodes} & {
            "While",
            "StatelessWhile",
        }
    assert loops["chunk"] and not loops["step"]


@pytest.mark.parametrize("device", ["/CPU:0", "/GPU:0"])
def test_the_device_of_the_export_is_not_in_it(tmp_path: pathlib.Path, device: str) -> None:
    model = made_up.make_network("V", 3)
    endpoints = signatures.endpoints(Network.of(model, "V"), signatures.Meaning())
    with tf.device(device):
        signatures.write_saved_model(model, {"step": endpoints["step"]}, tmp_path)
    assert faults(read_graph(tmp_path)) == []


def test_variables_that_are_not_the_networks_are_in_it_too(tmp_path: pathlib.Path) -> None:
    """Those of a front end that somebody else wrote."""
    scale = tf.Variable(3.0)
    endpoint = signatures.Endpoint(lambda x: {"y": scale * x}, [tf.TensorSpec((None,), name="x")])
    signatures.write_saved_model(
        made_up.make_network("V", 3), {"serving_default": endpoint}, tmp_path
    )
    with LocalModel(tmp_path) as model:
        np.testing.assert_array_equal(model.predict({"x": [1.0, 2.0]})["y"], [3.0, 6.0])


@pytest.mark.parametrize("kind", ["device", "xla", "python", "gradient"])
def test_a_fault_is_found(tmp_path: pathlib.Path, kind: str) -> None:
    def compute(x: tf.Tensor) -> tf.Tensor:
        if kind == "device":
            with tf.device("/CPU:0"):
                return tf.tanh(x)
        if kind == "python":
            return tf.py_function(lambda y: y, [x], tf.float32)
        if kind == "gradient":
            return tf.custom_gradient(lambda y: (tf.tanh(y), lambda d: d))(x)
        return tf.function(tf.tanh, jit_compile=True)(x)

    module = tf.Module()
    module.compute = tf.function(compute, input_signature=[tf.TensorSpec((None,))])
    tf.saved_model.save(module, str(tmp_path), signatures=module.compute)
    assert faults(read_graph(tmp_path)) != []


@pytest.mark.parametrize("code", ["V", "FGR"])
def test_a_stream_is_the_whole_sequence_with_this_tensorflow_too(
    exported: Exported, code: str
) -> None:
    sequence = np.random.default_rng(4).normal(size=(1, 9, made_up.FEATURES)).astype(np.float32)
    with LocalModel(exported.version(code)) as model:
        whole = model.predict({"sequence": sequence, "lengths": [9]})
        names = [name for name in whole if name != "logits"]
        states = {name: np.zeros_like(whole[name]) for name in names}
        for time in range(9):
            answer = model.predict({"frame": sequence[:, time], **states}, "step")
            np.testing.assert_array_equal(answer["logits"], whole["logits"][:, time])
            states = {name: answer[f"next_{name}"] for name in names}
        for name in names:
            np.testing.assert_array_equal(states[name], whole[name])
        empty = model.predict({"sequence": sequence[:, :0], "lengths": [0]})
        assert empty["logits"].shape == (1, 0, made_up.OUTPUTS)
        assert not any(empty[name].any() for name in names)
        nothing = {"sequence": sequence[:, :0], "lengths": [0], **states}
        for name, value in model.predict(nothing, "chunk").items():
            if name != "logits":
                np.testing.assert_array_equal(value, states[name.removeprefix("next_")])


def test_saved_model_cli_shows_and_runs(exported: Exported, tmp_path: pathlib.Path) -> None:
    version = exported.version("V")
    sequence = np.random.default_rng(5).normal(size=(2, 4, made_up.FEATURES)).astype(np.float32)
    inputs = {"sequence": sequence, "lengths": np.array([4, 2], np.int32)}
    np.savez(tmp_path / "in.npz", **inputs)
    # What the command saved_model_cli runs.
    tool = "tensorflow.python.tools.saved_model_cli"
    one = ["--dir", str(version), "--tag_set", "serve", "--signature_def", "serving_default"]
    given = ";".join(f"{name}={tmp_path}/in.npz[{name}]" for name in inputs)
    shown = commands.run(tool, "show", "--dir", str(version), "--all")
    ran = commands.run(tool, "run", *one, "--inputs", given, "--outdir", str(tmp_path))
    assert (shown.returncode, ran.returncode) == (0, 0)
    for name in ("serving_default", "step", "chunk"):
        assert f"signature_def['{name}']" in shown.stdout
    with LocalModel(version) as model:
        for name, value in model.predict(inputs).items():
            np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), value)


@pytest.mark.parametrize("name", ["serving_default", "chunk", "step"])
def test_inputs_of_different_batch_sizes_are_refused(exported: Exported, name: str) -> None:
    """One row would count for all, and rows without frames for bytes that nobody has sent."""
    with LocalModel(exported.version("V")) as model:
        inputs = warmup.sample(model.signatures()[name], batch=3, frames=2)
        assert len(model.predict(inputs, name)["logits"]) == 3
        first = next(key for key in ("sequence", "frame") if key in inputs)
        others = [{key: inputs[key][:1]} for key in inputs.keys() - {first}]
        if name != "step":
            others.append({first: np.zeros((400_000, 0, made_up.FEATURES), np.float32)})
        for other in others:
            with (
                pytest.MonkeyPatch.context() as patch,
                pytest.raises(ServingError, match="one batch size") as caught,
            ):
                # As whoever sends no request by our client.
                patch.setattr(checks, "prepared", lambda where, spec, given: given)
                given = {**inputs, **other}
                model.predict({key: given[key] for key in sorted(given)}, name)
            assert caught.value.code == "INVALID_ARGUMENT"
