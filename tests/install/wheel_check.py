"""`make wheel-test`: the wheel as its users meet it, in a fresh environment for each extra.

    python -m tests.install.wheel_check                         # all environments
    python -m tests.install.wheel_check study jax               # some
    WHEEL_PYTHON=python3.13 python -m tests.install.wheel_check # of another Python

Prints a line for each environment: seconds to install and to run, and what it takes on disk. It
needs the registry of packages, and some minutes.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(os.path.abspath(__file__)).parents[2]
UV = Path(sys.prefix, "bin", "uv")
PYTHON = os.environ.get("WHEEL_PYTHON") or sys.executable
ROOMS = ("common", "serving", "tuner", "zoo")

NUMBERS = """
    import keras, numpy as np, zoo

    def near(one, other):
        one, other = (keras.ops.convert_to_numpy(each) for each in (one, other))
        np.testing.assert_allclose(one, other, atol=1e-6)

    frames = np.random.default_rng(1).normal(size=(2, 5, 3)).astype("float32")
    for code in zoo.list_variants():
        layer = zoo.RNN(zoo.make_cell(code, units=4), return_sequences=True)
        model = keras.Sequential([keras.Input((None, 3)), layer])
        model.save("cell.keras")
        again = keras.models.load_model("cell.keras")
        near(again(frames), model(frames))
    stock, ours = keras.layers.LSTM(4), zoo.RNN(zoo.NoPeepholesCell(4))
    stock(frames), ours(frames)
    ours.set_weights(stock.get_weights())
    near(ours(frames), stock(frames))
    chord = np.zeros((1, 2, 88), "float32")
    chord[..., [51, 55, 58, 63]] = 1
    for name in zoo.list_pretrained():
        expected = keras.ops.sum(keras.ops.sigmoid(zoo.load_pretrained(name)(chord)[0, -1]))
        assert 2 < float(expected) < 6, (name, expected)  # Voices of a chorale: about four.
"""
"""Runs on every backend; NP is held against Keras' own layer."""

GUIDED = """
    import keras, numpy as np, zoo

    # On a quadratic the exact guide measures the derivative along the surrogate exactly.
    x = keras.Variable([3.0, -4.0, 5.0])
    guided = zoo.GuidedES("sgd", guide="exact", seed=1)
    (found,) = guided.estimate(
        lambda values: keras.ops.sum(values[0] ** 2) / 2, [x], [keras.ops.array([0.0, -2.0, 0.0])]
    )
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), [0, -4, 0], atol=1e-4)

    frames = np.random.default_rng(1).normal(size=(4, 6, 2)).astype("float32")
    ends = []
    for at_once in (True, False):
        keras.utils.set_random_seed(4)
        network = zoo.networks.network(zoo.VanillaCell(3), inputs=2, outputs=2)
        inputs = keras.Input((None, 2))
        network = keras.Model(inputs, keras.layers.Dropout(0.2)(network(inputs)))
        before = network.get_weights()
        model = zoo.GuidedESModel(network, truncate=2)
        optimizer = keras.optimizers.SGD(0.1)
        guided = zoo.GuidedES(optimizer, pairs=4, vectorized=at_once, seed=1)
        model.compile(guided, loss="mse")
        model.fit(frames, frames, batch_size=4, epochs=3, verbose=0)
        ends.append(np.concatenate([weight.ravel() for weight in network.get_weights()]))
    # Alike only with the same dropout in all evaluations.
    np.testing.assert_allclose(*ends, atol=1e-3)
    moved = ends[0] - np.concatenate([weight.ravel() for weight in before])
    assert 0.01 < np.linalg.norm(moved) < 1, moved
"""
"""Guided evolutionary strategies, on every backend."""

ARRAYS = """
    import numpy as np

    generator = np.random.default_rng(1)
    arrays = {"head": "bernoulli", "name": "tiny"}
    for split, count in {"train": 8, "validation": 4, "test": 4}.items():
        inputs = generator.normal(size=(count * 6, 2)).astype("float32")
        arrays[f"{split}_inputs"] = inputs
        arrays[f"{split}_lengths"] = np.full(count, 6)
        arrays[f"{split}_targets"] = (inputs > 0).astype("float32")
    np.savez("tiny.npz", **arrays)
"""

SMALL = ("--preset=quick", "--variants=V", "--trials=1", "--max_epochs=1", "--study_dir=study")


