"""The engine `native` with a checkpoint at every chance, in place of one every 30 seconds."""

from __future__ import annotations

import dataclasses
import functools

from tuner.training.engines import ENGINES
from tuner.training.native import engine

EAGER = dataclasses.replace(ENGINES["native"], module="tests.tuner.parallel.eager_engine")


class Trainer(engine.Trainer):
    """As `native`'s."""

    train = functools.partialmethod(engine.Trainer.train, checkpoint_seconds=0.0)
