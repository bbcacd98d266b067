"""Maps the phonemes of eSpeak NG to the phones of TIMIT.

What a mnemonic stands for depends on the accent: only General American pronounces the r of "car"
within its vowel - there the third formant falls below 1,900 Hz, in no other accent -, Scottish
pronounces it as a separate phoneme, and the others leave it out.
"""

from __future__ import annotations

from collections.abc import Mapping

GENERAL_AMERICAN, SCOTTISH, CARIBBEAN = "en-us", "en-gb-scotland", "en-029"

GLIDE = ";"
"""A short [j] between two vowels, which TIMIT counts as part of the first one."""

# Phones < mnemonics that stand for them | ...; two phones share the time of one mnemonic.
_EVERYWHERE = """
iy < i i: | ih < I I@ | ix < I2 I# | eh < E e E# | ae < a aa | ax < a# @ @- @2 @5 |
aa < 0 A A: 0# A~ | ao < O O: O2 | uh < U | uw < u u: y y: | ah < V | er < 3: VR IR Vr |
axr < @r | el < @L | ey < eI e: | ay < aI aI2 ai | aw < aU au | oy < OI | ow < oU oU# @U |
p < p | b < b | t < t t2 t[ | d < d d# d2 | k < k x | g < g Q | ch < tS | jh < dZ |
dx < t# t- * ** *- | q < ? | f < f | v < v v# | th < T | dh < D | s < s s; | z < z z# z/2 |
sh < S | zh < Z | hh < h C | m < m | n < n | ng < N | em < m- | en < n- | eng < N- |
l < l l# l/ L | r < r r- r2 R R2 | w < w w# | y < j
"""
_WITHOUT_R = """
ax < 3 | aa < A@ | ao < O@ o@ | uh ax < U@ u@ | eh ax < e@ | ih ax < i@3 i@ i@2 |
ay ax < aI@ aI3 | aw ax < aU@ | ey ax < eI@
"""
_WITH_R = """
axr < 3 | aa r < A@ | ao r < O@ o@ | uh r < U@ u@ | eh r < e@ | ih r < i@3 | ih ax < i@ i@2 |
ay ax < aI@ | ay axr < aI3 | aw axr < aU@ | ey axr < eI@
"""
_R_OF_ITS_OWN = "eh < e@ | ih < i@3"
_OPEN_NURSE = "ah < 3:"

Table = Mapping[str, tuple[str, ...]]


def _table(*texts: str) -> Table:
    """Reads tables; an entry replaces that of an earlier table."""
    table = {}
    for entry in "|".join(texts).split("|"):
        phones, _, mnemonics = entry.partition(" < ")
        table.update({mnemonic: tuple(phones.split()) for mnemonic in mnemonics.split()})
    return table


_OTHER_ACCENTS = _table(_EVERYWHERE, _WITHOUT_R)
_TABLES = {
    GENERAL_AMERICAN: _table(_EVERYWHERE, _WITH_R),
    SCOTTISH: _table(_EVERYWHERE, _WITHOUT_R, _R_OF_ITS_OWN),
    CARIBBEAN: _table(_EVERYWHERE, _WITHOUT_R, _OPEN_NURSE),
}


class Unmapped(Exception):
    """A mnemonic without a known phone."""


def plain(mnemonic: str) -> str:
    """Strips the marks of stress and length from a mnemonic; returns "" for silence.

    Example:
        >>> plain("'eI"), plain(",E"), plain("_:")
        ('eI', 'E', '')
    """
    if mnemonic.startswith("_"):
        return ""
    return mnemonic.strip("'%,=|_").replace("'", "").replace(",", "")


def phones(mnemonic: str, accent: str) -> tuple[str, ...]:
    """Returns the TIMIT phones of a plain mnemonic, other than silence, in an accent.

    Returns:
        One phone, or two, of which the second is the end of a diphthong.

    Raises:
        Unmapped: if the mnemonic is unknown.

    Example:
        >>> phones("A@", "en-us"), phones("A@", "en-gb-x-rp")
        (('aa', 'r'), ('aa',))
    """
    found = _TABLES.get(accent, _OTHER_ACCENTS).get(mnemonic)
    if found is None:
        raise Unmapped(
            f"expected a phoneme that has a phone of TIMIT. Received: {mnemonic} in {accent}"
        )
    return found