class Environment:
    """A fresh environment, and a folder to work in.

    Args:
        folder: where both go.
        backend: of Keras.
    """

    def __init__(self, folder: Path, backend: str) -> None:
        self.bin, self.folder = folder / "venv" / "bin", folder / "work"
        self.folder.mkdir(parents=True)
        call(UV, "venv", "--quiet", "--python", PYTHON, folder / "venv")
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.variables = {**kept, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}

    def install(self, *requirements: str | Path) -> None:
        """Installs packages."""
        call(UV, "pip", "install", "--quiet", "--python", self.bin / "python", *requirements)

    def run(self, script: str, *arguments: str, status: int = 0, **variables: str) -> str:
        """Runs a command of the environment; returns what it printed, errors last."""
        command, environment = [self.bin / script, *arguments], {**self.variables, **variables}
        return call(*command, cwd=self.folder, env=environment, status=status)

    def python(self, code: str) -> str:
        """Runs a text of Python."""
        return self.run("python", "-c", textwrap.dedent(code))

    def megabytes(self) -> int:
        """What it takes on disk."""
        files = (path for path in self.bin.parent.rglob("*") if path.is_file())
        return round(sum(path.lstat().st_size for path in files) / 1e6)


def call(*command: object, status: int = 0, **options: object) -> str:
    """Runs a command and checks its exit status."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def try_cell(env: Environment) -> None:
    """The README's ten lines, every cell, every trained model, guided strategies."""
    ten_lines = re.search(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    assert "loss" in env.python(ten_lines[1])
    env.python(NUMBERS)
    env.python(GUIDED)


def try_refusals(env: Environment) -> None:
    """What a command says where its extra is missing, and where its packages are not its own."""
    assert "odyssey-run --task=music" in env.run("odyssey-run", "--help")
    for script, flag, extra in (
        ("odyssey-run", "--task=music", "study"),
        ("odyssey-compose", "--out=chorale.mid", "serving"),
    ):
        line = env.run(script, flag, status=2).strip().splitlines()[-1]
        assert line.startswith("error: expected the package "), line
        assert f"pip install 'lstm-odyssey[{extra}]'" in line, line

    hiding = env.folder / "hiding"
    (hiding / "common").mkdir(parents=True)
    (hiding / "common" / "__init__.py").touch()
    line = env.run("odyssey-run", "--help", status=2, PYTHONPATH=str(hiding))
    assert line.count("\n") == 1 and f"Received: {hiding / 'common'}" in line, line

    (hiding / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "another"\nversion = "3"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["common"]\n'
    )
    env.install(hiding)
    line = env.run("odyssey-run", "--help", status=2)
    assert line.count("\n") == 1 and "common/__init__.py of another 3;" in line, line


def try_study(env: Environment) -> None:
    """A study of arrays, its report, its table, and the frame of it."""
    env.python(ARRAYS)
    printed = env.run("odyssey-run", "--task=arrays", "--data=tiny.npz", *SMALL)
    assert "report: study/report/index.html" in printed, printed
    assert (env.folder / "study" / "export" / "tiny" / "1" / "saved_model.pb").is_file()
    env.run("odyssey-report", "--study_dir=study", "--out=again")
    assert "<svg" in (env.folder / "again" / "index.html").read_text()
    env.run("odyssey-trials", "--study_dir=study", "--out=trials.parquet")
    frame = "import tuner; print(*tuner.load_trials('trials.parquet').status)"
    assert "finished" in env.python(frame)


def try_serving(env: Environment) -> None:
    """An export, a question to the server, a chorale."""
    env.run("odyssey-export", "--pretrained=music-NP", "--model_base_path=models/music")
    env.run("odyssey-compose", "--frames=4", "--out=chorale.mid", "--local=models/music/1")
    flags = ["--model_name=music", "--model_base_path=models/music", "--port=0"]
    command = [env.bin / "odyssey-serve", *flags, "--rest_api_port=18501"]
    server = subprocess.Popen(
        command, cwd=env.folder, env=env.variables, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None and "REST" in server.stdout.readline()
        address = "--address=http://localhost:18501"
        printed = env.run("odyssey-client", address, "--model=music", "--input=chorale.mid")
        assert "frames" in printed, printed
    finally:
        server.terminate()
        server.communicate()


def try_music(env: Environment) -> None:
    """A study of the chorales in the music21 package, or the published ones."""
    printed = env.run("odyssey-run", "--task=music", *SMALL)
    assert "Chorales" in printed and "report: study/report/index.html" in printed, printed


def try_jax(env: Environment) -> None:
    """A study by the engine that JAX compiles."""
    env.python(ARRAYS)
    printed = env.run("odyssey-run", "--task=arrays", "--data=tiny.npz", "--engine=jax", *SMALL)
    assert "with the jax engine" in printed, printed


def try_formats(env: Environment) -> None:
    """Files for other runtimes."""
    for kind, suffix in (("onnx", "onnx"), ("litert", "tflite")):
        flags = ["--pretrained=music-V", f"--format={kind}", f"--out=music.{suffix}"]
        env.run("odyssey-export", *flags)


def try_media(env: Environment) -> None:
    """Synthetic handwriting and speech without the study's other libraries: a few lines of each."""
    env.python("import HersheyFonts, defusedxml, espeakng_loader, fsspec, soundfile")
    env.python(
        "from tuner.tasks.speech.synthesis import espeak\n"
        "from tuner.tasks.handwriting import synthetic\n"
        "print(espeak, synthetic)"
    )


def try_cuda(env: Environment) -> None:
    """NVIDIA's packages, without a GPU."""
    env.python("import cuda.core, cuda.bindings.nvrtc")


@dataclasses.dataclass(frozen=True)
class Case:
    """What is installed, and what is tried there.

    Attributes:
        extras: of the wheel.
        others: further requirements.
        tries: what has to work.
        backend: of Keras.
        oldest: whether every direct requirement is the oldest that is allowed.
    """

    extras: str
    others: tuple[str, ...]
    tries: tuple[Callable[[Environment], None], ...]
    backend: str = "tensorflow"
    oldest: bool = False


CASES = {
    "tensorflow": Case("", ("tensorflow",), (try_cell, try_refusals)),
    "tensorflow-oldest": Case("", ("tensorflow",), (try_cell,), oldest=True),
    "jax": Case("", ("jax",), (try_cell,), "jax"),
    "jax-oldest": Case("", ("jax",), (try_cell,), "jax", oldest=True),
    "torch": Case("", ("torch",), (try_cell,), "torch"),
    "torch-oldest": Case("", ("torch",), (try_cell,), "torch", oldest=True),
    "study": Case("study", (), (try_study,)),
    "study-oldest": Case("study", (), (try_study,), oldest=True),
    "serving": Case("serving", (), (try_serving,)),
    "serving-oldest": Case("serving", (), (try_serving,), oldest=True),
    "music": Case("music,study", (), (try_music,)),
    "study-jax": Case("jax,study", (), (try_jax,)),
    "formats": Case("litert,onnx", (), (try_formats,)),
    "media": Case("handwriting,speech", (), (try_media,)),
    "cuda": Case("cuda", (), (try_cuda,)),
}
"""What pip takes for `torch` brings CUDA: gigabytes, unless the machine is set up for PyTorch's
builds for CPUs."""

RESOLVED = ("fanova", "gpu", "ray")
"""Extras that are only resolved: gigabytes, or in the Makefile environments of their own (`make
fanova-test`, `make ray-test`), as `io` has, which knows fewer Pythons (`make io-test`)."""

UNASKED = [name for name in CASES if not name.startswith("torch")]


def build(folder: Path) -> Path:
    """Builds the wheel, and checks that everything that the packages hold is in it."""
    call(UV, "build", "--quiet", "--out-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    held = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.name != "BUILD" and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {*held, "lstm_odyssey.py"}, packed ^ held
    return wheel


def oldest(case: Case) -> list[str]:
    """Pins the oldest releases that the project allows.

    Of the cells' own that is Keras: NumPy is for the backend to say.
    """
    extras = [f"--extra={extra}" for extra in filter(None, case.extras.split(","))]
    pins = call(
        *(UV, "pip", "compile", ROOT / "pyproject.toml", *extras, "--quiet", "--no-header"),
        *("--no-annotate", "--python", PYTHON, "--resolution=lowest-direct"),
    ).split()
    return pins if extras else [pin for pin in pins if pin.startswith("keras==")]


def resolve(extra: str) -> int:
    """Counts the packages that an extra would bring."""
    pins = call(
        *(UV, "pip", "compile", ROOT / "pyproject.toml", "--extra", extra, "--quiet"),
        *("--no-header", "--no-annotate", "--python", PYTHON),
    )
    return len(pins.split())


def install(env: Environment, case: Case, wheel: Path) -> None:
    """Installs what a case names."""
    extras = f"[{case.extras}]" if case.extras else ""
    requirement = f"lstm-odyssey{extras} @ {wheel.as_uri()}"
    env.install(requirement, *case.others, *(oldest(case) if case.oldest else []))


def main(names: list[str]) -> None:
    """Tries cases."""
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build(Path(scratch, "dist"))
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
        for extra in RESOLVED:
            print(f"{extra}: {resolve(extra)} packages for {PYTHON}", flush=True)
        for name in names or UNASKED:
            case, start = CASES[name], time.perf_counter()
            env = Environment(Path(scratch, name), case.backend)
            install(env, case, wheel)
            installed = time.perf_counter()
            for attempt in case.tries:
                attempt(env)
            print(
                f"{name}: installed in {installed - start:.0f} s, {env.megabytes()} MB; "
                f"{', '.join(attempt.__name__[4:] for attempt in case.tries)} in "
                f"{time.perf_counter() - installed:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
