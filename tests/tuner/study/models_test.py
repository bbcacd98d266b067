"""Models made again of trials that were only written down."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import pytest

from common.errors import InputError
from serving.publish import sources
from tests.tuner import tiny
from tuner.analysis.trials.records import Records
from tuner.study import models
from tuner.training.native.engine import Trainer
from tuner.training.protocol import TrialRecord, TrialResult
from zoo import pretrained

PROBLEM = tiny.problem()


def records(entries: Mapping[str, tuple[TrialRecord, ...]]) -> Records:
    facts = {"task": "tiny", "protocol": dataclasses.asdict(tiny.PROTOCOL)}
    nothing: dict[str, tuple[()]] = {code: () for code in entries}
    return Records("tiny", facts, entries, nothing, nothing)


def train_again(study: Records, out: Path) -> list[tuple[Path, TrialResult]]:
    return list(models.train_again(study.entries, study.facts, PROBLEM, out))


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[TrialResult]]:
    """Two trials of two variants; the second of V is the better one."""
    good = dataclasses.replace(tiny.changed(learning_rate=0.1), index=1, seed=12)
    found = {
        code: [
            tiny.train_one(dataclasses.replace(trial, variant=code), trainer=Trainer)
            for trial in (tiny.TRIAL, good)
        ]
        for code in ("V", "NIG")
    }
    first, second = (outcome.result.validation.mean for outcome in found["V"])
    assert second < first
    return found


@pytest.fixture
def study(outcomes: dict[str, list[TrialResult]]) -> Records:
    return records({
        code: tuple(TrialRecord(outcome.trial, outcome.result) for outcome in its)
        for code, its in outcomes.items()
    })  # fmt: skip


def test_the_best_trial_of_each_variant_gives_its_model_again(
    study: Records, outcomes: dict[str, list[TrialResult]], tmp_path: Path
) -> None:
    made = dict(train_again(study, tmp_path))
    assert sorted(folder.name for folder in made) == ["tiny-NIG", "tiny-V"]
    model = keras.models.load_model(tmp_path / "tiny-V" / "model.keras")
    for weight, expected in zip(model.get_weights(), outcomes["V"][1].weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    card = json.loads((tmp_path / "tiny-V" / "card.json").read_text())
    assert (card["trial"], card["seed"], card["data"]["name"]) == (1, 12, "tiny music")
    assert card["study_sha256"] == sources.study_sha256(study.facts)
    assert (tmp_path / "tiny-V" / "README.md").read_text() == pretrained.hub_page(card, "tiny-V")

    assert train_again(study, tmp_path) == []
    # What a process that was killed left unfinished is made again; so is another study's.
    path = tmp_path / "tiny-V" / "card.json"
    path.write_text(json.dumps({**card, "study_sha256": None}))
    assert [folder.name for folder, _ in train_again(study, tmp_path)] == ["tiny-V"]
    other = dataclasses.replace(study, facts={**study.facts, "seed": 2})
    assert len(train_again(other, tmp_path)) == 2


def test_another_score_than_was_written_down_is_refused(study: Records, tmp_path: Path) -> None:
    (best,) = study.entries["V"][1:]
    score = dataclasses.replace(best.result.validation, mean=best.result.validation.mean * 1.1)
    wrong = TrialRecord(best.trial, dataclasses.replace(best.result, validation=score))
    with pytest.raises(InputError, match=r"tiny-V: expected the validation score of the study"):
        train_again(records({"V": (wrong,)}), tmp_path)
    assert list(tmp_path.iterdir()) == []
