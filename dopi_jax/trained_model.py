"""A trained model in a program: frames in, numpy arrays of depth, motion, flow and visibility out."""

import functools
import pathlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from dopi_jax import evaluation, geometry, losses, predict
from dopi_jax.config import Config
from dopi_jax.data import tracking
from dopi_jax.data.images import network_input, snippet_input
from dopi_jax.data.intrinsics import GUESSED_FIELD_OF_VIEW, check_intrinsics, intrinsics_from_field_of_view, scale_rows
from dopi_jax.errors import UserError
from dopi_jax.frame_chunks import OVERLAP, checked_frames, overlapping_chunks
from dopi_jax.model_file import find_model_file, read_model, shipped_models
from dopi_jax.models import learned_intrinsics
from dopi_jax.models.flow import PYRAMID_MULTIPLE
from dopi_jax.motion_stereo import rigid_flows
from dopi_jax.objectives.reconstruction import occlusion_masks
from dopi_jax.prediction import FramePrediction, Prediction

_MULTIPLE = 32  # of height and width
_BATCH = 4  # frames, or snippets, that run at a time, at most
_in_batches = functools.partial(predict.in_batches, size=_BATCH)


class Model:
    """Trained networks, applied to frames of any size.

    Attributes:
      config: Of the run that trained them.
      step: The step that they were trained to.
      variables: Of each network, as `apply` takes them.
    """

    def __init__(self, config: Config, variables: Mapping[str, Any], step: int):
        self.config = config
        self.step = step
        self.variables = jax.tree.map(jnp.asarray, dict(variables))
        self._predict_disparity = predict.make_predict_disparity(config)
        self._predict_poses = predict.make_predict_poses(config)
        self._predict_flow = predict.make_predict_flow(config)
        self._rigid_flow = jax.jit(functools.partial(rigid_flows, refined=config.prediction.motion_stereo))
        self._visible = jax.jit(jax.vmap(functools.partial(_visible, config)))

    def __call__(self, frames: np.ndarray, K: np.ndarray | None = None, *, flow: bool = True) -> Prediction:
        """Predicts depth, motion, flow and visibility of a video.

        Args:
          frames: uint8 [N, H, W, 3], RGB, in the order of time; [H, W, 3] is a video of one frame.
          K: Intrinsics [3, 3] in pixels of these frames; a guess, told by a warning, if None and needed.
          flow: Whether optical flow is wanted, which takes longer than everything else.

        Returns:
          `Prediction`. Motion, flow and visibility need two frames or more.

        Raises:
          UserError: The frames are no such array, or K is no camera.
        """
        frames = checked_frames(frames)
        size = frames.shape[1:3]
        seen_size = self.network_size(size)
        seen = np.stack([_resized(frame, seen_size) for frame in frames])
        found: dict[str, np.ndarray] = {}
        disparity = None
        if "depth" in self.variables:
            disparity = _in_batches(lambda i: self._predict_disparity(self.variables, network_input(seen[i])), len(seen))
            if self.config.loss.normalize_all_disparities:  # the unit that motion is learnt in
                disparity = np.asarray(losses.max_normalized_disparity(disparity))
            found["disparity"] = np.stack([_resized(d, size) for d in disparity])
            found["depth"] = 1 / found["disparity"]
        if "pose" in self.variables and len(frames) > 1:
            K = scale_rows(self._intrinsics(K, size), seen_size[0] / size[0], seen_size[1] / size[1]).astype(np.float32)
            to_next = self._motions(frames, seen, disparity, K)
            found["poses"] = evaluation.chain(to_next).astype(np.float32)
        if flow and "flow" in self.variables and len(frames) > 1:
            rigid = self._rigid_flows(disparity, seen, to_next, K) if self._shows_rigid else None
            found["flow"], found["flow_back"] = self._flows(seen, rigid, size)
            found["visible"] = _in_batches(lambda i: _seen_by_flow(found["flow"][i], found["flow_back"][i]), len(frames) - 1)
        elif "poses" in found:
            found["visible"] = self._visibility(disparity, to_next.astype(np.float32), K, size)
        return Prediction(**found)

    def stream(
        self, frames: Iterable[np.ndarray], K: np.ndarray | None = None, *, flow: bool = True
    ) -> Iterator[FramePrediction]:
        """Yields what `__call__` returns frame by frame, for videos of any length: a few frames are in memory at a time.

        Args:
          frames: uint8 [H, W, 3], RGB, in the order of time, all of one size.
          K: As for `__call__`.
          flow: As for `__call__`.

        Yields:
          A `FramePrediction` for every frame.

        Raises:
          UserError: As `__call__`; or there is no frame, or one of another size.
        """
        pose, is_first = np.eye(4), True
        for chunk, is_last in overlapping_chunks(frames):
            if is_first and "pose" in self.variables and len(chunk) > 1:
                K = self._intrinsics(K, chunk.shape[1:3])
            found = self(chunk, K, flow=flow)
            # At its ends a chunk knows no neighbour: these frames are the business of the chunks before and after.
            start, end = 0 if is_first else OVERLAP // 2, len(chunk) if is_last else len(chunk) - OVERLAP // 2
            if found.poses is not None:
                poses = pose @ np.linalg.inv(found.poses[start].astype(np.float64)) @ found.poses
                pose = poses[end] if end < len(chunk) else pose
            for i in range(start, end):
                yield FramePrediction(
                    disparity=_at(found.disparity, i),
                    depth=_at(found.depth, i),
                    pose=None if found.poses is None else poses[i].astype(np.float32),
                    flow=_at(found.flow, i),
                    flow_back=_at(found.flow_back, i - 1),
                    visible=_at(found.visible, i),
                )
            is_first = False

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns the (height, width) that frames of a size are resized to."""
        height, width = self.config.data.height, self.config.data.width
        if not self.config.prediction.keep_aspect:
            return height, width
        zoom = np.sqrt(height * width / (size[0] * size[1]))
        multiple = PYRAMID_MULTIPLE if "flow" in self.variables and self.config.model.flow != "lite" else _MULTIPLE
        return tuple(max(multiple, round(side * zoom / multiple) * multiple) for side in size)

    def _intrinsics(self, K: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
        if K is None:
            warnings.warn(
                f"K is not given: guessed, {GUESSED_FIELD_OF_VIEW:g} degrees along the longer side, as the main camera of a "
                "phone has; give the camera's own, a [3, 3] array in pixels of the frames",
                stacklevel=3,
            )
            return intrinsics_from_field_of_view(GUESSED_FIELD_OF_VIEW, size, max(size))
        K = np.asarray(K, np.float64)
        if K.shape != (3, 3):
            raise UserError(f"K has the shape {K.shape}: expected (3, 3), the intrinsics in pixels of the frames")
        check_intrinsics(K, "K", size)
        return K

    def _motions(self, frames: np.ndarray, seen: np.ndarray, disparity: np.ndarray | None, K: np.ndarray) -> np.ndarray:
        """The motions [N-1, 4, 4] from each frame's camera to the next one's."""
        fitted = self.config.prediction.matched_motion
        matches = tracking.match_snippets(frames, seen.shape[1:3]) if fitted else None

        def motions_of(places: np.ndarray) -> jax.Array:
            found = None if matches is None else matches[places]
            of_targets = None if disparity is None else disparity[1 + places]
            seen_there = snippet_input(seen, 1 + places)
            return self._predict_poses(self.variables, *seen_there, _tiled(K, places), found, of_targets)

        motions = _in_batches(motions_of, max(1, len(seen) - 2)).astype(np.float64)
        # The very first frame is no target: it is reached from the second one.
        to_next = np.concatenate([np.linalg.inv(motions[:1, 0]), motions[:, 1]])[: len(seen) - 1]
        if matches is not None:
            # Both frames of a pair tell by their depth how long the way between them is: the mean of the two is steadier.
            lengths = np.linalg.norm(motions[:, :, :3, 3], axis=2)
            to_next[1:-1, :3, 3] *= np.sqrt(lengths[1:, 0] / np.maximum(lengths[:-1, 1], 1e-12))[:, None]
        return to_next

    def _flows(self, seen: np.ndarray, rigid: np.ndarray | None, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The flows [N-1, H, W, 2] from each frame to the next, and from each but the first to the one before."""

        def flows_of(places: np.ndarray) -> jax.Array:
            return self._predict_flow(self.variables, *snippet_input(seen, places), None if rigid is None else rigid[places])

        flow = _in_batches(flows_of, len(seen)) * np.float32([size[1] / seen.shape[2], size[0] / seen.shape[1]])
        to_next, to_previous = (np.stack([_resized(f, size) for f in flows]) for flows in (flow[:-1, 1], flow[1:, 0]))
        return to_next, to_previous

    @property
    def _shows_rigid(self) -> bool:
        return self.config.flow_loss.shown_rigid > 0 and {"depth", "pose"} <= self.variables.keys()

    def _rigid_flows(self, disparity: np.ndarray, seen: np.ndarray, to_next: np.ndarray, K: np.ndarray) -> np.ndarray:
        """The rigid flows [N, 2, h, w, 2] of every frame to the one before and to the next; 0 at the video's ends."""
        still = np.eye(4)[None]
        to_previous = np.concatenate([still, np.linalg.inv(to_next)])
        poses = np.stack([to_previous, np.concatenate([to_next, still])], axis=1).astype(np.float32)
        K = np.asarray(learned_intrinsics(self.variables, K[None])[0])

        def flows_of(places: np.ndarray) -> jax.Array:
            return self._rigid_flow(disparity[places], *snippet_input(seen, places), _tiled(K, places), poses[places])

        return _in_batches(flows_of, len(disparity))

    def _visibility(self, disparity: np.ndarray, to_next: np.ndarray, K: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        K = np.asarray(learned_intrinsics(self.variables, K[None])[0])

        def visible_in_next(places: np.ndarray) -> jax.Array:
            return self._visible(disparity[places], disparity[places + 1], _tiled(K, places), to_next[places])

        visible = _in_batches(visible_in_next, len(to_next))
        return np.stack([_resized(v.astype(np.float32), size) >= 0.5 for v in visible])


def load(what: str | pathlib.Path) -> Model:
    """Returns a trained model.

    Args:
      what: The name of shipped weights, such as "driving"; a file that `export` wrote; or a run's folder.

    Returns:
      The model.

    Raises:
      UserError: It is none of these.
    """
    path = find_model_file(str(what))
    if path is not None:
        return Model(*read_model(path))
    folder = pathlib.Path(what).expanduser()
    if not (folder / "config.json").is_file():
        shipped = ", ".join(shipped_models()) or "none"
        raise UserError(f"{str(what)!r} is no model: expected a run's folder, a file .npz, or a shipped one ({shipped})")
    from dopi_jax.training.trained import read_run  # training is not needed for anything else here

    return Model(*read_run(folder))


def _tiled(K: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.tile(K, (len(places), 1, 1))


def _at(maps: np.ndarray | None, index: int) -> np.ndarray | None:
    return maps[index] if maps is not None and 0 <= index < len(maps) else None


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image [H, W] or [H, W, C], uint8 or float32, at another (height, width), as the frames of training were resized."""
    if image.shape[:2] == size:
        return image
    if image.ndim == 3 and image.dtype != np.uint8:
        return np.stack([_resized(np.ascontiguousarray(channel), size) for channel in np.moveaxis(image, -1, 0)], axis=-1)
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


@jax.jit
@jax.vmap
def _seen_by_flow(flow: jax.Array, flow_back: jax.Array) -> jax.Array:
    """Which pixels [H, W] of a frame some pixel of the next one flows to, and that stay inside (docs/occlusion.md)."""
    _, inside = geometry.warp_by_flow(flow, flow)
    return geometry.range_map_mask(flow_back) & inside


def _visible(
    config: Config, disparity: jax.Array, next_disparity: jax.Array, K: jax.Array, next_from_frame: jax.Array
) -> jax.Array:
    """Which pixels of a frame the next one shows, [H, W], by the rule that the networks were trained with."""
    return occlusion_masks(1 / disparity, 1 / next_disparity, K, next_from_frame, config.loss).visible
