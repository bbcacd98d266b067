from __future__ import annotations

import re

import pytest

from tuner.tasks.speech.synthesis.corpus import RECIPE
from tuner.tasks.speech.synthesis.voices import ACCENTS, voices
from tuner.tasks.speech.timit import SPLITS

ALL = {split: voices(split, getattr(RECIPE, split)) for split in SPLITS}


def test_no_timbre_is_in_two_splits():
    train, validation, test = ({voice.variant for voice in ALL[split]} for split in SPLITS)

    assert len(train) > 50
    assert (len(validation), len(test)) == (12, 12)
    assert not train & validation and not train & test and not validation & test


def test_names_are_of_timits_form_and_unique():
    names = [voice.name for speakers in ALL.values() for voice in speakers]

    assert len(set(names)) == len(names) == RECIPE.speakers
    assert all(re.fullmatch(r"[fm][a-z]{3}0", name) for name in names)


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_all_accents_women_and_men(split):
    assert {voice.accent for voice in ALL[split]} == set(ACCENTS)
    assert {voice.region for voice in ALL[split]} == {f"DR{number}" for number in range(1, 9)}
    women = sum(voice.sex == "f" for voice in ALL[split])
    assert 0.25 < women / len(ALL[split]) < 0.4


def test_speakers_differ_in_rate_and_pitch_and_are_the_same_each_time():
    assert len({(v.rate, v.pitch, v.pitch_range) for v in ALL["train"]}) > 95
    assert ALL["train"] == voices("train", RECIPE.train)
    assert ALL["train"][:7] == voices("train", 7)


def test_more_speakers_than_there_are_cannot_be_had():
    with pytest.raises(ValueError, match=r"at most \d+ test speakers. Received: 1000"):
        voices("test", 1000)


def test_espeak_has_every_voice(engine):
    for speakers in ALL.values():
        for voice in speakers:
            assert len(engine.speak(voice, "A.").samples) > 1000, voice
