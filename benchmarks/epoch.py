"""Seconds an epoch of the `keras` engine, beside `keras.layers.LSTM` on the same work.

    python -m benchmarks.epoch --data=auto

The work of an epoch is the protocol's: noise, one update a sequence, validation. Each number is the
median over epochs after the first, which compiles; `ratio` is to `keras.layers.LSTM` of the same
run, units and threads.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Any

from absl import flags

from benchmarks import table
from serving import command_line

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
_EPOCHS = flags.DEFINE_integer("epochs", 3, "Epochs of each measurement.", lower_bound=2)
_UNITS = flags.DEFINE_list("units", ["20", "60", "200"], "Sizes to measure with one thread.")
_THREADS = flags.DEFINE_integer("threads", None, "Measure with these threads only and print JSON.")

_CELLS = ("V", "FGR")
_PEER = "keras.layers.LSTM"


def _seconds_an_epoch(name: str, units: int) -> float:
    """Trains a network for some epochs and returns the median time of all but the first."""
    import keras

    from tuner import network, reference
    from tuner.protocol import Protocol, Trial
    from tuner.tasks.task import find_task

    task = find_task("music")
    corpus = task.load(_DATA.value)
    code = "NP" if name == _PEER else name
    trial = Trial(0, code, units, learning_rate=1e-3, momentum=0.5, noise_std=0.1, seed=1)
    protocol = Protocol(max_epochs=_EPOCHS.value)
    keras.utils.set_random_seed(1)
    keras.utils.clear_session()
    if name == _PEER:
        sequence = keras.Input((None, task.inputs))
        hidden = keras.layers.LSTM(units, return_sequences=True, unit_forget_bias=False)(sequence)
        model = keras.Model(sequence, keras.layers.Dense(task.outputs)(hidden))
    else:
        model = network.build_network(task, code, units, protocol.weight_std)
    network.compile_network(model, task, trial)
    measure = network.Scorer(model, task)
    feed = reference.Feed(trial, protocol, corpus.train)
    times = []
    for epoch in range(1, protocol.max_epochs + 1):
        feed.epoch = epoch
        started = time.perf_counter()
        model.fit(feed.dataset(), shuffle=False, verbose=0)
        measure(corpus.validation)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def _measure(threads: int) -> list[dict[str, Any]]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    rows = []
    for units in [int(size) for size in _UNITS.value]:
        seconds = {name: _seconds_an_epoch(name, units) for name in (_PEER, *_CELLS)}
        rows += [
            {
                "network": name,
                "units": units,
                "threads": threads,
                "seconds_an_epoch": round(value, 3),
                "ratio": round(value / seconds[_PEER], 2),
            }
            for name, value in seconds.items()
        ]
    return rows


def main() -> int:
    """Runs the command."""
    command_line.start_tensorflow()
    if _THREADS.value is not None:
        print(json.dumps(_measure(_THREADS.value)))
        return 0
    rows: list[dict[str, Any]] = []
    # TensorFlow takes the number of threads once a process.
    for threads in (1, 2):
        command = [sys.executable, "-m", "benchmarks.epoch", *sys.argv[1:], f"--threads={threads}"]
        if threads > 1:
            command.append("--units=60")
        done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
        rows += json.loads(done.stdout.splitlines()[-1])
    print(f"{'network':20}{'units':>6}{'threads':>9}{'s/epoch':>9}{'ratio':>7}")
    for row in rows:
        network, units, threads, seconds, ratio = row.values()
        print(f"{network:20}{units:6d}{threads:9d}{seconds:9.2f}{ratio:7.2f}")
    print(f"results: {table.save('epoch', rows)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
