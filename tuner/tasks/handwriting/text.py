"""Texts for lines that are written by the program."""

from __future__ import annotations

import functools
import string
from collections.abc import Collection

import numpy as np

# Common English words; every letter of the alphabet begins some.
_WORDS = """
able about above across act add afraid after again age ago air all almost alone along also always
amount ancient and anger angle animal answer any apple area arm army around arrive art ask atom aunt
autumn away axe baby back bad bag ball band bank bar base basket bath bean bear beauty because bed
bee before begin bell below best better between big bird black blood blue board boat body bone book
born both bottle box boy branch bread break breath bridge bright bring brother brown build burn
busy but butter button buy cake call camp can car card care carry case castle cat catch cause
center chair chance change cheese chief child choose church circle city class clean clear climb
clock close cloth cloud coal coast coat coffee cold color come common cook cool copper corn corner
cost cotton could count country course cover cow cross crowd cry cup cut daily dance danger dark
daughter day dear deep desk did die different dinner dog door double down draw dream dress drink
drive drop dry dust duty each eagle ear early earth east easy eat edge egg eight either electric
end enemy engine enjoy enough enter equal even evening event ever every exact example except expect
eye face fact fair fall family famous far farm fast father fear feel few field fifty fight figure
fill find fine finger fire first fish five flag flat floor flower fly follow food foot force forest
forget fork form forward four fox free fresh friend from front fruit full funny game garden gas gate
gather gave general gentle get giant girl give glad glass goat gold good grain grass great green
grey ground group grow guess guide gun hair half hammer hand happy harbor hard hat have head hear
heart heat heavy height help her here high hill history hold hole holiday home honey hope horse
hospital hot hour house how huge human hundred hungry hunt hurry ice idea if important inch ink
insect inside iron island jacket jam jar jaw jelly jewel job join joke journey joy judge juice jump
jungle just keen keep kettle key kick kind king kitchen kite knee knife knot know ladder lady lake
lamp land language large last late laugh law lead leaf learn leather leave left leg lemon length
less letter level library lie life lift light like line lion lip listen little live lock long look
lose loud love low lunch machine magic mail make man many map mark market master match matter may
meal mean measure meat medicine meet melt member metal method middle mile milk million mind minute
mirror money monkey month moon more morning most mother mountain mouse mouth move much music must
nail name narrow nation nature near neck need needle neighbor nephew nerve nest never new news next
nice niece night nine noise north nose note nothing now number nurse nut oak object ocean offer
office often oil old once one onion only open opposite orange order other our out oven over own oxen
page pain paint pair paper parcel parent park part party pass past path pay peace pen pencil people
perhaps picture piece pig pilot place plain plan plant plate play please pocket point pole police
poor port post potato pound power present price print prison prize promise proud public pull pupil
purple push put quality quantity quarter queen question quick quiet quite quiz rabbit race radio
rail rain raise rather reach read ready reason record red remember rest rice rich ride right ring
river road rock roof room root rope rose rough round row rubber rule run sad safe sail salt same
sand save say scale school science sea season seat second secret see seed seem sell send serve seven
several shade shake shape sharp sheep sheet ship shirt shoe shop short should shout show shut sick
side silence silk silver simple since sing sister sit six size skin sky sleep slow small smell smile
smoke snake snow soap soft soil soldier some song soon sorry sound soup south space speak special
speed spell spend spoon sport spring square stage stamp stand star start state station steam steel
step stick still stone stop store storm story strange stream street strong student sugar summer sun
sure surprise sweet swim table tail take talk tall taste tax teach team tear ten tent test than
thank theater their then there thick thin thing think third thousand thread three through thumb
thunder ticket tie tiger tight till time tired title today together tomorrow tongue too tooth top
touch towel tower town toy trade train travel tree triangle trouble true trust try turn twelve
twenty two type ugly umbrella uncle under union unit until upper use useful usual valley value van
vegetable verb very view village violin visit voice vowel voyage wagon wait walk wall want war warm
wash waste watch water wave way weak wear weather week weight welcome well west wet whale what wheat
wheel when where whether which while white who whole why wide wife wild will win wind window wine
winter wire wise wish woman wonder wood wool word work world worry write wrong wrist xenon xerox
xray yard year yellow yes yesterday yet yolk young your youth zebra zenith zero zinc zone zoo
""".split()

_CAPITALS = string.ascii_uppercase
_CLOSING = ",.;:!?"
_BRACKETS = (('"', '"'), ("'", "'"), ("(", ")"), ("[", "]"))
_JOINTS = "-/&+*"


def draw_text(generator: np.random.Generator, characters: Collection[str]) -> str:
    """Draws what a line says: a few words with capitals, numbers and punctuation.

    Args:
        generator: where the chance comes from.
        characters: what may occur besides the space; a word with others is replaced by one without,
            a number left out.

    Raises:
        ValueError: if the characters do not suffice for a single word.
    """
    allowed = frozenset(characters)
    words = _words_of(allowed)
    if not words:
        raise ValueError("expected characters that make words")
    count = int(generator.integers(3, 6))
    plain = [words[index] for index in generator.integers(len(words), size=count)]
    tokens = [(word, _decorated(word, generator)) for word in plain]
    if generator.random() < 0.3:
        tokens.insert(int(generator.integers(len(tokens) + 1)), ("", _number(generator)))
    written = (
        decorated if allowed.issuperset(decorated) else word for word, decorated in tokens
    )
    text = " ".join(word for word in written if word)
    ends = text[-1].isalnum() and "." in allowed and generator.random() < 0.3
    return f"{text}." if ends else text


@functools.cache
def _words_of(characters: frozenset[str]) -> tuple[str, ...]:
    return tuple(word for word in _WORDS if characters.issuperset(word))


def _number(generator: np.random.Generator) -> str:
    """Draws a number of up to four digits, some of them after a sign or a capital."""
    number = str(generator.integers(10 ** int(generator.integers(1, 5))))
    chance = generator.random()
    if chance < 0.2:
        return f"#{number}"
    return f"{_CAPITALS[generator.integers(26)]}{number}" if chance < 0.6 else number


def _decorated(word: str, generator: np.random.Generator) -> str:
    """Gives a word, by chance, a capital, brackets, a second half or punctuation."""
    chance = generator.random(5)
    if chance[0] < 0.1:
        word = word.upper()
    elif chance[0] < 0.4:
        word = word.capitalize()
    if chance[1] < 0.06:
        joint = _JOINTS[generator.integers(len(_JOINTS))]
        word = f"{word}{joint}{_WORDS[generator.integers(len(_WORDS))]}"
    if chance[2] < 0.04:
        word = f"{word}'s"
    if chance[3] < 0.1:
        opening, closing = _BRACKETS[generator.integers(len(_BRACKETS))]
        word = f"{opening}{word}{closing}"
    if chance[4] < 0.2:
        word = f"{word}{_CLOSING[generator.integers(len(_CLOSING))]}"
    return word
