from __future__ import annotations

from tuner.tasks.speech.phones import CLASSES_39, FOLDED_39, FOLDED_48, GROUPS, INDEX, PHONES


def test_counts() -> None:
    assert (len(PHONES), len(set(PHONES))) == (61, 61)
    assert len(set(FOLDED_48.values())) == 48
    assert len(CLASSES_39) == len(set(FOLDED_39.values())) == 39


def test_phones_are_in_alphabetical_order() -> None:
    assert list(PHONES) == sorted(PHONES)
    assert [INDEX[phone] for phone in PHONES] == list(range(61))


def test_only_the_glottal_stop_has_no_class() -> None:
    assert [phone for phone in PHONES if phone not in FOLDED_39] == ["q"]
    assert [PHONES[index] for index, group in enumerate(GROUPS) if group == -1] == ["q"]
    assert sorted(set(GROUPS)) == list(range(-1, 39))


def test_folding_of_lee_and_hon() -> None:
    # Lee and Hon (1989), table of the 39 classes: what is merged with what.
    merged = {
        "sil": "pcl tcl kcl bcl dcl gcl h# pau epi",
        "aa": "aa ao",
        "ah": "ah ax ax-h",
        "er": "er axr",
        "hh": "hh hv",
        "ih": "ih ix",
        "l": "l el",
        "m": "m em",
        "n": "n en nx",
        "ng": "ng eng",
        "sh": "sh zh",
        "uw": "uw ux",
    }
    for group in CLASSES_39:
        members = {phone for phone, folded in FOLDED_39.items() if folded == group}
        assert members == set(merged.get(group, group).split())


def test_39_is_coarser_than_48() -> None:
    pairs = {(FOLDED_48[phone], FOLDED_39[phone]) for phone in FOLDED_39}
    assert len(pairs) == 48
