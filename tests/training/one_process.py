"""One process of several that train the weight vector: COORDINATOR PROCESSES PROCESS WORKDIR STEPS [SECONDS a step]."""

import pathlib
import sys
import time

import numpy as np
from conftest import weight_batch, weight_state, weight_step

from dopi_jax.config import Config
from dopi_jax.errors import report_user_errors
from dopi_jax.training import loop, processes


def main(coordinator: str, count: str, process: str, workdir: str, steps: str, seconds: str = "0") -> None:
    processes.join(coordinator, int(count), int(process))
    loop.create_state, loop.train_step = weight_state, weight_step
    which, parts = processes.share()

    def batches(first):
        while True:
            first += 1
            time.sleep(float(seconds))
            yield {name: np.split(array, parts)[which] for name, array in weight_batch(first).items()}

    config = Config()
    vars(config.train).update(steps=int(steps), log_every=1, checkpoint_every=10)
    with processes.ending_together():
        state = loop.train(config, pathlib.Path(workdir), batches)
    print(f"step {int(state.step)}, w {np.asarray(state.params['w']).tolist()}", flush=True)


if __name__ == "__main__":
    with report_user_errors():
        main(*sys.argv[1:])
