import numpy as np
import pytest

from serving.clients.errors import ServingError
from serving.clients.ragged import cut, pad, per_step, predict_sequences
from serving.runtime.specs import Signature, TensorSpec
from tests.serving.clients import known
from tests.serving.clients.known import Known


def _outputs(**shapes):
    return Signature({}, {name: TensorSpec("float32", shape) for name, shape in shapes.items()})


def test_padding_keeps_every_sequence():
    sequences = [np.ones((2, 3)), np.full((4, 3), 2.0), np.zeros((0, 3))]
    padded, lengths = pad(sequences)
    assert padded.shape == (3, 4, 3)
    assert lengths.tolist() == [2, 4, 0]
    assert lengths.dtype == np.int32
    for row, length, sequence in zip(padded, lengths, sequences, strict=True):
        np.testing.assert_array_equal(row[:length], sequence)
        assert not row[length:].any()


def test_padding_of_one_dimension_and_mixed_types():
    padded, lengths = pad([np.array([1], np.int16), [2.5, 3.5]])
    assert padded.tolist() == [[1.0, 0.0], [2.5, 3.5]]
    assert lengths.tolist() == [1, 2]


@pytest.mark.parametrize(
    "sequences", [[], [np.ones((2, 3)), np.ones((2, 4))], [np.ones(2), np.ones((2, 1))], [1.0]]
)
def test_what_is_no_list_of_sequences_is_refused(sequences):
    with pytest.raises(ValueError, match="Expected sequences .* that differ in time only"):
        pad(sequences)


def test_outputs_with_time_steps_are_told_by_the_signature():
    signature = _outputs(
        logits=(None, None, 3), classes=(None, None), h=(None, 4), text=(None,), odd=None
    )
    assert per_step(signature) == {"logits", "classes"}


def test_a_longer_batch_of_the_server_is_cut():
    signature = _outputs(logits=(None, None, 2), h=(None, 9))
    logits, h = np.arange(36.0).reshape(2, 9, 2), np.arange(18.0).reshape(2, 9)
    first, second = cut({"logits": logits, "h": h}, [3, 5], signature)
    np.testing.assert_array_equal(first["logits"], logits[0, :3])
    np.testing.assert_array_equal(second["logits"], logits[1, :5])
    np.testing.assert_array_equal(second["h"], h[1])


def test_frames_count_where_the_model_makes_them():
    signature = _outputs(logits=(None, None, 2), frames=(None,))
    logits = np.arange(16.0).reshape(2, 4, 2)
    answers = cut({"logits": logits, "frames": np.array([2, 0])}, [1600, 100], signature)
    assert [len(answer["logits"]) for answer in answers] == [2, 0]
    assert answers[0]["frames"] == 2


class Batching(Known):
    """Returns outputs as a server that has padded others' requests into the batch."""

    def predict(self, inputs, signature="serving_default"):
        answer = super().predict(inputs, signature)
        longer = np.pad(answer["logits"], ((0, 0), (0, 5), (0, 0)), constant_values=np.nan)
        return {**answer, "logits": longer}


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_sequences_are_answered_one_by_one(batch):
    model = Batching()
    sequences = [known.frames(1, times, times)[0] for times in (3, 6, 1, 4, 2)]
    answers = predict_sequences(model, sequences, batch=batch)
    assert [len(inputs["lengths"]) for _, inputs in model.calls] == {
        1: [1] * 5,
        2: [2, 2, 1],
        64: [5],
    }[batch]
    for sequence, answer in zip(sequences, answers, strict=True):
        alone = known.predict({"sequence": sequence[None], "lengths": np.array([len(sequence)])})
        assert answer["logits"].shape == (len(sequence), known.OUTPUTS)
        np.testing.assert_allclose(answer["logits"], alone["logits"][0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(answer["h"], alone["h"][0], rtol=1e-4, atol=1e-6)


def test_no_sequences_have_no_answers():
    assert predict_sequences(Known(), []) == []


@pytest.mark.parametrize("signature", ["step", "chunk"])
def test_a_signature_with_other_inputs_is_refused(signature):
    with pytest.raises(ServingError, match=f"lengths and one more. Received: {signature}"):
        predict_sequences(Known(), [np.ones((2, 5))], signature)
