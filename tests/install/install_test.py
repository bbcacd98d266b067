"""The project as pip installs it: its commands, what they say, and whose packages they run.

`make wheel-test` does the same with a real wheel.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import check_jsonschema
import pytest
import yaml

import lstm_odyssey
from common import command_line
from common.errors import install

ROOT = Path(os.path.abspath(__file__)).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def distribute(folder: Path, name: str, *files: str) -> None:
    """Makes a distribution of files, each with one line."""
    information = folder / f"{name.replace('-', '_')}-3.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 3\n")
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(f"# {name}\n")
    record = [f"{file},,{(folder / file).stat().st_size}" for file in files]
    (information / "RECORD").write_text("\n".join(record))


def start(code: str, folder: Path) -> tuple[int, str]:
    """Runs Python; returns exit status and standard error, or output where there is none."""
    command = [sys.executable, "-c", f"import sys, runpy\n{code}"]
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
    return done.returncode, done.stderr or done.stdout


def test_the_commands_are_those_of_the_modules() -> None:
    scripts = PYPROJECT["project"]["scripts"]
    assert scripts.keys() == command_line.SCRIPTS.keys()
    for script, entry in scripts.items():
        module, _, name = entry.partition(":")
        assert module == "lstm_odyssey"
        assert getattr(lstm_odyssey, name).args == (script,)
        assert importlib.util.find_spec(command_line.SCRIPTS[script])


def test_the_wheel_holds_the_rooms_and_where_the_commands_start() -> None:
    targets = PYPROJECT["tool"]["hatch"]["build"]["targets"]
    packed = [*lstm_odyssey.ROOMS, "lstm_odyssey.py"]
    assert sorted(targets["wheel"]["only-include"]) == sorted(packed)
    assert {*packed} < {*targets["sdist"]["only-include"]}


def test_no_other_distribution_installs_packages_of_our_names() -> None:
    found = importlib.metadata.packages_distributions()
    assert "keras" in found
    assert {*lstm_odyssey.ROOMS, "lstm_odyssey"} & found.keys() <= {
        room for room, names in found.items() if {*names} == {lstm_odyssey.DISTRIBUTION}
    }


def test_a_distribution_that_overwrites_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the many distributions of the environment.
    paths = [path for path in sys.path if "site-packages" not in path]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *paths])
    assert lstm_odyssey.overwritten() == ""
    distribute(tmp_path, lstm_odyssey.DISTRIBUTION, "common/__init__.py", "common/files.py")
    distribute(tmp_path, "other", "elsewhere/files.py")
    assert lstm_odyssey.overwritten() == ""
    # Changed by nobody that pip knows: its owner's business.
    (tmp_path / "common" / "files.py").write_text("")
    assert lstm_odyssey.overwritten() == ""
    distribute(tmp_path, "another", "common/files.py")
    assert lstm_odyssey.overwritten().startswith("common/files.py of another 3; ")


@pytest.mark.parametrize("room", lstm_odyssey.ROOMS)
@pytest.mark.parametrize("file", ["__init__.py", "anything.txt"])
def test_a_folder_that_hides_a_package_is_named(
    room: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lstm_odyssey.hidden() == ""
    (tmp_path / room).mkdir()
    (tmp_path / room / file).touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, room, raising=False)
    # A folder without __init__.py hides nothing.
    expected = f"{tmp_path / room}; rename it" if file == "__init__.py" else ""
    assert lstm_odyssey.hidden().startswith(expected)
    assert bool(lstm_odyssey.hidden()) == bool(expected)


def test_a_foreign_package_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lstm_odyssey, "hidden", lambda: "another")
    with pytest.raises(SystemExit) as ended:
        lstm_odyssey.run()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: expected the packages common, serving, tuner, zoo of lstm-odyssey. "
        "Received: another\n"
    )


def test_a_command_speaks_of_itself_as_it_was_started(tmp_path: Path) -> None:
    asks = "sys.argv[1:] = ['--help']"
    by_script = start(f"{asks}\nimport lstm_odyssey\nlstm_odyssey.trials()", tmp_path)
    module = 'runpy.run_module("tuner.export", run_name="__main__", alter_sys=True)'
    by_module = start(f"{asks}\n{module}", tmp_path)
    assert by_script[0] == by_module[0] == 0
    assert "\n    odyssey-trials --study_dir=" in by_script[1]
    assert "`odyssey-report --study_dir=" in by_script[1]
    assert "--out: File to write" in by_script[1]
    assert "\n    python -m tuner.export --study_dir=" in by_module[1]


def test_a_missing_library_is_one_line_that_names_the_extra(tmp_path: Path) -> None:
    flags = ["--study_dir", str(ROOT / "docs/studies/music.parquet"), "--out=trials.csv"]
    code = f"""
sys.argv[1:] = {flags}
sys.modules["pyarrow"] = None
runpy.run_module("tuner.export", run_name="__main__", alter_sys=True)
"""
    line = f"error: expected the package pyarrow: {install('study')}. Received: not installed\n"
    assert start(code, tmp_path) == (2, line)
    # One of ours is a mistake of ours.
    status, text = start(code.replace('"pyarrow"', '"tuner.analysis.trials"'), tmp_path)
    assert status == 1 and "Traceback" in text and "tuner.analysis.trials" in text


def test_an_extra_is_installed_from_where_the_project_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = importlib.metadata.PackageNotFoundError
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "distribution", lambda _: (_ for _ in ()).throw(missing))
        assert install("study") == "pip install -e '.[study]'"
    monkeypatch.syspath_prepend(tmp_path)
    distribute(tmp_path, lstm_odyssey.DISTRIBUTION)
    assert install("study") == "pip install 'lstm-odyssey[study]'"


@pytest.mark.parametrize(
    ("schema", "pattern", "count"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml", 4),
        ("custom.github-workflows-require-timeout", ".github/workflows/*.yml", 4),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[bi]*.yml", 2),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml", 1),
        ("vendor.citation-file-format", "CITATION.cff", 1),
    ],
)
def test_files_for_the_host_follow_their_schemas(schema: str, pattern: str, count: int) -> None:
    files = [str(path) for path in ROOT.glob(pattern)]
    assert len(files) == count
    # The exit status.
    assert not check_jsonschema.main(["--builtin-schema", schema, *files], standalone_mode=False)


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PYPROJECT["project"]["version"]


def test_notebooks_are_kept_without_what_they_print() -> None:
    paths = ROOT.glob("docs/notebooks/*.ipynb")
    notebooks = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    cells = [cell for notebook in notebooks for cell in notebook["cells"]]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(notebooks) == 5 and len(code) > 20
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []
