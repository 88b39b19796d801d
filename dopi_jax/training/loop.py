"""The training loop: steps, logs, validation, checkpoints, and stopping cleanly."""

import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.training import parallel, processes
from dopi_jax.training.bad_steps import BadSteps
from dopi_jax.training.checkpoint import Checkpoints
from dopi_jax.training.collapse import CollapseMonitor
from dopi_jax.training.logging import RunLog
from dopi_jax.training.run_config import write_config
from dopi_jax.training.run_folder import hold, user_error_if_unwritable
from dopi_jax.training.state import TrainState, create_state
from dopi_jax.training.step import train_step
from dopi_jax.training.stop import StopSignal
from dopi_jax.training.trained import check_same_run

Batches = Callable[[int], Iterable[Mapping[str, np.ndarray]]]
Validate = Callable[[TrainState], dict[str, float]]
Draw = Callable[[TrainState], Mapping[str, np.ndarray]]
Batch = TypeVar("Batch")


def train(
    config: Config,
    workdir: pathlib.Path,
    batches: Batches,
    validate: Validate | None = None,
    draw: Draw | None = None,
    frozen: Any = None,
    initial: Mapping[str, Any] | None = None,
    resident: Mapping[str, np.ndarray] | None = None,
    input_metrics: Callable[[], Mapping[str, float]] | None = None,
) -> TrainState:
    """Trains until `config.train.steps`, going on from the last checkpoint in the run's folder.

    Args:
      config: The experiment.
      workdir: The run's folder; made if it is not there.
      batches: Called with the first step to be done; yields batches for it and those after it, as
        `depth_pose_objective` and `flow_objective` take them. The same step must always get the same batch for a resumed
        run to equal one that was never interrupted.
      validate: Returns metrics of a state; the one that `config.train.best_by` names decides which checkpoint is the best.
        SIGTERM ends it at once.
      draw: Returns pictures of a state, uint8 [H, W, 3], by name; SIGTERM ends it at once.
      frozen: Variables of networks that the phase uses and does not train, as `frozen_variables` gives them.
      initial: Variables of networks to start from instead of random ones; a run that goes on does without.
      resident: All frames of the training, as `parallel.gathered` takes them, to be kept on the devices; `batches` then
        yields indices into them.
      input_metrics: Returns numbers about the input to log beside those of the step.

    Returns:
      The last state.

    Raises:
      UserError: The folder holds a run of other networks, cannot be written or is in use by another process; no checkpoint
        in it can be read, or the last one cannot be written; the batch cannot be divided among the devices, the batches end
        too early, or loss or gradient are not finite for `config.train.max_bad_steps` steps in a row.
    """
    if not processes.is_first():
        return _follow(config, batches, resident)
    with hold(workdir):
        return _train(config, workdir, batches, validate, draw, frozen, initial, resident, input_metrics)


