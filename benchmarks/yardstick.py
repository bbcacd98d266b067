"""One known trial by the paper's rules, three seeds: is the whole path right?

    python -m benchmarks.yardstick --data=PATH/JSB_Chorales.mat

Vanilla LSTM, 60 units, learning rate 0.01, momentum 0.5, noise 0.1, at most 150 epochs, patience
15. On the canonical JSB Chorales an implementation in NumPy alone gets a test NLL of 8.45 to 8.56
nats per frame. Both engines train the same trials; their curves part slowly, as rounding grows.
"""

from __future__ import annotations

from absl import flags

from benchmarks import table
from common import command_line

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
_SEEDS = flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds of weights and noise.")
_ENGINES = flags.DEFINE_list("engines", ["native", "keras"], "Engines to train with.")


def main() -> int:
    """Runs the command."""
    command_line.start_tensorflow()
    from tuner.tasks.task import find_task
    from tuner.training import keras_engine
    from tuner.training.engines import ENGINES
    from tuner.training.protocol import Problem, Protocol, Trial

    keras_engine.use_one_thread()
    task = find_task("music")
    corpus = task.load(_DATA.value)
    print(f"data: {corpus.dataset}")
    values = {"units": 60, "learning_rate": 0.01, "momentum": 0.5, "noise_std": 0.1}
    trials = [Trial(0, "V", values, seed=int(seed)) for seed in _SEEDS.value]
    rows = []
    outcomes = (
        outcome
        for engine in _ENGINES.value
        for outcome in ENGINES[engine].trainer(Problem(task, corpus, Protocol())).train(trials)
    )
    for outcome in outcomes:
        result = outcome.result
        rows.append(
            {
                "data": corpus.dataset.name,
                "seed": outcome.trial.seed,
                "best_epoch": result.best_epoch,
                "epochs": result.curve[-1].epoch,
                "validation": round(result.validation.mean, 4),
                "test": round(result.test.mean, 4),
                "test_per_sequence": round(result.test.sequence_mean, 4),
                "seconds": round(result.seconds, 1),
                "engine": result.engine,
            }
        )
        print(rows[-1])
    print(f"results: {table.save('yardstick', rows)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
