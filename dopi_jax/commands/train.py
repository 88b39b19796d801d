"""`python train.py --config configs/NAME.py`: data and networks of a config, into a run's folder."""

import pathlib
import sys

import jax

from dopi_jax.commands import flags as command_flags
from dopi_jax.commands.watch import DepthPoseWatch, FlowWatch
from dopi_jax.config import Config
from dopi_jax.data.pipeline import training_batches
from dopi_jax.data.selection import EmptySplit, find_data_root, select_sequences
from dopi_jax.data.snippets import Sequence, count_snippets
from dopi_jax.data.sources import kitti_flow
from dopi_jax.training import TrainState, check_same_run, frozen_variables, train


def main() -> None:
    """Trains what the flags say."""
    config = command_flags.config()
    workdir = command_flags.workdir()
    command_flags.use_compilation_cache()
    command_flags.tell_warnings_as_notes()
    run(config, workdir)


def run(config: Config, workdir: pathlib.Path) -> TrainState:
    """Trains a config on its data, going on from the last checkpoint in the run's folder.

    Args:
      config: The experiment, checked.
      workdir: The run's folder.

    Returns:
      The last state.

    Raises:
      UserError: Data or a run of phase 1 are missing or wrong, or as `training.train` says.
    """
    data = config.data
    root = find_data_root(data.root)
    training = [s for name in data.train for s in select_sequences(root, name, for_training=True)]
    validation = [s for name in data.validation for s in _validation_sequences(root, name)]
    print(
        f"{count_snippets(training)} snippets of {len(training)} sequences to train on, "
        f"{count_snippets(validation)} of {len(validation)} to validate; {jax.local_device_count()} "
        f"{jax.local_devices()[0].device_kind} device(s); {workdir}",
        file=sys.stderr,
    )

    def batches(start_step: int):
        return training_batches(
            training,
            size=(data.height, data.width),
            batch_size=config.train.batch_size,
            seed=config.train.seed,
            start_step=start_step,
            augment=data.augment,
            cache=data.cache,
        )

    check_same_run(workdir, config)
    frozen = frozen_variables(workdir, config)
    watch = _watch(config, root, validation) if validation else None
    return train(config, workdir, batches, validate=watch and watch.validate, draw=watch and watch.draw, frozen=frozen)


def _watch(config: Config, root: pathlib.Path, validation: list[Sequence]) -> DepthPoseWatch | FlowWatch:
    if config.phase == "depthpose":
        return DepthPoseWatch(config, validation)
    try:
        scenes = kitti_flow.training_scenes(root)
    except kitti_flow.NoScenes:
        scenes = []
    return FlowWatch(config, validation, scenes)


def _validation_sequences(root: pathlib.Path, selection: str) -> list[Sequence]:
    """A part of KITTI may hold no validation drive; training on it goes on without one."""
    try:
        return select_sequences(root, selection)
    except EmptySplit as error:
        print(f"note: nothing to validate on: {error}", file=sys.stderr)
        return []
