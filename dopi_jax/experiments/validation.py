"""Validation during training: metrics and pictures of a run, for each phase."""

import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from dopi_jax import evaluation, predict, visualization
from dopi_jax.augment import network_batch
from dopi_jax.config import Config
from dopi_jax.data import tracking
from dopi_jax.data.images import network_input, read_image
from dopi_jax.data.pipeline import validation_batches
from dopi_jax.data.snippets import Sequence as FrameSequence
from dopi_jax.data.snippets import count_snippets
from dopi_jax.data.sources import kitti_flow
from dopi_jax.data.velodyne import EvaluationImage, with_ground_truth
from dopi_jax.errors import UserError
from dopi_jax.experiments.skipped import Skipped, depth_truth
from dopi_jax.training import TrainState

_LIDAR_FRAMES = 50  # at most; more would hold up training
_FLOW_SCENES = 50
Item, Read = TypeVar("Item"), TypeVar("Read")


class DepthPoseValidator:
    """Validates phase 1 on the validation snippets."""

    def __init__(self, config: Config, sequences: Sequence[FrameSequence]):
        """Reads the laser scans that some of the snippets have; unreadable ones are left out with a note.

        Args:
          config: The experiment.
          sequences: What to validate on.

        Raises:
          UserError: The best checkpoint is chosen by laser scans, and there are none that can be read.
        """
        self._config = config
        self._sequences = sequences
        self._view = predict.make_view_snippets(config)
        self._predict_disparity = predict.make_predict_disparity(config)
        targets = [snippet.target for sequence in sequences for snippet in sequence.snippets()]
        lidar = _spread(with_ground_truth(targets), _LIDAR_FRAMES)
        if config.train.best_by == "abs_rel" and not lidar:
            raise UserError(
                "config.train.best_by is 'abs_rel', but no frame of config.data.validation has a laser scan: validate on "
                "drives with velodyne_points, or choose 'photometric'"
            )

        def read(frame: EvaluationImage) -> tuple[np.ndarray, np.ndarray]:
            return _frame(config, frame.image), depth_truth(frame).astype(np.float32)

        self._lidar = _read(config, lidar, "abs_rel", read)

    def validate(self, state: TrainState) -> dict[str, float]:
        """Returns mean diagnostics over the validation snippets, and depth metrics where their drives have laser scans."""
        return self.validate_variables(_variables(state))

    def validate_variables(self, variables: dict) -> dict[str, float]:
        """Returns what `validate` does, for the variables of trained networks."""
        means = _mean_scalars(self._view(variables, batch) for batch in _batches(self._config, self._sequences))
        return means | self._depth_metrics(variables)

    def _depth_metrics(self, variables: dict) -> dict[str, float]:
        if not self._lidar:
            return {}
        per_image = []
        for image, truth in self._lidar:
            depth = 1 / np.asarray(self._predict_disparity(variables, network_input(image)[None]))[0]
            per_image.append(evaluation.depth_metrics(truth, depth))
        means = evaluation.average_depth_metrics(per_image)
        return {name: means[name] for name in evaluation.DEPTH_METRICS}

    def draw(self, state: TrainState) -> dict[str, np.ndarray]:
        """Returns the panel of the first validation snippet."""
        view = self._view(_variables(state), next(_batches(self._config, self._sequences)))
        return {"snippet": visualization.snippet_panel(_first(view))}


class _FlowPair(NamedTuple):
    """A pair with true flow: uint8 frames [3, H, W, 3] at the networks' size, K [3, 3] there, maybe matches [2, N, 4]."""

    frames: np.ndarray
    truth: kitti_flow.FlowTruth
    K: np.ndarray
    matches: np.ndarray | None


