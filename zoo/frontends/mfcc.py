"""Mel-frequency cepstral coefficients of audio, equal to those of HTK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from zoo.frontends.frontend import Frontend, invalid

# HTK's minimum energy of a frame and minimum sum of a filter.
_ENERGY_FLOOR = 1e-10
_FILTER_FLOOR = 1.0
_ENERGIES = ("log_energy", "c0")

_Matrix = npt.NDArray[np.float32]


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class MFCC(Frontend):
    """Mel-frequency cepstral coefficients of audio, with their deltas and accelerations.

    For each frame x of `frame_length` samples, one every `frame_step`, none padded:

        E    = ln max(Σ x², 1e-10)
        y_i  = x_i − preemphasis · x_{i−1},  y_0 = (1 − preemphasis) · x_0
        P    = |FFT(y · Hamming)|²
        m_j  = ln max(Σ_k triangle_j(k) · P_k, 1)        triangles linear in mel, height 1
        c_k  = √(2 / filters) · Σ_j m_j cos(πk (j − ½) / filters)
        c_k ← (1 + lifter / 2 · sin(πk / lifter)) · c_k,  k = 1 .. coefficients

    with the symmetric Hamming window 0.54 − 0.46 cos(2πi / (frame_length − 1)). The static features
    are c_1 .. c_coefficients, then E or c_0. Their deltas are the slope of a line through
    `delta_window` frames on each side, with a sequence's first and last frame repeated beyond its
    ends; the accelerations are the deltas of the deltas. The defaults are the paper's features
    (section IV.B) where it states them.

    Call the layer with float audio `(batch, samples)` in units of 16-bit samples (−32768 .. 32767,
    not ±1) and int lengths `(batch,)` in samples. It returns float32 features
    `(batch, frames, 3 · (coefficients + 1))`, zero beyond a sequence, and int32 frames `(batch,)`.
    A sequence shorter than `frame_length` has 0 frames; the tensor has at least one.

    Args:
        sample_rate: samples per second.
        frame_length: samples per frame.
        frame_step: samples from one frame to the next.
        fft_length: length of the FFT, to which frames are padded with zeros.
        filters: number of triangular filters. The paper does not state it; 23 is Kaldi's default,
            and was used for most of the HTK output that this layer was compared with.
        coefficients: number of cepstral coefficients without c_0, fewer than `filters`.
        energy: last static feature, `"log_energy"` for E or `"c0"` for c_0.
        preemphasis: preemphasis coefficient; 0 for none.
        lower_frequency: lower edge of the first filter in Hz.
        upper_frequency: upper edge of the last filter in Hz; `None` for half the sample rate.
        power: whether filters sum the power P or its square root, HTK's own default.
        lifter: liftering parameter; 0 for none.
        delta_window: number of frames on each side.
        mean: mean of each feature, subtracted; `None` for no normalization.
        variance: variance of each feature; divided by its square root. Required with `mean`.
        **kwargs: arguments of `keras.layers.Layer`.

    Source: Young et al., *The HTK Book*, version 3.4, sections 5.2 to 5.6 and 5.9. As in HTK, no
    filter sees bins below `lower_frequency` or above `upper_frequency` rounded to bins, nor bin 0.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> audio = np.random.default_rng(0).normal(scale=1000, size=(2, 16000)).astype("float32")
        >>> features, frames = zoo.frontends.MFCC()(audio, np.array([16000, 8000]))
        >>> tuple(features.shape), [int(count) for count in frames]
        ((2, 98, 39), [98, 48])
    """

    raw_name = "audio"
    raw_shape = ()

    def __init__(
        self,
        sample_rate: int = 16_000,
        frame_length: int = 400,
        frame_step: int = 160,
        fft_length: int = 512,
        filters: int = 23,
        coefficients: int = 12,
        energy: str = "log_energy",
        preemphasis: float = 0.97,
        lower_frequency: float = 0.0,
        upper_frequency: float | None = None,
        power: bool = True,
        lifter: int = 22,
        delta_window: int = 2,
        mean: Sequence[float] | None = None,
        variance: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        coefficients = _positive("coefficients", coefficients)
        super().__init__(3 * (coefficients + 1), mean, variance, **kwargs)
        self.sample_rate = _positive("sample_rate", sample_rate)
        self.frame_length = _positive("frame_length", frame_length, 2)
        self.frame_step = _positive("frame_step", frame_step)
        self.fft_length = _positive("fft_length", fft_length, frame_length)
        self.filters = _positive("filters", filters)
        self.coefficients = coefficients
        if coefficients >= filters:
            raise invalid("coefficients", f"fewer than the {filters} filters", coefficients)
        if energy not in _ENERGIES:
            raise invalid("energy", " or ".join(map(repr, _ENERGIES)), energy)
        self.energy = energy
        if not 0 <= preemphasis <= 1:
            raise invalid("preemphasis", "a float in [0, 1]", preemphasis)
        self.preemphasis = float(preemphasis)
        self.upper_frequency = sample_rate / 2 if upper_frequency is None else upper_frequency
        if not 0 < self.upper_frequency <= sample_rate / 2:
            raise invalid("upper_frequency", f"a float in (0, {sample_rate / 2}]", upper_frequency)
        if not 0 <= lower_frequency < self.upper_frequency:
            raise invalid(
                "lower_frequency", f"a float in [0, {self.upper_frequency})", lower_frequency
            )
        self.lower_frequency = float(lower_frequency)
        self.power = bool(power)
        self.lifter = _positive("lifter", lifter, 0)
        self.delta_window = _positive("delta_window", delta_window)
        self._window = np.hamming(frame_length).astype("float32")
        self._filterbank = self._make_filterbank()
        self._cosines = self._make_cosines()

    def _make_filterbank(self) -> _Matrix:
        """Computes the weights of the spectrum's bins, `(fft_length // 2 + 1, filters)`."""
        lower, upper = self.lower_frequency, self.upper_frequency
        bins = np.arange(self.fft_length // 2 + 1)
        edges = np.linspace(_mel(lower), _mel(upper), self.filters + 2)
        position = _mel(bins * self.sample_rate / self.fft_length)[:, None]
        left, center, right = edges[:-2], edges[1:-1], edges[2:]
        rising, falling = (position - left) / (center - left), (right - position) / (right - center)
        triangles = np.maximum(np.minimum(rising, falling), 0)
        # HTK rounds both limits to bins counted from 1, and never uses the first or last bin.
        first = int(lower * self.fft_length / self.sample_rate + 1.5)
        end = int(upper * self.fft_length / self.sample_rate + 0.5)
        triangles[(bins < first) | (bins >= min(end, self.fft_length // 2))] = 0
        return np.asarray(triangles, np.float32)

    def _make_cosines(self) -> _Matrix:
        """Computes the liftered matrix `(filters, coefficients)`, plus a column for c_0."""
        k = np.arange(1, self.coefficients + 1)
        lift = 1 + self.lifter / 2 * np.sin(np.pi * k / self.lifter) if self.lifter else k**0
        if self.energy == "c0":
            k, lift = np.append(k, 0), np.append(lift, 1)
        j = np.arange(1, self.filters + 1)[:, None]
        cosines = np.cos(np.pi * k * (j - 0.5) / self.filters)
        return np.asarray(np.sqrt(2 / self.filters) * cosines * lift, np.float32)

    def call(self, raw: Any, lengths: Any) -> tuple[Any, Any]:
        audio = ops.cast(raw, "float32")
        samples = ops.shape(audio)[1]
        lengths = ops.clip(ops.cast(lengths, "int32"), 0, samples)
        frames = ops.maximum((lengths - self.frame_length) // self.frame_step + 1, 0)
        # Even an empty sequence gets a frame, so that no layer ever sees an empty tensor.
        missing = self.frame_length - samples
        # Tracing backends cannot pad by a tensor, but know the number of samples statically.
        missing = max(missing, 0) if isinstance(missing, int) else ops.maximum(missing, 0)
        audio = ops.pad(audio, [[0, 0], [0, missing]])
        static = self._static(ops.extract_sequences(audio, self.frame_length, self.frame_step))
        inside = ops.arange(ops.shape(static)[1])[None, :, None] < frames[:, None, None]
        last = ops.maximum(frames - 1, 0)[:, None, None]
        deltas = self._deltas(static, inside, last)
        accelerations = self._deltas(deltas, inside, last)
        features = ops.concatenate([static, deltas, accelerations], axis=-1)
        return ops.where(inside, self.normalize(features), 0.0), frames

    def compute_output_spec(self, raw: Any, lengths: Any) -> tuple[Any, Any]:
        batch, frames = raw.shape
        if frames is not None:
            frames = max((frames - self.frame_length) // self.frame_step + 1, 1)
        features = keras.KerasTensor((batch, frames, 3 * (self.coefficients + 1)), "float32")
        return features, keras.KerasTensor((batch,), "int32")

    def _static(self, windows: Any) -> Any:
        """Computes the static features `(batch, frames, coefficients + 1)` of audio frames."""
        before = ops.concatenate([windows[..., :1], windows[..., :-1]], axis=-1)
        emphasized = (windows - self.preemphasis * before) * self._window
        real, imaginary = ops.rfft(emphasized, fft_length=self.fft_length)
        spectrum = ops.square(real) + ops.square(imaginary)
        if not self.power:
            spectrum = ops.sqrt(spectrum)
        filtered = ops.log(ops.maximum(ops.matmul(spectrum, self._filterbank), _FILTER_FLOOR))
        cepstrum = ops.matmul(filtered, self._cosines)
        if self.energy == "c0":
            return cepstrum
        energy = ops.sum(ops.square(windows), axis=-1, keepdims=True)
        return ops.concatenate([cepstrum, ops.log(ops.maximum(energy, _ENERGY_FLOOR))], axis=-1)

    def _deltas(self, values: Any, inside: Any, last: Any) -> Any:
        """Computes deltas by regression over time: Σ_k k (v_{t+k} − v_{t−k}) / (2 Σ_k k²)."""
        values = ops.where(inside, values, ops.take_along_axis(values, last, axis=1))
        window = self.delta_window
        beyond = [values[:, -1:]] * window
        padded = ops.concatenate([*[values[:, :1]] * window, values, *beyond], axis=1)
        frames = ops.shape(values)[1]
        deltas = 0.0
        for k in range(1, window + 1):
            later = padded[:, window + k : window + k + frames]
            earlier = padded[:, window - k : window - k + frames]
            deltas += k * (later - earlier)
        return deltas / (2 * sum(k * k for k in range(1, window + 1)))

    def get_config(self) -> dict[str, Any]:
        names = (
            *("sample_rate", "frame_length", "frame_step", "fft_length", "filters"),
            *("coefficients", "energy", "preemphasis", "lower_frequency", "upper_frequency"),
            *("power", "lifter", "delta_window"),
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _mel(frequency: Any) -> Any:
    return 1127 * np.log1p(np.asarray(frequency) / 700)


def _positive(name: str, value: Any, least: int = 1) -> int:
    """Checks an integer argument."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise invalid(name, f"an integer of {least} or more", value)
    return int(value)