def _train(config, workdir, batches, validate, draw, frozen, initial, resident, input_metrics) -> TrainState:
    check_same_run(workdir, config)
    with user_error_if_unwritable(workdir):
        write_config(workdir, config)
    schedule = config.train
    checkpoints = Checkpoints(workdir, schedule.keep_checkpoints, config)
    is_new = checkpoints.latest_step is None
    from_imagenet = is_new and initial is None and config.model.pretrained
    state = parallel.replicate(create_state(config, frozen, initial, pretrained=from_imagenet))
    if not is_new:
        state = checkpoints.restore(state)
    processes.broadcast(state)
    first = int(state.step)
    with user_error_if_unwritable(workdir):
        log = RunLog(workdir, schedule.steps, first)
    if first:
        log.say(f"resumed from step {first}")
    if first >= schedule.steps:
        log.say(f"nothing to do: config.train.steps is {schedule.steps}")
    stop = StopSignal()
    step_function = parallel.data_parallel(stop.share_requests(train_step(config)))
    finite = BadSteps(workdir, schedule.max_bad_steps, log.warn, checkpoints.bad_steps)
    monitor = CollapseMonitor()

    def is_due(period: int) -> bool:
        return step % period == 0 or step == schedule.steps or stop.agreed

    def save() -> None:
        finite.check_last()
        checkpoints.save(state, finite.count)

    def run_validation() -> None:
        values = stop.unless_requested(validate, state)
        if values is not None:
            _keep_best(checkpoints, state, values, schedule.best_by)
            log.scalars(step, values, "validation")  # last: a run that is killed before it looks again when it goes on

    try:
        step, since, since_step = first, time.monotonic(), first
        if first and validate is not None and is_due(schedule.validate_every) and not log.has(first, "validation"):
            run_validation()
        waited = _WaitedFor(_on_devices(batches(first), resident))
        for step, batch in zip(range(first + 1, schedule.steps + 1), waited, strict=False):
            if step == first + 1:
                log.say("compiling the train step; the first step takes a while")
            state, metrics = step_function(state, stop.add_request(batch))
            stop.read_requests(metrics)
            waited.while_not_ready(metrics["loss"])
            finite.check(step, metrics, batch)
            if step == first + 1:
                jax.block_until_ready(metrics)
                log.say(f"first step done after {time.monotonic() - since:.0f} s")
                since, since_step = time.monotonic(), step
                waited.since_last_asked()
            log.advance()
            if is_due(schedule.log_every) or step == first + 1:
                values = {name: float(value) for name, value in jax.device_get(metrics).items()}
                now = time.monotonic()
                values["steps_per_second"] = (step - since_step) / (now - since) if step > since_step else 0.0
                finite.check_last()
                values["bad_steps"] = finite.count
                values |= input_metrics() if input_metrics else {}
                values["waiting_for_input"] = waited.since_last_asked() / (now - since) if step > since_step else 0.0
                since, since_step = now, step
                log.scalars(step, values)
                for sentence in monitor.check(step, values):
                    log.warn(step, sentence)
            if is_due(schedule.checkpoint_every):
                save()
            if draw is not None and is_due(schedule.image_every):
                for name, image in (stop.unless_requested(draw, state) or {}).items():
                    log.picture(step, name, image)
            if validate is not None and is_due(schedule.validate_every):
                run_validation()
            if stop.agreed:
                save()
                log.say(f"stopped at step {step} as asked; the same command goes on from here")
                break
        else:
            if step < schedule.steps:
                save()
                raise UserError(
                    f"the batches end after step {step}, config.train.steps is {schedule.steps}: give more batches"
                )
    finally:
        log.close()
        checkpoints.close()
        stop.restore()
    checkpoints.check_last()
    return state


def _follow(config: Config, batches: Batches, resident: Mapping[str, np.ndarray] | None) -> TrainState:
    """Trains as `_train` does, in a process that is not the first: it writes nothing."""
    state = parallel.replicate(processes.receive())
    first = int(state.step)
    stop = StopSignal()
    step_function = parallel.data_parallel(stop.share_requests(train_step(config)))
    try:
        for _, batch in zip(range(first, config.train.steps), _on_devices(batches(first), resident), strict=False):
            state, metrics = step_function(state, stop.add_request(batch))
            stop.read_requests(metrics)
            if stop.agreed:
                break
        jax.block_until_ready(state)
    finally:
        stop.restore()
    return state


def _on_devices(batches: Iterable[Batch], resident: Mapping[str, np.ndarray] | None) -> Iterator[Batch]:
    """The batches, ahead of time; those of indices with the resident frames that they name."""
    ahead = parallel.prefetched(batches)
    return ahead if resident is None else parallel.gathered(ahead, resident)


class _WaitedFor:
    """Batches, and for how long the devices waited for them: not at all where they still work when a batch comes."""

    def __init__(self, batches: Iterator[Batch]):
        self._batches = batches
        self._seconds = 0.0
        self._result: jax.Array | None = None

    def while_not_ready(self, result: jax.Array) -> None:
        """Says what the devices work at from now on."""
        self._result = result

    def since_last_asked(self) -> float:
        """Returns seconds."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        start = time.monotonic()
        batch = next(self._batches)
        if self._result is None or self._result.is_ready():
            self._seconds += time.monotonic() - start
        return batch


def _keep_best(checkpoints: Checkpoints, state: TrainState, values: Mapping[str, float], best_by: str) -> None:
    scores = {**values, "latest": -int(state.step)}
    if best_by not in scores:
        raise UserError(f"config.train.best_by is {best_by!r}, but validation gave {', '.join(values)}: choose one of these")
    checkpoints.save_if_best(state, scores[best_by], best_by)
