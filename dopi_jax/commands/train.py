"""`python train.py --config configs/NAME.py`: data and networks of a config, into a run's folder."""

import pathlib
import sys

import jax
import numpy as np

from dopi_jax import evaluation, predict, visualization
from dopi_jax.commands import flags as command_flags
from dopi_jax.config import Config
from dopi_jax.data.images import network_input, read_image
from dopi_jax.data.pipeline import training_batches, validation_batches
from dopi_jax.data.selection import EmptySplit, find_data_root, select_sequences
from dopi_jax.data.snippets import Sequence, count_snippets
from dopi_jax.data.velodyne import with_ground_truth
from dopi_jax.errors import UserError
from dopi_jax.training import TrainState, train

_LIDAR_FRAMES = 50  # at most; more would hold up training


def main() -> None:
    """Trains what the flags say."""
    config = command_flags.config()
    workdir = command_flags.workdir()
    command_flags.use_compilation_cache()
    command_flags.tell_warnings_as_notes()

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

    watch = _Watch(config, validation) if validation else None
    train(config, workdir, batches, validate=watch and watch.validate, draw=watch and watch.draw)


def _validation_sequences(root: pathlib.Path, selection: str) -> list[Sequence]:
    """A part of KITTI may hold no validation drive; training on it goes on without one."""
    try:
        return select_sequences(root, selection)
    except EmptySplit as error:
        print(f"note: nothing to validate on: {error}", file=sys.stderr)
        return []


class _Watch:
    """Looks at a state through the validation snippets."""

    def __init__(self, config: Config, sequences: list):
        self._config = config
        self._sequences = sequences
        self._view = predict.make_view_snippets(config)
        self._predict_disparity = predict.make_predict_disparity(config)
        targets = [snippet.target for sequence in sequences for snippet in sequence.snippets()]
        lidar = with_ground_truth(targets)
        if config.train.best_by == "abs_rel" and not lidar:
            raise UserError(
                "config.train.best_by is 'abs_rel', but no frame of config.data.validation has a laser scan: validate on "
                "drives with velodyne_points, or choose 'photometric'"
            )
        self._lidar = lidar[:: max(1, len(lidar) // _LIDAR_FRAMES)][:_LIDAR_FRAMES]

    def _batches(self):
        data = self._config.data
        size = min(self._config.train.batch_size, count_snippets(self._sequences))
        return validation_batches(self._sequences, (data.height, data.width), size, self._config.train.validation_batches)

    def validate(self, state: TrainState) -> dict[str, float]:
        """Mean diagnostics over the validation snippets; depth metrics where their drives have laser scans."""
        variables = _variables(state)
        scalars = []
        for batch in self._batches():
            view = self._view(variables, batch)
            scalars.append({name: np.mean(value) for name, value in view["scalars"].items()})
        return {name: float(np.mean([s[name] for s in scalars])) for name in scalars[0]} | self._depth_metrics(variables)

    def _depth_metrics(self, variables: dict) -> dict[str, float]:
        if not self._lidar:
            return {}
        per_image = []
        for frame in self._lidar:
            image = network_input(read_image(frame.image, (self._config.data.height, self._config.data.width)))
            depth = 1 / np.asarray(self._predict_disparity(variables, image[None]))[0]
            per_image.append(evaluation.depth_metrics(frame.ground_truth(), depth))
        means = evaluation.average_depth_metrics(per_image)
        return {name: means[name] for name in evaluation.DEPTH_METRICS}

    def draw(self, state: TrainState) -> dict[str, np.ndarray]:
        """The panel of the first validation snippet."""
        view = self._view(_variables(state), next(iter(self._batches())))
        del view["scalars"]
        return {"snippet": visualization.snippet_panel(jax.tree.map(lambda value: np.asarray(value[0]), view))}


def _variables(state: TrainState) -> dict:
    params, stats = jax.device_get((state.params, state.batch_stats))
    return {"depth": {"params": params["depth"], "batch_stats": stats["depth"]}, "pose": {"params": params["pose"]}}