class FlowValidator:
    """Validates phase 2 on the validation snippets, and on pairs with true flow where they are at hand."""

    def __init__(self, config: Config, sequences: Sequence[FrameSequence], scenes: Sequence[kitti_flow.FlowScene]):
        """Reads the pairs with true flow; unreadable ones are left out with a note.

        Args:
          config: The experiment.
          sequences: What to validate on.
          scenes: Pairs with true flow, maybe none.

        Raises:
          UserError: The best checkpoint is chosen by true flow, and there is none that can be read.
        """
        if config.train.best_by == "epe" and not scenes:
            raise UserError(
                "config.train.best_by is 'epe', but there is no true flow at hand: put kitti_flow_2015/training under the "
                "data root, or choose 'photometric'"
            )
        self._config = config
        self._sequences = sequences

        def read(scene: kitti_flow.FlowScene) -> _FlowPair:
            size, snippet = (config.data.height, config.data.width), scene.snippet
            frames = np.stack([_frame(config, path) for path in snippet.frames])
            matches = tracking.match_stored(snippet, size) if shows_rigid and config.predicts_along_matches else None
            return _FlowPair(frames, scene.ground_truth(), snippet.intrinsics_at(size).astype(np.float32), matches)

        shows_rigid = config.flow_loss.shown_rigid > 0
        self._scenes = _read(config, _spread(scenes, _FLOW_SCENES), "epe", read)
        self._view = predict.make_view_flow_snippets(config)
        self._predict_flow = predict.make_predict_flow(config)
        self._predict_rigid = predict.make_predict_rigid_flow(config) if shows_rigid else None

    def validate(self, state: TrainState) -> dict[str, float]:
        """Returns mean diagnostics over the validation snippets; `epe` and `fl` where there is true flow."""
        return self.validate_variables(_variables(state))

    def validate_variables(self, variables: dict) -> dict[str, float]:
        """Returns what `validate` does, for the variables of trained networks."""
        means = _mean_scalars(self._view(variables, batch) for batch in _batches(self._config, self._sequences))
        return means | self._flow_metrics(variables)

    def _flow_metrics(self, variables: dict) -> dict[str, float]:
        if not self._scenes:
            return {}
        per_scene = []
        for frames, truth, K, matches in self._scenes:
            previous, target, following = network_input(frames)
            views = target, np.stack([previous, following]), K, matches
            target, sources, K, matches = jax.tree.map(lambda view: view[None], views)
            rigid = self._predict_rigid(variables, target, sources, K, matches)[0] if self._predict_rigid else None
            flow = self._predict_flow(variables, target, sources, rigid)
            flow = evaluation.resize_flow(np.asarray(flow[0, 1]), truth.valid.shape)
            per_scene.append(evaluation.flow_metrics(truth.flow, flow, truth.valid))
        return {name: float(np.mean([metrics[name] for metrics in per_scene])) for name in ("epe", "fl")}

    def draw(self, state: TrainState) -> dict[str, np.ndarray]:
        """Returns the panel of the first validation snippet."""
        view = self._view(_variables(state), next(_batches(self._config, self._sequences)))
        return {"snippet": visualization.flow_snippet_panel(_first(view))}


def _batches(config: Config, sequences: Sequence[FrameSequence]) -> Iterator[dict[str, np.ndarray]]:
    size = min(config.train.batch_size, count_snippets(sequences))
    shape = config.data.height, config.data.width
    most, matches = config.train.validation_batches, config.needs_matches
    return map(network_batch, validation_batches(sequences, shape, size, most, matches=matches))


def _frame(config: Config, path: pathlib.Path) -> np.ndarray:
    return read_image(path, (config.data.height, config.data.width))


def _read(config: Config, items: Sequence[Item], metric: str, read: Callable[[Item], Read]) -> list[Read]:
    """Ground truth by `read`, of the items for which it can be read; at least one if `metric` chooses the best checkpoint.

    It is read once and kept: a file that is damaged or removed later must not end the training.
    """
    skipped = Skipped()
    found = [of_item for _, of_item in skipped.readable(items, read)]
    if config.train.best_by == metric and not found:
        reason = skipped.none_left("files with ground truth")
        raise UserError(f"config.train.best_by is {metric!r}, but {reason}; or choose 'photometric'")
    skipped.print_notes()
    return found


def _mean_scalars(views: Iterator[dict]) -> dict[str, float]:
    scalars = [{name: np.mean(value) for name, value in view["scalars"].items()} for view in views]
    return {name: float(np.mean([s[name] for s in scalars])) for name in scalars[0]}


def _first(view: dict) -> dict[str, np.ndarray]:
    return {name: np.asarray(value[0]) for name, value in view.items() if name != "scalars"}


def _spread(items: Sequence, count: int) -> Sequence:
    """So many of the items at most, evenly spread."""
    return items[:: max(1, len(items) // count)][:count]


def _variables(state: TrainState) -> dict:
    return jax.device_get(state.variables)
