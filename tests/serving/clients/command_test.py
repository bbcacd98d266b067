"""The command against a small server that speaks REST."""

import subprocess
import sys

import numpy as np
import pytest

from tests import commands
from tests.serving.clients import known, servers


@pytest.fixture(scope="module")
def server():
    with servers.rest_server() as fake:
        yield fake


@pytest.fixture
def sequences(tmp_path):
    path = tmp_path / "sequences.npz"
    np.savez(path, first=known.frames(1, 4)[0], second=known.frames(1, 2, 9)[0])
    return path


def ask(*arguments):
    return commands.run("serving.client", *map(str, arguments))


def test_an_answer_is_printed_written_and_drawn(server, sequences, tmp_path):
    done = ask(
        f"--address={server.address}",
        "--model=known",
        f"--input={sequences}",
        f"--out={tmp_path}/answer.npz",
        f"--plot={tmp_path}/answer.svg",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "logits_first: float32 [4, 3] from" in done.stdout
    with np.load(tmp_path / "answer.npz") as answer:
        wanted = known.predict({"sequence": known.frames(1, 4), "lengths": np.array([4])})
        np.testing.assert_allclose(answer["logits_first"], wanted["logits"][0], rtol=1e-5)
        assert answer["classes_first"].tolist() == wanted["classes"][0].tolist()
        assert answer["text_first"] == wanted["text"][0]
    assert (tmp_path / "answer.svg").read_text().startswith("<?xml")


def test_help_is_quick():
    done = ask("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Asks a served model")
    assert "--root_certificates" in done.stdout
    # What takes seconds to import must wait until the flags are right.
    code = "import sys, serving.client; print({'grpc', 'tensorflow'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "--input: expected a file. Received: nothing"),
        (["--input=absent.npz", "--local=x"], "--input: expected a file. Received: absent.npz"),
        (["--input={input}"], "--local: expected either a folder here or a server (--address). "
         "Received: nothing"),
        (["--input={input}", "--local=x", "--address=a:1"], "Received: --address too"),
        (["--input={input}", "--address={address}"], "--model: expected the name of a model"),
        (["--input={input}", "--local=x"], "x: expected a folder with saved_model.pb"),
        (["--input={input}", "--local=x", "--out=y.txt"], "--out: expected a file .npz. "
         "Received: y.txt"),
        (["--input={input}", "--local=x", "--plot=y.png"], "--plot: expected a file .svg"),
        (["--input={input}", "--address=a", "--model=m"], "address: expected host:port"),
        (["--input={input}", "--address={address}", "--model=m", "--signature=walk"],
         "one of the signatures chunk, serving_default, step. Received: 'walk'"),
        (["--input={input}", "--address={address}", "--model=m", "--root_certificates=absent"],
         "certificates: expected a file. Received: absent"),
        (["--timeout=0"], "--timeout=0"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(server, sequences, arguments, problem):
    done = ask(*(a.format(input=sequences, address=server.address) for a in arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_answer_without_time_is_not_drawn(server, tmp_path):
    step = {"frame": np.ones((1, 5)), "h": np.zeros((1, 4)), "c": np.zeros((1, 4))}
    np.savez(tmp_path / "step.npz", **step)
    done = ask(
        f"--address={server.address}", "--model=known", f"--input={tmp_path}/step.npz",
        "--signature=step", f"--plot={tmp_path}/x.svg",
    )  # fmt: skip
    assert done.returncode == 2
    assert "--plot: expected logits over time" in done.stderr
