"""The page that composes in a real browser, beside Python: `make browser-test`."""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from common.media.midi import read_midi, write_midi
from serving.clients.local import LocalModel
from serving.composer import page, sampling
from serving.publish import sources, versions
from tests.browser.chromium import DESKTOP, PHONE, Browser
from tests.commands import ROOT

RUNTIME = ROOT / "build/npm/node_modules/onnxruntime-web/dist"
MODEL = "music-CIFG"

pytestmark = pytest.mark.skipif("BROWSER_TEST" not in os.environ, reason="make browser-test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def model(folder: pathlib.Path) -> Iterator[LocalModel]:
    """What `serving.compose` asks: a SavedModel, in TensorFlow."""
    source = sources.from_pretrained(MODEL)
    with LocalModel(versions.publish(source, folder / "music")) as model:
        yield model


@pytest.fixture(scope="module")
def url(folder: pathlib.Path) -> Iterator[str]:
    """The page, built and served."""
    size = page.build(sources.from_pretrained(MODEL), RUNTIME, folder / "page")
    assert 0 < size < 500_000
    with page.PageServer(folder / "page") as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.url
        server.shutdown()


def opened(browser: Browser, url: str, *arguments: Any, **options: Any) -> None:
    browser.open(url, *arguments, **options)
    wait(browser, "#status", "Ready.")


def wait(browser: Browser, selector: str, text: str) -> None:
    WebDriverWait(browser.driver, 60).until(lambda _: text in " ".join(browser.texts(selector)))


def write(browser: Browser, field: str, text: str) -> None:
    browser.find(f"#{field}").send_keys(Keys.CONTROL, "a")
    browser.find(f"#{field}").send_keys(text)


def by_python(model: LocalModel, pitches: list[int], **settings: Any) -> sampling.Piece:
    return sampling.compose(model, sampling.chord(pitches), sampling.Settings(**settings))


def downloaded(browser: Browser, folder: pathlib.Path) -> bytes:
    """The MIDI file that a click downloads."""
    path = folder / "chorale.mid"
    where = {"behavior": "allow", "downloadPath": str(folder)}
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    browser.find("#download").click()
    WebDriverWait(browser.driver, 60).until(lambda _: path.is_file())
    return path.read_bytes()


def without_silence_at_the_end(roll: np.ndarray) -> np.ndarray:
    return roll[: np.flatnonzero(roll.any(axis=1))[-1] + 1]


def test_the_random_numbers_are_numpys(browser: Browser, url: str) -> None:
    opened(browser, url)
    seeds = [0, 1, 2**32 - 1, 2**32, 2**64 + 3, 7**80]
    drawn = browser.driver.execute_async_script(
        "const [seeds, done] = arguments;"
        "import('./random.js').then(({Generator}) => done(seeds.map((seed) => {"
        "  const generator = new Generator(BigInt(seed));"
        "  return Array.from({length: 500}, () => generator.random());"
        "})))",
        [str(seed) for seed in seeds],
    )
    for seed, numbers in zip(seeds, drawn, strict=True):
        assert numbers == np.random.default_rng(seed).random(500).tolist()


def test_the_notes_are_those_of_the_command(browser: Browser, url: str, model: LocalModel) -> None:
    opened(browser, url)
    cases = [
        {"seed": seed, "temperature": temperature, "voices": voices, "frames": 24}
        for seed, temperature, voices in (
            (1, 1.0, 4),
            (2, 1.3, 88),
            (3, 0.65, 3),
            (4, 1.0, 1),
            (2**70, 1.05, 5),
        )
    ]
    pitches = [48, 60, 64, 67]
    pieces = browser.driver.execute_async_script(
        "const [cases, prompt, done] = arguments;"
        "(async () => {"
        "  const {load} = await import('./model.js'), {compose} = await import('./sampling.js');"
        "  const {step} = await load(), pieces = [];"
        "  for (const one of cases) {"
        "    const frames = [];"
        "    const wanted = {...one, seed: BigInt(one.seed)};"
        "    for await (const frame of compose(step, prompt, wanted))"
        "      frames.push([[...frame.chord], frame.nll]);"
        "    pieces.push(frames);"
        "  }"
        "  return pieces;"
        "})().then(done, (error) => done(String(error)))",
        [{**case, "seed": str(case["seed"])} for case in cases],
        sampling.chord(pitches).tolist(),
    )
    assert isinstance(pieces, list), pieces
    for case, frames in zip(cases, pieces, strict=True):
        expected = by_python(model, pitches, **case)
        np.testing.assert_array_equal([frame for frame, _ in frames], expected.roll[1:])
        np.testing.assert_allclose(np.mean([nll for _, nll in frames]), expected.nll, rtol=1e-5)


def test_it_composes_what_is_asked_and_gives_it_away(
    browser: Browser, url: str, model: LocalModel, tmp_path: pathlib.Path
) -> None:
    opened(browser, url)
    browser.find("#clear").click()
    assert browser.texts("#chord") == ["none"]
    for name in ("A3", "E4", "C♯5", "A4", "A4", "F♯4"):
        browser.find(f".key[aria-label='{name}']").click()
    assert browser.texts("#chord") == ["A3 E4 F♯4 C♯5"]
    for field, text in (("seed", "12"), ("voices", "3"), ("frames", "21")):
        write(browser, field, text)
    for _ in range(4):
        browser.find("#temperature").send_keys(Keys.ARROW_RIGHT)
    browser.find("#compose").click()
    wait(browser, "#status", "21 quarter notes after A3 E4 F♯4 C♯5")
    chord = [57, 64, 66, 73]
    piece = by_python(model, chord, seed=12, voices=3, frames=21, temperature=1.2)
    content = downloaded(browser, tmp_path)
    read = read_midi(content)
    assert read.odd == {}
    np.testing.assert_array_equal(read.roll, without_silence_at_the_end(piece.roll))
    write_midi(piece.roll, tmp_path / "python.mid")
    assert content == (tmp_path / "python.mid").read_bytes()
    assert f"{piece.nll:.2f} nats per frame" in browser.find("#status").text
    # The picture has a bar for every note that is held, gray where it was given.
    changes = np.diff(piece.roll.astype(int), axis=0, prepend=0)
    struck, held = (changes[1:] > 0).sum(), (piece.roll[:2].sum(axis=0) == 2).sum()
    assert len(browser.all("#roll .given")) == len(chord)
    assert len(browser.all("#roll .note")) == struck + held
    assert "21 quarter notes" in browser.find("#roll").get_attribute("aria-label")
    assert browser.texts("#command") == [
        "python -m serving.compose --out=chorale.mid --pretrained=music-CIFG --chord=57,64,66,73 "
        "--frames=21 --temperature=1.2 --voices=3 --seed=12"
    ]
    assert browser.complaints == []
    assert all(address.startswith((url, "blob:")) for address in browser.requests)


def test_it_grows_and_stops(browser: Browser, url: str) -> None:
    opened(browser, url)
    write(browser, "frames", "2000")
    browser.find("#compose").click()
    assert browser.find("#compose").text == "Stop"
    WebDriverWait(browser.driver, 60).until(lambda _: browser.all("#roll .note"))
    assert not browser.find("#download").is_enabled()
    browser.find("#compose").click()
    wait(browser, "#status", "nats per frame")
    assert int(browser.find("#status").text.split()[0]) < 2000
    assert browser.find("#download").is_enabled()


def test_it_plays_the_pitches(browser: Browser, url: str) -> None:
    """Of each second of what sounds the strongest frequency is the note's."""
    opened(browser, url)
    heard = browser.driver.execute_async_script(
        "const [columns, done] = arguments;"
        "import('./sound.js').then(async ({play}) => {"
        "  const context = new OfflineAudioContext(1, 8000 * (columns.length + 1), 8000);"
        "  const roll = columns.map((on) => Array.from({length: 88}, (_, j) => Number(j === on)));"
        "  play(context, roll, {lowest_pitch: 21, beats_per_minute: 60});"
        "  done([...(await context.startRendering()).getChannelData(0)]);"
        "})",
        [48, 52, 27],
    )
    samples = np.reshape(heard, (4, 8000))
    loudest = np.abs(np.fft.rfft(samples[:3], axis=1)).argmax(axis=1)
    np.testing.assert_allclose(loudest, [440.0, 554.37, 130.81], atol=1.5)
    assert np.abs(samples[3, 4000:]).max() < 1e-3 < 0.05 < np.abs(samples[:3]).max() < 1
    browser.find("#compose").click()
    wait(browser, "#status", "nats per frame")
    browser.find("#play").click()
    assert browser.find("#play").text == "Stop playing"
    WebDriverWait(browser.driver, 60).until(
        lambda _: browser.find("#roll .head").get_attribute("visibility") == "visible"
    )
    browser.find("#play").click()
    assert browser.find("#play").text == "Play"


def test_keys_are_pressed_without_a_mouse(browser: Browser, url: str) -> None:
    opened(browser, url)
    (stop,) = browser.all(".key[tabindex='0']")
    assert stop.get_attribute("aria-label") == "C5"
    stop.send_keys(Keys.SPACE)
    stop.send_keys(Keys.ARROW_RIGHT)
    browser.driver.switch_to.active_element.send_keys(Keys.PAGE_DOWN)
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.texts("#chord") == ["C♯4 E5 G5 C6"]
    assert len(browser.all(".key[tabindex='0']")) == 1


MISTAKES = {
    "voices": ("0", "Voices: expected a whole number from 1 to 88. Received: 0"),
    "frames": (Keys.DELETE, "Quarter notes: expected a whole number from 1 to 2000. Rec"),
    "seed": ("-1", "Seed: expected a whole number of at least 0. Received: -1"),
}


def test_mistakes_are_told(browser: Browser, url: str) -> None:
    opened(browser, url)
    for field, (text, said) in MISTAKES.items():
        write(browser, field, text)
        browser.find("#compose").click()
        wait(browser, "#error", said)
        assert browser.driver.switch_to.active_element.get_attribute("id") == field
        assert browser.find(f"#{field}").get_attribute("aria-invalid") == "true"
        if field == "voices":
            assert browser.violations() == []
        write(browser, field, "2")
        assert browser.texts("#error") == [""] and not browser.all("[aria-invalid]")
    browser.find("#clear").click()
    browser.find("#compose").click()
    said = "Given chord: expected at least one key of the keyboard. Received: none"
    assert browser.texts("#error") == [said]


def test_a_model_that_is_not_there_is_told(
    browser: Browser, url: str, folder: pathlib.Path
) -> None:
    model = (folder / "page/model.onnx").rename(folder / "elsewhere")
    try:
        browser.open(url)
        wait(browser, "#error", "The model does not run here: model.onnx: expected a file. Rec")
        assert not browser.find("#compose").is_enabled()
    finally:
        model.rename(folder / "page/model.onnx")


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_nothing_stands_in_the_way(
    browser: Browser, url: str, size: tuple[int, int], scheme: str
) -> None:
    opened(browser, url, size, scheme=scheme)
    browser.find("#compose").click()
    wait(browser, "#status", "nats per frame")
    assert browser.violations() == []
    assert browser.overflow == 0
