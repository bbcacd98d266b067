"""Audio from addresses by fsspec, and by tensorflow-io where that runs (`make io-test`)."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import sys
import threading
import types
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.errors import InputError, RecordingError, install
from common.media import audio

needs_tensorflow_io = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_io") is None
    or not version("tensorflow").startswith(("2.16.", "2.17.")),
    reason="needs tensorflow-io and TensorFlow 2.16 or 2.17: `make io-test` has both",
)
needs_fsspec = pytest.mark.skipif(
    importlib.util.find_spec("fsspec") is None, reason="needs fsspec"
)
RATE = 16_000
FORMATS = ("a.wav", "a.flac", "a.ogg", "a.mp3")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the same noise in all formats, and of files that are no audio."""
    folder = tmp_path_factory.mktemp("recordings")
    noise = np.random.default_rng(5).uniform(-0.5, 0.5, 3_001)
    for name in FORMATS:
        soundfile.write(folder / name, noise, RATE)
    audio.write_sphere(folder / "sphere.wav", np.rint(noise * 30_000).astype(np.int16))
    soundfile.write(folder / "stereo.wav", np.stack([noise, -noise], axis=1), RATE)
    (folder / "garbage.wav").write_bytes(np.random.default_rng(6).bytes(999))
    (folder / "empty.wav").touch()
    (folder / "page.wav").write_text("<html>\nnot\nhere\n</html>\n")
    return folder


@pytest.fixture(scope="module")
def address(recordings: Path) -> Iterator[str]:
    """The folder on a web server of this machine, which answers no ranges."""
    handler = functools.partial(_Quiet, directory=str(recordings))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@needs_tensorflow_io
@pytest.mark.parametrize("name", FORMATS)
def test_it_decodes_what_libsndfile_decodes(recordings: Path, name: str) -> None:
    expected, rate = soundfile.read(recordings / name, dtype="int16")
    samples, received_rate = audio.decode(str(recordings / name))
    assert (samples.dtype, received_rate) == (np.int16, rate)
    assert samples.shape == expected.shape == (3_001,)
    # Where samples are floating-point, one of the 32,768 levels may be lost in rounding.
    tolerance = 0 if name in ("a.wav", "a.flac") else 1
    np.testing.assert_allclose(samples, expected, rtol=0, atol=tolerance)
    assert np.abs(expected.astype(int)).max() > 15_000


@pytest.fixture(
    params=[
        pytest.param("fsspec", marks=needs_fsspec),
        pytest.param("tensorflow-io", marks=needs_tensorflow_io),
    ]
)
def fetcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each package that fetches files; nothing decodes what soundfile does not know."""
    if request.param == "tensorflow-io":
        monkeypatch.setitem(sys.modules, "fsspec", None)
    return str(request.param)


@pytest.mark.parametrize("name", ["a.flac", "sphere.wav"])
def test_a_file_over_http_is_the_file(
    recordings: Path, address: str, fetcher: str, name: str
) -> None:
    samples = audio.read(f"{address}/{name}")
    np.testing.assert_array_equal(samples, audio.read(str(recordings / name)))
    assert len(samples) == 3_001


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing.wav", r"unreadable file: http://127\S+: .*(404|not found)"),
        ("garbage.wav", "no audio: unknown file type$|unknown audio format: "),
        ("page.wav", "no audio: expected an audio file. Received: a web page"),
        ("empty.wav", "no audio: expected an audio file. Received: an empty file"),
        ("stereo.wav", "other audio format: expected one channel. Received: 2"),
    ],
)
def test_what_is_no_audio_is_refused_in_one_line(
    address: str, fetcher: str, name: str, problem: str
) -> None:
    with pytest.raises(RecordingError, match=problem) as caught:
        audio.read(f"{address}/{name}")
    text = str(caught.value)
    assert "\n" not in text and "{{" not in text and "<" not in text and len(text) < 330


def test_a_missing_server_is_one_line(fetcher: str) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Quiet) as server:
        port = server.server_port
    with pytest.raises(RecordingError, match="unreadable file: .*[Cc]onnect") as caught:
        audio.read(f"http://127.0.0.1:{port}/a.wav")
    assert "\n" not in str(caught.value)


@needs_tensorflow_io
def test_a_missing_file_is_one_line(recordings: Path) -> None:
    with pytest.raises(RecordingError, match="No such file") as caught:
        audio.decode(str(recordings / "missing.mp3"))
    assert "\n" not in str(caught.value)
    with pytest.raises(RecordingError, match="expected one channel. Received: 2"):
        audio.decode(str(recordings / "stereo.wav"))


@pytest.mark.parametrize(
    ("address", "fsspec", "obstacle"),
    [
        ("https://example.org/a.wav", False, "fsspec"),
        ("s3://corpus/a.wav", True, "s3fs"),
        ("unheardof://corpus/a.wav", True, "Protocol not known: unheardof"),
    ],
)
def test_without_a_package_one_line_says_what_to_do(
    recordings: Path, monkeypatch: pytest.MonkeyPatch, address: str, fsspec: bool, obstacle: str
) -> None:
    if fsspec:
        pytest.importorskip("fsspec")
    else:
        monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    with pytest.raises(InputError) as caught:
        audio.read(address)
    text = str(caught.value)
    assert text.startswith(f"{address}: expected the package fsspec")
    assert install("speech") in text and obstacle in text
    assert "expected tensorflow-io 0.37.1" in text and version("tensorflow") in text
    assert "requirements_io_lock.txt" in text and "\n" not in text
    assert not isinstance(caught.value, RecordingError)
    # One odd file among thousands is skipped.
    with pytest.raises(RecordingError, match=r"^unknown audio format: expected tensorflow-io 0"):
        audio.read(str(recordings / "garbage.wav"))


def test_a_native_library_that_does_not_load_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode_wav(*_: object, **__: object) -> None:
        # What tensorflow-io 0.37.1 raises under TensorFlow 2.21.
        raise NotImplementedError("unable to open file: libtensorflow_io.so, from paths: [...]\n")

    broken = types.ModuleType("tensorflow_io")
    broken.audio = types.SimpleNamespace(encode_wav=encode_wav)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "tensorflow_io", broken)
    with pytest.raises(InputError, match="its library does not load") as caught:
        audio.read("https://example.org/a.wav")
    assert "\n" not in str(caught.value)
    assert f"Received: TensorFlow {version('tensorflow')}" in str(caught.value)
