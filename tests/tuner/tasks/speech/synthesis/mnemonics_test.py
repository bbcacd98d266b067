from __future__ import annotations

import pytest

from tuner.tasks.speech.phones import PHONES
from tuner.tasks.speech.synthesis import mnemonics
from tuner.tasks.speech.synthesis.corpus import ABSENT
from tuner.tasks.speech.synthesis.mnemonics import Unmapped, phones, plain
from tuner.tasks.speech.synthesis.segments import segments
from tuner.tasks.speech.synthesis.sentences import vocabulary
from tuner.tasks.speech.synthesis.voices import ACCENTS, Voice


@pytest.mark.parametrize(
    ("mnemonic", "expected"),
    [("'i:", "i:"), ("%a#", "a#"), (",aI3", "aI3"), ("t#", "t#"), ("_", ""), ("_:", "")],
)
def test_stress_is_no_part_of_a_mnemonic(mnemonic, expected):
    assert plain(mnemonic) == expected


@pytest.mark.parametrize(
    ("mnemonic", "accent", "expected"),
    [
        ("tS", "en", ("ch",)),
        ("oU", "en-us", ("ow",)),
        ("0", "en-us", ("aa",)),
        ("3", "en-us", ("axr",)),
        ("3", "en-us-nyc", ("ax",)),
        ("A@", "en-us", ("aa", "r")),
        ("A@", "en-gb-x-rp", ("aa",)),
        ("e@", "en", ("eh", "ax")),
        ("e@", "en-gb-scotland", ("eh",)),
        ("3:", "en-gb-x-gbclan", ("er",)),
        ("3:", "en-029", ("ah",)),
    ],
)
def test_a_mnemonic_stands_for_phones_of_its_accent(mnemonic, accent, expected):
    assert phones(mnemonic, accent) == expected


@pytest.mark.parametrize("accent", ACCENTS)
def test_all_phones_are_of_timit_and_no_mnemonic_is_listed_twice(accent):
    table = mnemonics._TABLES.get(accent, mnemonics._OTHER_ACCENTS)

    assert {phone for found in table.values() for phone in found} <= set(PHONES)
    assert {len(found) for found in table.values()} == {1, 2}
    for text in (mnemonics._EVERYWHERE, mnemonics._WITH_R, mnemonics._WITHOUT_R):
        listed = [word for entry in text.split("|") for word in entry.split("<")[1].split()]
        assert len(listed) == len(set(listed))
    assert not any("|" in mnemonic or "<" in mnemonic for mnemonic in table)


def test_an_unknown_mnemonic_is_refused():
    with pytest.raises(Unmapped, match=r"Received: R\^ in en-us"):
        phones("R^", "en-us")


def test_everything_that_can_be_said_has_phones_and_only_the_named_ones_are_absent(engine):
    found = set()
    for place, accent in enumerate(ACCENTS):
        # Each accent says its share of the words.
        words = vocabulary()[place :: len(ACCENTS)]
        voice = Voice("klatt4", accent, "m", rate=400, pitch=50, pitch_range=50)
        for start in range(0, len(words), 40):
            speech = engine.speak(voice, ". ".join(words[start : start + 40]))
            found |= {segment.phone for segment in segments(speech, accent)}

    assert set(PHONES) - found == set(ABSENT)
