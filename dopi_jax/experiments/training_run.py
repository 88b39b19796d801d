"""Trains a config on the data that it selects, into a run's folder."""

import pathlib
import sys

import jax
import numpy as np

from dopi_jax.config import Config
from dopi_jax.data.footage import Footage
from dopi_jax.data.pipeline import TrainingInput
from dopi_jax.data.preflight import check_footage
from dopi_jax.data.selection import find_data_roots, select_sequences
from dopi_jax.data.snippets import Sequence, count_snippets
from dopi_jax.data.sources import EmptySplit, NoFootage, kitti_flow
from dopi_jax.experiments.validation import DepthPoseValidator, FlowValidator
from dopi_jax.models import learned_intrinsics
from dopi_jax.training import (
    TrainState,
    check_same_run,
    frozen_variables,
    initial_variables,
    processes,
    train,
)
from dopi_jax.training.run_folder import hold, refuse_if_used

Roots = tuple[pathlib.Path, ...]


def run_training(config: Config, workdir: pathlib.Path) -> TrainState:
    """Trains a config on its data, going on from the last checkpoint in the run's folder.

    Args:
      config: The experiment, checked.
      workdir: The run's folder.

    Returns:
      The last state.

    Raises:
      UserError: Data or a run of phase 1 are missing or wrong, or as `training.train` says.
    """
    first = processes.is_first()
    if first:
        refuse_if_used(workdir)
    data = config.data
    roots = find_data_roots(data.root)
    training = _sequences(config, roots, data.train, for_training=True)
    validation = _sequences(config, roots, data.validation)
    size = data.height, data.width
    if first:
        for report in check_footage(training + validation, size, learns_focal_length=data.learns_focal_length):
            print(report.render(), file=sys.stderr)
    source = TrainingInput(
        training,
        size=size,
        batch_size=config.train.batch_size,
        seed=config.train.seed,
        cache=data.cache,
        matches=config.needs_matches,
        max_bad_frames=data.max_bad_frames,
        share=processes.share(),
    )
    batches = source.index_batches if data.on_device else source.batches
    resident = source.reader.read_all()._asdict() if data.on_device else None
    if not first:
        return train(config, workdir, batches, resident=resident)
    print(
        f"{count_snippets(training)} snippets of {len(training)} sequences to train on, "
        f"{count_snippets(validation)} of {len(validation)} to validate; {jax.device_count()} "
        f"{jax.local_devices()[0].device_kind} device(s); {workdir}",
        file=sys.stderr,
    )
    with hold(workdir):
        check_same_run(workdir, config)
        frozen = frozen_variables(workdir, config)
        validator = _validator(config, roots, validation) if validation else None
        state = train(
            config,
            workdir,
            batches,
            validate=validator and validator.validate,
            draw=validator and validator.draw,
            frozen=frozen,
            initial=initial_variables(workdir, config),
            resident=resident,
            input_metrics=lambda: {"bad_frames": source.reader.bad_frames},
        )
    if config.trains_camera:
        print(_focal_length_in_words(state, training[0]), file=sys.stderr)
    return state


def _focal_length_in_words(state: TrainState, sequence: Sequence) -> str:
    variables = jax.device_get(state.variables)
    height, width = sequence.image_size
    (fx, _, cx), (_, fy, cy), _ = np.asarray(learned_intrinsics(variables, sequence.intrinsics[None])[0], np.float64)
    return (
        f"learnt focal length: {fx / sequence.intrinsics[0, 0]:.3f} times what training started from; for the frames of "
        f"{sequence.name}, {width}x{height}, that makes fx,fy,cx,cy = {fx:.1f},{fy:.1f},{cx:.1f},{cy:.1f}"
    )


def _validator(config: Config, roots: Roots, validation: list[Sequence]) -> DepthPoseValidator | FlowValidator:
    if config.phase == "depthpose":
        return DepthPoseValidator(config, validation)
    try:
        scenes = kitti_flow.training_scenes(roots)
    except kitti_flow.NoScenes:
        scenes = []
    return FlowValidator(config, validation, scenes)


def _sequences(config: Config, roots: Roots, selections: tuple[str, ...], for_training: bool = False) -> list[Sequence]:
    """The sequences of all selections; a split of which nothing is at hand is left out with a note."""
    data = config.data
    footage = Footage("" if data.learns_focal_length else data.intrinsics, data.field_of_view, data.stride)
    sequences, empty = [], []
    for selection in selections:
        try:
            sequences += select_sequences(roots, selection, for_training=for_training, footage=footage)
        except EmptySplit as error:
            empty.append(error)
    if for_training and empty and not sequences:
        raise empty[0]
    for error in empty:
        if isinstance(error, NoFootage) and sequences:
            continue
        print(f"note: nothing to {'train' if for_training else 'validate'} on: {error}", file=sys.stderr)
    return sequences
