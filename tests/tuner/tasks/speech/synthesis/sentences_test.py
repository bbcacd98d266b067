from __future__ import annotations

import itertools
import re

from tuner.tasks.speech.synthesis.sentences import sentences, vocabulary


def _first(seed: str, count: int) -> list[str]:
    return list(itertools.islice(sentences(seed), count))


def test_no_sentence_comes_twice_and_equal_seeds_say_the_same():
    said = _first("one", 2000)

    assert len(set(said)) == 2000
    assert said == _first("one", 2000)
    assert len(set(said) & set(_first("two", 2000))) < 100


def test_a_sentence_that_comes_again_is_passed_over(monkeypatch):
    monkeypatch.setattr("tuner.tasks.speech.synthesis.sentences._SENTENCES", ("{the}.",))
    monkeypatch.setattr(
        "tuner.tasks.speech.synthesis.sentences._LISTS", {"the": ("one", "two", "three")}
    )

    assert sorted(_first("few", 3)) == ["One.", "Three.", "Two."]


def test_sentences_are_plain_english():
    for text in _first("form", 6000):
        assert re.fullmatch(r"[A-Z][A-Za-z',]*( [A-Za-z',]+)+[.?!]", text), text
        assert not re.search(r"\b(a [aeio]|an [^aeiou]|an us|a un)", text, re.IGNORECASE), text


def test_lengths_vary_around_eight_words():
    lengths = [len(text.split()) for text in _first("length", 2000)]

    assert min(lengths) <= 5 and max(lengths) >= 13
    assert 7 < sum(lengths) / len(lengths) < 10


def test_the_vocabulary_holds_every_word_that_is_said():
    words = {word.lower() for phrase in vocabulary() for word in re.findall("[A-Za-z']+", phrase)}
    said = {word.lower() for text in _first("all", 3000) for word in re.findall("[A-Za-z']+", text)}

    assert said <= words | {"an"}
    assert len(words) > 900
