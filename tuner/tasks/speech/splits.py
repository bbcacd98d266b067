"""Which speakers of TIMIT are for validation and which for the test.

Source: Kaldi, egs/timit/s5/conf, dev_spk.list and test_spk.list. The test speakers are TIMIT's own
core test set.
"""

from __future__ import annotations

from collections.abc import Iterable

VALIDATION = frozenset(
    """
    faks0 fdac1 fjem0 mgwt0 mjar0 mmdb1 mmdm2 mpdf0 fcmh0 fkms0 mbdg0 mbwm0 mcsh0 fadg0 fdms0 fedw0
    mgjf0 mglb0 mrtk0 mtaa0 mtdt0 mthc0 mwjg0 fnmr0 frew0 fsem0 mbns0 mmjr0 mdls0 mdlf0 mdvc0 mers0
    fmah0 fdrw0 mrcs0 mrjm4 fcal1 mmwh0 fjsj0 majc0 mjsw0 mreb0 fgjd0 fjmg0 mroa0 mteb0 mjfc0 mrjr0
    fmml0 mrws1
    """.split()
)
"""The 50 speakers of TIMIT's folder TEST that choose the epoch and the hyperparameters."""

TEST = frozenset(
    """
    mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0
    mbpm0 mklt0 fnlp0 mcmj0 mjdh0 fmgd0 mgrt0 mnjm0 fdhc0 mjln0 mpam0 fmld0
    """.split()
)
"""The 24 speakers of the core test set."""

_EVERY, _VALIDATION_PLACE, _TEST_PLACE = 8, 2, 5


def of_sample(speakers: Iterable[str]) -> dict[str, str]:
    """Splits the speakers of a sample that comes without splits.

    The women and the men, each in the order of their folders' names, are counted in rounds of
    eight: the third of a round is for validation, the sixth for the test, all others for training.

    Args:
        speakers: names of folders such as `dr1-fvmh0`.

    Returns:
        For each the name of its split.

    Example:
        >>> of_sample(f"dr1-fab{letter}0" for letter in "cdefgh")["dr1-fabe0"]
        'validation'
    """
    splits = {}
    counts = {"f": 0, "m": 0}
    for speaker in sorted(speakers):
        sex = speaker.rpartition("-")[2][0]
        place = counts[sex] % _EVERY
        counts[sex] += 1
        splits[speaker] = {_VALIDATION_PLACE: "validation", _TEST_PLACE: "test"}.get(place, "train")
    return splits
