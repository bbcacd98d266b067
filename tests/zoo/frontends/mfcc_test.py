from __future__ import annotations

import math
import re
import struct
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from tests.zoo import harness
from zoo.frontends import MFCC

# What HTK's configurations say, as arguments; 5 warps frequencies, which the layer does not.
HTK = {
    1: {"preemphasis": 0, "energy": "c0"},
    2: {"preemphasis": 0},
    3: {"preemphasis": 0, "lower_frequency": 20},
    4: {},
    6: {"filters": 24, "lower_frequency": 125, "upper_frequency": 7800, "energy": "c0"},
}

# Every argument away from its default at least once.
OPTIONS: list[dict[str, Any]] = [
    {},
    {"power": False, "filters": 26, "lifter": 0, "energy": "c0"},
    {"coefficients": 8, "filters": 15, "delta_window": 3, "lifter": 10, "preemphasis": 0.5},
    {"sample_rate": 8000, "frame_length": 200, "frame_step": 80, "fft_length": 256},
    {"frame_length": 301, "frame_step": 97, "fft_length": 400, "delta_window": 1},
    {"lower_frequency": 300, "upper_frequency": 3400.0, "preemphasis": 0, "filters": 20},
    # A bin between the limit and the limit rounded: HTK leaves it out.
    {"lower_frequency": 110, "upper_frequency": 7820, "filters": 40, "coefficients": 20},
]


