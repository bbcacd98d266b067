"""The 61 phones of TIMIT, and the 48 and 39 classes that they are folded into.

Source: Lee and Hon, "Speaker-independent phone recognition using hidden Markov models" (1989), as
in Kaldi's `phones.60-48-39.map`.
"""

from __future__ import annotations

_FOLDING = """
aa aa aa, ae ae ae, ah ah ah, ao ao aa, aw aw aw, ax ax ah, ax-h ax ah, axr er er, ay ay ay,
b b b, bcl vcl sil, ch ch ch, d d d, dcl vcl sil, dh dh dh, dx dx dx, eh eh eh, el el l, em m m,
en en n, eng ng ng, epi epi sil, er er er, ey ey ey, f f f, g g g, gcl vcl sil, h# sil sil,
hh hh hh, hv hh hh, ih ih ih, ix ix ih, iy iy iy, jh jh jh, k k k, kcl cl sil, l l l, m m m, n n n,
ng ng ng, nx n n, ow ow ow, oy oy oy, p p p, pau sil sil, pcl cl sil, q - -, r r r, s s s,
sh sh sh, t t t, tcl cl sil, th th th, uh uh uh, uw uw uw, ux uw uw, v v v, w w w, y y y, z z z,
zh zh sh
"""
_ROWS = tuple(tuple(row.split()) for row in _FOLDING.split(","))

PHONES: tuple[str, ...] = tuple(row[0] for row in _ROWS)
"""The phones in alphabetical order; a phone's class is its index here."""

SILENCE = "h#"
"""The silence before the first and after the last phone of a sentence."""

INDEX: dict[str, int] = {phone: index for index, phone in enumerate(PHONES)}
"""The class of each phone."""

FOLDED_48: dict[str, str] = {phone: folded for phone, folded, _ in _ROWS if folded != "-"}
"""Maps a phone to the class that other work trains models on; `q` has none."""

FOLDED_39: dict[str, str] = {phone: folded for phone, _, folded in _ROWS if folded != "-"}
"""Maps a phone to the class that other work scores; `q` has none."""

CLASSES_39: tuple[str, ...] = tuple(sorted(set(FOLDED_39.values())))
"""The 39 classes in alphabetical order."""

GROUPS: tuple[int, ...] = tuple(
    CLASSES_39.index(FOLDED_39[phone]) if phone in FOLDED_39 else -1 for phone in PHONES
)
"""For each phone the index of its class in `CLASSES_39`; -1 for `q`."""
