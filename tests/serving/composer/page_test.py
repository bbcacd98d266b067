"""What the page that composes is built of; what it does in a browser is in `browser_test.py`."""

from __future__ import annotations

import json
import pathlib
import re
import threading
import urllib.request

import pytest

import zoo
from common.errors import InputError
from serving.composer import page
from serving.publish import sources
from serving.runtime.onnx import OnnxModel
from tests import commands
from tests.commands import ROOT


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Files that stand in for ONNX Runtime's: nobody runs them here."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture(scope="module")
def built(runtime: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("page") / "new"
    size = page.build(sources.from_pretrained("music-V"), runtime, folder)
    assert size == (folder / "model.onnx").stat().st_size
    return folder


def test_all_that_it_asks_for_is_there(built: pathlib.Path) -> None:
    asked = {"model.json", "model.onnx"}
    for file in built.glob("*.[hj]*"):
        text = file.read_text(encoding="utf-8")
        asked |= set(re.findall(r'(?:from|href=|src=) ?"(?!data:|#)([^"]+)"', text))
    assert {"./random.js", "main.js", "./runtime/ort.wasm.min.mjs"} <= asked
    assert {"style.css", "theme.css"} <= asked
    assert [name for name in asked if not (built / name).is_file()] == []
    assert not list(built.glob("package*"))


def test_it_is_told_of_the_model(built: pathlib.Path) -> None:
    card = json.loads((built / "model.json").read_text(encoding="utf-8"))
    units = zoo.load_pretrained("music-V").get_layer(zoo.networks.RECURRENT).cell.units
    assert (card["name"], card["units"], card["states"]) == (
        "music-V",
        units,
        {"c": units, "h": units},
    )
    assert card["pitch_names"][card["chord"][0] - card["lowest_pitch"]] == "C5"
    with OnnxModel(built / "model.onnx") as model:
        (step,) = model.signatures().values()
    assert set(step.inputs) == {"frame", *card["states"]}
    assert {f"next_{name}" for name in card["states"]} < set(step.outputs)


def test_it_is_served_with_the_types_that_browsers_want(built: pathlib.Path) -> None:
    with page.PageServer(built) as server:
        threading.Thread(target=server.serve_forever).start()
        for name, kind in (
            ("", "text/html"),
            ("runtime/ort.wasm.min.mjs", "text/javascript"),
            ("runtime/ort-wasm-simd-threaded.wasm", "application/wasm"),
        ):
            with urllib.request.urlopen(server.url + name) as answer:
                assert answer.headers["Content-Type"] == kind
        with pytest.raises(InputError, match=r"--port: expected a free one\. Received: \d+, Add"):
            page.PageServer(built, server.server_address[1])
        server.shutdown()


def test_a_runtime_that_is_not_there_is_one_line(tmp_path: pathlib.Path) -> None:
    done = commands.run("serving.composer.page", f"--out={tmp_path}/web", f"--runtime={tmp_path}")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        f"error: --runtime: expected a folder with ort.wasm.min.mjs. Received: {tmp_path}; "
        "`make web` fetches it\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_npms_lock_names_no_address() -> None:
    folder = ROOT / "serving/composer/web"
    lock = json.loads((folder / "package-lock.json").read_text())
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    assert lock["packages"].pop("")["dependencies"] == wanted
    assert all(each["integrity"].startswith("sha512-") for each in lock["packages"].values())
    assert not any("resolved" in each for each in lock["packages"].values())
    assert "://" not in (folder / "package-lock.json").read_text()
