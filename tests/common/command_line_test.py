import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

from common import command_line

COMMAND = """
\"\"\"A command of a test.\"\"\"
import sys
from absl import flags
from common import command_line
FLAG = flags.DEFINE_integer("number", 3, "A number.", lower_bound=0)

def main():
    {body}

command_line.run(main)
"""


def run(body: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    code = COMMAND.format(body=textwrap.indent(body, "    ").strip())
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, **variables},
    )


def test_the_status_is_the_commands() -> None:
    done = run("print(FLAG.value); return 5", "--number=8")
    assert (done.returncode, done.stdout, done.stderr) == (5, "8\n", "")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("raise command_line.InputError('--x: expected y')", "--x: expected y"),
        ("open('/no/such/file')", "/no/such/file: No such file or directory"),
        ("raise OSError('odd')", "odd"),
    ],
)
def test_a_persons_error_is_one_line_and_status_2(body: str, line: str) -> None:
    done = run(body)
    assert (done.returncode, done.stderr) == (2, f"error: {line}\n")


def test_ctrl_c_is_a_word_and_status_130() -> None:
    done = run("raise KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (130, "\nstopped\n")


def test_what_a_machine_has_chosen_for_keras_does_not_count() -> None:
    done = run(
        "import os; print({name: value for name, value in os.environ.items() if 'KERAS' in name})",
        KERAS_BACKEND="jax",
        KERAS_MAX_EPOCHS="1",
        KERAS_MAX_STEPS_PER_EPOCH="1",
    )
    assert done.stdout == "{'KERAS_BACKEND': 'tensorflow'}\n"


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    done = run("1 / 0")
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("argument", ["--nubmer=3", "--number=x", "--number=-1", "stray"])
def test_a_mistyped_flag_is_one_line_and_status_2(argument: str) -> None:
    done = run("return 0", argument)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_tensorflows_messages_are_kept_back_but_not_its_errors(tmp_path: pathlib.Path) -> None:
    """Of a stand-in that writes to the descriptor, as its C++ does."""
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'start')\n"
        "class config: list_physical_devices = lambda: os.write(2, b'no GPU')\n"
    )
    code = """
        import os, sys
        sys.path.insert(0, sys.argv[1])
        from common import command_line
        command_line.start_tensorflow()
        os.write(2, b"after")
        print(sys.modules["tensorflow"].__name__)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("tensorflow\n", "after")

    broken = """
        import os, sys
        class Broken:
            def find_spec(self, name, path=None, target=None):
                if name == "tensorflow":
                    os.write(2, b"why it is broken")
                    raise ImportError("broken")
        sys.meta_path.insert(0, Broken())
        from common import command_line
        command_line.start_tensorflow()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(broken)], text=True, capture_output=True, check=False
    )
    assert done.stderr.startswith("why it is broken") and "ImportError: broken" in done.stderr


def test_ctrl_c_shows_no_messages_that_were_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), command_line.without_messages():
        os.write(2, b"no GPU")
        raise KeyboardInterrupt
    assert capfd.readouterr().err == ""
