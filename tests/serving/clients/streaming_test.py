import numpy as np
import pytest

from serving.clients.errors import ServingError
from serving.clients.streaming import Stream
from serving.runtime.specs import Signature, TensorSpec
from tests.serving.clients import known
from tests.serving.clients.known import Known


class Told(Known):
    """Says that its signatures are others."""

    def __init__(self, **signatures):
        super().__init__()
        self._signatures = signatures

    def signatures(self):
        return self._signatures


def test_steps_are_the_whole_sequence():
    frames = known.frames(2, 6)
    whole = known.predict({"sequence": frames, "lengths": np.array([6, 6])})
    stream = Stream(Known(), batch=2)
    for time in range(6):
        answer = stream.step(frames[:, time])
        assert list(answer) == ["logits"]
        np.testing.assert_array_equal(answer["logits"], whole["logits"][:, time])
    np.testing.assert_array_equal(stream.states["h"], whole["h"])
    np.testing.assert_array_equal(stream.states["c"], whole["c"])


def test_chunks_and_steps_are_the_whole_sequence():
    frames = known.frames(3, 7)
    whole = known.predict({"sequence": frames, "lengths": np.array([7, 7, 7])})
    stream = Stream(Known(), batch=3)
    first = stream.chunk(frames[:, :3])
    middle = stream.step(frames[:, 3])
    last = stream.chunk(frames[:, 4:], lengths=[3, 2, 3])
    assert sorted(first) == ["classes", "logits"]
    np.testing.assert_array_equal(first["logits"], whole["logits"][:, :3])
    np.testing.assert_array_equal(middle["logits"], whole["logits"][:, 3])
    np.testing.assert_array_equal(last["logits"][[0, 2]], whole["logits"][[0, 2], 4:])
    shorter = known.predict({"sequence": frames, "lengths": np.array([7, 6, 7])})
    np.testing.assert_array_equal(stream.states["h"], shorter["h"])


def test_reset_begins_anew():
    frames = known.frames(1, 3)
    stream = Stream(Known())
    first = stream.chunk(frames)
    assert np.abs(stream.states["c"]).min() > 0
    stream.reset()
    assert np.abs(stream.states["c"]).max() == 0
    np.testing.assert_array_equal(stream.chunk(frames)["logits"], first["logits"])


def test_kept_states_go_on():
    frames = known.frames(1, 4)
    stream = Stream(Known())
    stream.chunk(frames[:, :3])
    kept = stream.states
    stream.states["h"][:] = 9
    assert np.abs(stream.states["h"]).max() <= 1, "what is read is a copy too"
    once = stream.step(frames[:, 3])
    kept["h"] += 0.0
    stream.states = kept
    np.testing.assert_array_equal(stream.step(frames[:, 3])["logits"], once["logits"])
    kept["h"] += 1.0
    assert np.abs(stream.states["h"]).max() <= 1, "what was assigned is a copy"


def test_states_of_another_shape_are_refused():
    stream = Stream(Known())
    with pytest.raises(ValueError, match=r"Expected states of the shapes .*'h': \(1, 4\)"):
        stream.states = {"h": np.zeros((2, 4)), "c": np.zeros((1, 4))}
    with pytest.raises(ValueError, match="Received: {'h'"):
        stream.states = {"h": np.zeros((1, 4))}


def test_a_failed_step_leaves_the_states():
    class Failing(Known):
        def predict(self, inputs, signature="serving_default"):
            if len(self.calls) == 1:
                raise ServingError("UNAVAILABLE", "gone")
            return super().predict(inputs, signature)

    stream = Stream(Failing())
    stream.step(known.frames(1, 1)[:, 0])
    states = stream.states
    with pytest.raises(ServingError, match="gone"):
        stream.step(known.frames(1, 1)[:, 0])
    np.testing.assert_array_equal(stream.states["h"], states["h"])


def test_any_states_are_found():
    shape = (None, 12)
    step = Signature(
        {"frame": TensorSpec("float32", (None, 5)), "gates": TensorSpec("float64", shape)},
        {"logits": TensorSpec("float32", (None, 3)), "next_gates": TensorSpec("float64", shape)},
    )
    (state,) = Stream(Told(step=step), batch=4).states.items()
    assert state[0] == "gates"
    assert (state[1].shape, state[1].dtype) == ((4, 12), np.float64)


@pytest.mark.parametrize("shape", [None, (None, None)])
def test_a_state_of_unknown_size_is_refused(shape):
    spec = TensorSpec("float32", shape)
    with pytest.raises(ServingError, match="expected the input h to be a state of a known size"):
        Stream(Told(step=Signature({"h": spec}, {"next_h": spec})))


def test_a_state_without_a_next_value_is_refused():
    spec = TensorSpec("float32", (None, 2))
    with pytest.raises(ServingError, match="with an output next_h.*outputs h"):
        Stream(Told(step=Signature({"h": spec}, {"h": spec})))


def test_a_model_that_does_not_stream_is_refused():
    with pytest.raises(ServingError, match="signature step or chunk.*Received: serving_default"):
        Stream(Told(serving_default=known.SIGNATURES["serving_default"]))


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="at least one sequence. Received: 0"):
        Stream(Known(), batch=0)