def _numpy(audio: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    """The features of one sequence in float64, frame by frame, filters bin by bin as HTK does."""
    config = {**MFCC().get_config(), **options}
    if "upper_frequency" not in options:
        config["upper_frequency"] = config["sample_rate"] / 2
    length, step = config["frame_length"], config["frame_step"]
    frames = max(0, 1 + (len(audio) - length) // step)
    static = [_static(audio[t * step : t * step + length], config) for t in range(frames)]
    deltas = _deltas(static, config["delta_window"])
    accelerations = _deltas(deltas, config["delta_window"])
    return np.concatenate([static, deltas, accelerations], axis=1)


def _static(frame: np.ndarray, config: dict[str, Any]) -> list[float]:
    x = [float(sample) for sample in frame]
    p, size = config["preemphasis"], len(x)
    y = [x[0] - p * x[0]] + [x[i] - p * x[i - 1] for i in range(1, size)]
    y = [y[i] * (0.54 - 0.46 * math.cos(2 * math.pi * i / (size - 1))) for i in range(size)]
    spectrum = np.abs(np.fft.fft(np.array(y + [0.0] * (config["fft_length"] - size))))
    if config["power"]:
        spectrum = spectrum**2
    m = [math.log(max(value, 1.0)) for value in _filter(spectrum, config)]
    count, lifter = config["filters"], config["lifter"]

    def cosine(k: int) -> float:
        terms = (m[j - 1] * math.cos(math.pi * k * (j - 0.5) / count) for j in range(1, count + 1))
        return math.sqrt(2 / count) * sum(terms)

    c = [cosine(k) for k in range(1, config["coefficients"] + 1)]
    if lifter:
        c = [v * (1 + lifter / 2 * math.sin(math.pi * k / lifter)) for k, v in enumerate(c, 1)]
    if config["energy"] == "c0":
        return [*c, cosine(0)]
    return [*c, math.log(max(sum(value * value for value in x), 1e-10))]


def _filter(spectrum: np.ndarray, config: dict[str, Any]) -> list[float]:
    """Adds each bin to the two filters beside it, as HTK's HSigP.c does, bins counted from 1."""
    count, size, rate = config["filters"], config["fft_length"], config["sample_rate"]
    low, high = config["lower_frequency"], config["upper_frequency"]

    def mel(frequency: float) -> float:
        return 1127 * math.log(1 + frequency / 700)

    centers = [
        mel(low) + channel / (count + 1) * (mel(high) - mel(low)) for channel in range(count + 2)
    ]
    sums = [0.0] * (count + 2)
    first = max(2, int(low * size / rate + 2.5))
    last = min(size // 2, int(high * size / rate + 0.5))
    for k in range(first, last + 1):
        position = mel((k - 1) * rate / size)
        channel = 0
        while channel <= count and centers[channel + 1] < position:
            channel += 1
        weight = (centers[channel + 1] - position) / (centers[channel + 1] - centers[channel])
        sums[channel] += weight * spectrum[k - 1]
        sums[channel + 1] += (1 - weight) * spectrum[k - 1]
    return sums[1:-1]


def _deltas(values: list[Any], window: int) -> list[Any]:
    last = len(values) - 1
    rows = [np.asarray(value) for value in values]
    return [
        sum(k * (rows[min(t + k, last)] - rows[max(t - k, 0)]) for k in range(1, window + 1))
        / (2 * sum(k * k for k in range(1, window + 1)))
        for t in range(len(rows))
    ]


def _audio(samples: int, seed: int = 0) -> np.ndarray:
    """A gliding tone in noise, louder and louder, so that no two frames are alike."""
    generator = np.random.default_rng(seed)
    t = np.arange(samples) / 16_000
    tone = np.sin(2 * np.pi * (300 + 2500 * t) * t) * (200 + 4000 * t)
    return np.rint(tone + generator.normal(scale=50, size=samples)).astype(np.float32)


def _features(layer: MFCC, audio: np.ndarray) -> np.ndarray:
    features, frames = layer(audio[None], np.array([len(audio)]))
    features = ops.convert_to_numpy(features)[0]
    assert int(frames[0]) == len(features)
    return features


@pytest.mark.parametrize("number", HTK)
def test_equals_htk(number: int) -> None:
    folder = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "speech" / "htk"
    if not (folder / "test.wav").is_file():
        pytest.skip("HTK's features are not beside the repository")
    audio = np.frombuffer((folder / "test.wav").read_bytes()[44:], "<i2").astype(np.float32)
    content = (folder / f"test.wav.fea_htk.{number}").read_bytes()
    frames, period, size, _ = struct.unpack(">iihh", content[:12])
    expected = np.frombuffer(content[12:], ">f4").reshape(frames, size // 4)
    assert (period, expected.shape[1]) == (100_000, 39)
    features = _features(MFCC(**HTK[number]), audio)
    assert features.shape == expected.shape
    # Measured: 0.9e-4 to 1.6e-4. HTK computes in float32 too.
    assert np.abs(features - expected).max() < 2e-4


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_numpy(options: dict[str, Any]) -> None:
    audio = _audio(4321)
    features = _features(MFCC(**options), audio)
    expected = _numpy(audio, options)
    assert features.shape == expected.shape
    np.testing.assert_allclose(features, expected, rtol=0, atol=3e-4)


def test_silence_has_the_floors() -> None:
    features = _features(MFCC(), np.zeros(1000, np.float32))
    np.testing.assert_allclose(features[:, :12], 0)
    np.testing.assert_allclose(features[:, 12], math.log(1e-10), rtol=1e-6)
    np.testing.assert_allclose(features[:, 13:], 0)


def test_what_is_beyond_a_sequence_changes_nothing() -> None:
    lengths = [3000, 400, 2111, 399, 0, 560]
    layer = MFCC()
    padded = np.full((len(lengths), 3000), np.nan, np.float32)
    sequences = [_audio(length, seed) for seed, length in enumerate(lengths)]
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    features, frames = harness.compiled(layer)(padded, np.array(lengths))
    features = ops.convert_to_numpy(features)
    assert ops.convert_to_numpy(frames).tolist() == [17, 1, 11, 0, 0, 2]
    for row, sequence, count in zip(features, sequences, [17, 1, 11, 0, 0, 2], strict=True):
        if count:
            np.testing.assert_allclose(row[:count], _numpy(sequence, {}), rtol=0, atol=3e-4)
        np.testing.assert_array_equal(row[count:], 0)


@pytest.mark.parametrize("samples", [0, 1, 399])
def test_less_than_a_frame_is_none(samples: int) -> None:
    features, frames = MFCC()(np.ones((2, samples), np.float32), np.array([samples, 0]))
    assert tuple(features.shape) == (2, 1, 39)
    np.testing.assert_array_equal(ops.convert_to_numpy(features), 0)
    assert ops.convert_to_numpy(frames).tolist() == [0, 0]


def test_lengths_beyond_the_samples_count_to_their_end() -> None:
    _, frames = MFCC()(np.ones((1, 560), np.float32), np.array([10_000]))
    assert ops.convert_to_numpy(frames).tolist() == [2]


def test_normalizes_each_feature() -> None:
    generator = np.random.default_rng(0)
    mean, variance = generator.normal(size=39) * 5, generator.uniform(0.5, 9, size=39)
    audio = _audio(2000)
    plain = _features(MFCC(), audio)
    normal = _features(MFCC(mean=mean.tolist(), variance=variance.tolist()), audio)
    np.testing.assert_allclose(normal, (plain - mean) / np.sqrt(variance), rtol=1e-4, atol=1e-5)
    # What lies beyond a sequence is zero also after the mean is subtracted.
    layer = MFCC(mean=mean.tolist(), variance=variance.tolist())
    features, _ = layer(audio[None], np.array([1000]))
    np.testing.assert_array_equal(ops.convert_to_numpy(features)[0, 4:], 0)


def test_half_precision_changes_nothing() -> None:
    # So loud that half of the samples are no numbers of half precision.
    audio = 21 * _audio(1000)
    half = _features(MFCC(dtype="mixed_float16"), audio)
    assert half.dtype == np.float32
    np.testing.assert_array_equal(half, _features(MFCC(), audio))


def test_configuration_comes_back() -> None:
    options = {
        "sample_rate": 8000,
        "frame_length": 200,
        "frame_step": 81,
        "fft_length": 300,
        "filters": 14,
        "coefficients": 5,
        "energy": "c0",
        "preemphasis": 0.9,
        "lower_frequency": 50.0,
        "upper_frequency": 3000.0,
        "power": False,
        "lifter": 8,
        "delta_window": 3,
        "mean": [float(i) for i in range(18)],
        "variance": [float(i + 1) for i in range(18)],
    }
    layer = MFCC(**options)
    assert layer.get_config().items() >= options.items()
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    assert not copy.weights


def test_comes_back_in_a_file(tmp_path: Path) -> None:
    audio, lengths = keras.Input((None,)), keras.Input((), dtype="int32")
    layer = MFCC(mean=[1.0] * 39, variance=[4.0] * 39)
    model = keras.Model([audio, lengths], layer(audio, lengths))
    assert model.output_shape[0] == (None, None, 39)
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    batch = [np.stack([_audio(1500, 1), _audio(1500, 2)]), np.array([1500, 700], np.int32)]
    for one, other in zip(*(harness.compiled(one)(batch) for one in (model, copy)), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(other))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a graph of TensorFlow")
def test_in_a_saved_model_of_any_batch_and_length(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.layer = MFCC()
    module.call = tf.function(
        module.layer.__call__,
        input_signature=[tf.TensorSpec((None, None), tf.float32), tf.TensorSpec((None,), tf.int32)],
    )
    tf.saved_model.save(module, str(tmp_path))
    call = tf.saved_model.load(str(tmp_path)).call
    for batch, samples in [(1, 100), (2, 400), (3, 1777)]:
        audio = np.stack([_audio(samples, seed) for seed in range(3)])[:batch]
        lengths = np.array([samples, samples // 2, samples - 161], np.int32)[:batch]
        features, frames = call(audio, lengths)
        expected, expected_frames = MFCC()(audio, lengths)
        assert features.shape == expected.shape
        np.testing.assert_allclose(features, expected, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(frames, expected_frames)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_length": 1}, "`frame_length`, expected an integer of 2 or more, got 1."),
        ({"frame_step": 0}, "`frame_step`, expected an integer of 1 or more, got 0."),
        ({"fft_length": 399}, "`fft_length`, expected an integer of 400 or more, got 399."),
        ({"filters": 0}, "`filters`, expected an integer of 1 or more, got 0."),
        ({"filters": 2.0}, "`filters`, expected an integer of 1 or more, got 2.0."),
        ({"coefficients": 23}, "`coefficients`, expected fewer than the 23 filters, got 23."),
        ({"energy": "loud"}, "`energy`, expected 'log_energy' or 'c0', got 'loud'."),
        ({"preemphasis": 1.5}, "`preemphasis`, expected a float in [0, 1], got 1.5."),
        (
            {"upper_frequency": 8001},
            "`upper_frequency`, expected a float in (0, 8000.0], got 8001.",
        ),
        (
            {"lower_frequency": 500, "upper_frequency": 500},
            "`lower_frequency`, expected a float in [0, 500), got 500.",
        ),
        ({"lifter": -1}, "`lifter`, expected an integer of 0 or more, got -1."),
        ({"delta_window": True}, "`delta_window`, expected an integer of 1 or more, got True."),
        ({"mean": [0.0] * 39}, "Arguments `mean` and `variance` must be given together."),
        (
            {"mean": [0.0], "variance": [1.0]},
            "`mean`, expected 39 finite floats, got [0.0].",
        ),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        MFCC(**options)


def test_bad_variance_is_named() -> None:
    with pytest.raises(ValueError, match="`variance`, expected positive floats"):
        MFCC(mean=[0.0] * 39, variance=[0.0] * 39)


def test_is_public() -> None:
    assert zoo.frontends.MFCC is MFCC
