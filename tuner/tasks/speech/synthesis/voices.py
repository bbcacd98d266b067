"""The speakers: voices of eSpeak NG, their accents, and which split uses them.

No voice is in two splits, in whatever accent, nor is one that sounds almost like it: a model is
tested on timbres that it has never heard. Robots and whispers are left out, and so are voices with
so much echo that a stop's closure is not silent.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator

ACCENTS = (
    "en-us",
    "en-us-nyc",
    "en",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
"""The accents, in the order of the folders `DR1` to `DR8`."""

_WOMEN = {
    "train": "f1 f3 f4 anika grandma steph steph2 steph3",
    "validation": "f2 f5 Annie Andrea",
    "test": "aunty belinda linda shelby",
}
_MEN = {
    "train": (
        "m1 m2 m3 m4 m5 m6 klatt klatt2 klatt3 klatt4 klatt5 klatt6 Alex Andy AnxiousAndy Diogo "
        "Gene Gene2 Henrique Hugo Mario Michael Mike Storm Tweaky adam antonio benjamin croak "
        "ed edward edward2 grandpa gustave iven iven2 iven3 iven4 john marcelo max michel miguel "
        "pablo pedro sandro zac"
    ),
    "validation": "m7 m8 Denis Nguyen david paul quincy victor",
    "test": "Jacky Lee boris kaukovalta norbert rob robert travis",
}
_INITIALS = [
    *itertools.chain.from_iterable(
        names.split() for voices in (_WOMEN, _MEN) for names in voices.values()
    )
]

_SEXES = "fmmfmmfmmm"
"""Three of ten speakers are women, as in TIMIT."""


@dataclasses.dataclass(frozen=True)
class Voice:
    """A speaker.

    Attributes:
        variant: the timbre, a variant of eSpeak NG.
        accent: eSpeak NG's name for the accent.
        sex: "f" or "m".
        rate: words per minute.
        pitch: 0 to 99; 50 is the variant's own.
        pitch_range: 0 to 99; 50 is the variant's own.
    """

    variant: str
    accent: str
    sex: str
    rate: int
    pitch: int
    pitch_range: int

    @property
    def name(self) -> str:
        """A name in TIMIT's style: sex, three initials - here variant and accent -, a digit."""
        first, second = divmod(_INITIALS.index(self.variant), 26)
        letters = (first, second, ACCENTS.index(self.accent))
        return self.sex + "".join(chr(ord("a") + letter) for letter in letters) + "0"

    @property
    def region(self) -> str:
        """The folder of the accent; TIMIT has one for each dialect region."""
        return f"DR{ACCENTS.index(self.accent) + 1}"


def voices(split: str, count: int) -> tuple[Voice, ...]:
    """Returns the first speakers of a split; if variants run out, they return in other accents.

    Example:
        >>> [voice.name for voice in voices("test", 3)]
        ['fama0', 'mcta0', 'mcub0']
    """
    found = tuple(itertools.islice(_endless(split), count))
    if len(set(found)) < count:
        raise ValueError(f"Expected at most {len(set(found))} {split} speakers. Received: {count}")
    return found


def _endless(split: str) -> Iterator[Voice]:
    speakers = {"f": _of_one_sex("f", _WOMEN[split]), "m": _of_one_sex("m", _MEN[split])}
    return (next(speakers[sex]) for sex in itertools.cycle(_SEXES))


def _of_one_sex(sex: str, names: str) -> Iterator[Voice]:
    variants = names.split()
    for index in itertools.count():
        turn, place = divmod(index, len(variants))
        # Each round combines every variant with another accent.
        accent = ACCENTS[(index + 3 * turn) % len(ACCENTS)]
        numbers = random.Random(f"{variants[place]} {accent}")
        yield Voice(
            variants[place],
            accent,
            sex,
            rate=numbers.randint(140, 210),
            pitch=numbers.randint(25, 75),
            pitch_range=numbers.randint(30, 70),
        )
