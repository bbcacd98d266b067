"""Engine `native`: the study's trials in compiled code (Numba), one trial a core.

One sequence an update is work on a few hundred kilobytes of weights, which a core holds in its
cache; a framework's loop around it takes ten times as long as the work. Here an epoch is one
compiled call, for all variants, heads and directions.

Machine code is cached in `NUMBA_CACHE_DIR`, else in the project's cache folder.
"""
