from __future__ import annotations

from tuner.tasks.speech.splits import TEST, VALIDATION, of_sample


def test_the_lists_have_the_papers_sizes() -> None:
    # Eight sentences each: 400 and 192 utterances.
    assert (len(VALIDATION), len(TEST)) == (50, 24)
    assert not VALIDATION & TEST


def test_the_core_test_set_has_a_woman_and_two_men_of_each_dialect() -> None:
    assert sum(speaker[0] == "f" for speaker in TEST) == 8
    assert sum(speaker[0] == "m" for speaker in TEST) == 16


def test_a_sample_is_split_by_speaker_and_sex() -> None:
    women = [f"dr{index + 1}-f{letter}" for index, letter in enumerate("hgfedcba")]
    men = [f"dr{index + 1}-m{letter}" for index, letter in enumerate("abcdefgh")]
    found = of_sample(men + women[::-1])
    held_out = {speaker: split for speaker, split in found.items() if split != "train"}
    assert held_out == {
        "dr3-ff": "validation",
        "dr3-mc": "validation",
        "dr6-fc": "test",
        "dr6-mf": "test",
    }
    assert len(found) == 16
