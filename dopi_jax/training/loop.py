"""The training loop: steps, logs, validation, checkpoints, and leaving in good order."""

import math
import pathlib
import signal
import time
from collections.abc import Callable, Iterable, Mapping

import jax
import numpy as np

from dopi_jax import config as config_lib
from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.training import parallel
from dopi_jax.training.checkpoint import Checkpoints, check_same_run
from dopi_jax.training.logging import RunLog
from dopi_jax.training.state import TrainState, create_state, depth_pose_step

Batches = Callable[[int], Iterable[Mapping[str, np.ndarray]]]
Validate = Callable[[TrainState], dict[str, float]]
Draw = Callable[[TrainState], Mapping[str, np.ndarray]]


def train(
    config: Config,
    workdir: pathlib.Path,
    batches: Batches,
    validate: Validate | None = None,
    draw: Draw | None = None,
) -> TrainState:
    """Trains until `config.train.steps`, going on from the last checkpoint in the run's folder.

    Args:
      config: The experiment.
      workdir: The run's folder; made if it is not there.
      batches: Called with the first step to be done; yields batches for it and those after it, as
        `depth_pose_objective` takes them. The same step must always get the same batch for a resumed run to equal one that
        was never interrupted.
      validate: Returns metrics of a state; the one that `config.train.best_by` names decides which checkpoint is the best.
      draw: Returns pictures of a state, uint8 [H, W, 3], by name.

    Returns:
      The last state.

    Raises:
      UserError: The folder holds a run of other networks, the batch cannot be divided among the devices, or the loss is no
        longer finite.
    """
    check_same_run(workdir, config)
    workdir.mkdir(parents=True, exist_ok=True)
    _write_config(workdir, config)
    schedule = config.train
    checkpoints = Checkpoints(workdir, schedule.keep_checkpoints)
    state = parallel.replicate(create_state(config))
    if checkpoints.latest_step is not None:
        state = checkpoints.restore(state)
    first = int(state.step)
    log = RunLog(workdir, schedule.steps, first)
    if first:
        log.say(f"resumed from step {first}")
    step_function = parallel.data_parallel(depth_pose_step(config))
    stop = _StopSignal()
    since, since_step, started = time.monotonic(), first, False
    try:
        for step, batch in zip(range(first + 1, schedule.steps + 1), parallel.prefetched(batches(first)), strict=False):
            if not started:
                log.say("compiling the train step; the first step takes a while")
            state, metrics = step_function(state, batch)
            if not started:
                jax.block_until_ready(metrics)
                log.say(f"first step done after {time.monotonic() - since:.0f} s")
                since, since_step, started = time.monotonic(), step, True
            log.advance()
            last = step == schedule.steps or stop.requested
            if step % schedule.log_every == 0 or step == first + 1 or last:
                values = {name: float(value) for name, value in jax.device_get(metrics).items()}
                now = time.monotonic()
                values["steps_per_second"] = (step - since_step) / (now - since) if step > since_step else 0.0
                since, since_step = now, step
                log.scalars(step, values)
                _check_finite(values, batch, workdir, step)
            if draw is not None and (step % schedule.image_every == 0 or last):
                for name, image in draw(state).items():
                    log.picture(step, name, image)
            if validate is not None and not stop.requested and (step % schedule.validate_every == 0 or last):
                values = validate(state)
                log.scalars(step, values, "validation")
                _keep_best(checkpoints, state, values, schedule.best_by)
            if step % schedule.checkpoint_every == 0 or last:
                checkpoints.save(state)
            if stop.requested:
                log.say(f"stopped at step {step} as asked; the same command goes on from here")
                break
    finally:
        stop.restore()
        log.close()
        checkpoints.close()
    return state


def _write_config(workdir: pathlib.Path, config: Config) -> None:
    partial = workdir / "config.json.partial"
    partial.write_text(config_lib.to_json(config))
    partial.rename(workdir / "config.json")


def _check_finite(values: Mapping[str, float], batch: Mapping[str, jax.Array], workdir: pathlib.Path, step: int) -> None:
    """Stops before a checkpoint of NaN replaces a good one, and keeps the batch for whoever looks for the cause."""
    if math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"]):
        return
    path = workdir / f"not_finite_step_{step}.npz"
    np.savez(path, **jax.device_get(dict(batch)))
    raise UserError(
        f"the loss is {values['loss']} and the gradient's norm {values['grad_norm']} at step {step}: the batch is in {path}; "
        "go on from the last checkpoint with a lower config.optimizer.learning_rate"
    )


def _keep_best(checkpoints: Checkpoints, state: TrainState, values: Mapping[str, float], best_by: str) -> None:
    if best_by not in values:
        raise UserError(
            f"config.train.best_by is {best_by!r}, but validation gave {', '.join(values)}: "
            "abs_rel needs validation drives with velodyne_points; choose 'photometric' without"
        )
    checkpoints.save_if_best(state, values[best_by])


class _StopSignal:
    """Turns SIGTERM and the first Ctrl-C into a request that the loop honours after the current step."""

    def __init__(self):
        self.requested = False
        self._previous = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._previous[number] = signal.signal(number, self._request)
            except ValueError:  # not in the main thread: the caller's program has its own handling
                pass

    def _request(self, number, _frame):
        self.requested = True
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    def restore(self):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
