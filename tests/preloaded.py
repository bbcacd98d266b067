"""What takes seconds to import; `tests.commands` forks processes that have it already.

Nothing here starts a thread, opens a port or defines a flag.
"""

# ruff: noqa: E402

# ruff: noqa: E402, F401

from common import command_line

command_line.start_tensorflow()

import keras_tuner
import scipy.signal

import serving.devserver.launch
import serving.publish.versions
import tuner.analysis.report.report
import tuner.study.progress
import tuner.study.study
