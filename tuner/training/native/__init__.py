"""Engine `native`: trains the study's trials in compiled code (Numba), one trial per core.

An update on one sequence works on a few hundred kilobytes of weights, which fit in a core's cache;
a framework's loop around it takes ten times as long as the work itself. Here an epoch is one or a
few compiled calls, for all variants, heads and directions.

Machine code is cached in `NUMBA_CACHE_DIR`, else in the project's cache folder.
"""
