"""Camera motion metrics: the ATE of short snippets (the paper's Table III) and the errors of whole trajectories.

Two kinds of 4x4 appear. A network predicts `source_from_target`, which maps points between two camera frames. A
trajectory is a sequence of camera-to-world poses, as in KITTI's pose files: the pose of frame i maps points of camera i
to the world, and any frame's camera may be the world. The scale of a monocular prediction is free; each metric says how
it is fixed.
"""

import numpy as np

from dopi_jax.errors import UserError

_SEGMENT_LENGTHS = np.arange(100, 900, 100)  # metres
_SEGMENT_START_STEP = 10  # frames, one second


def snippet_ate(gt: np.ndarray, pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measures how a snippet's camera centres and rotations differ from the truth (the ATE of the paper's Table III).

    Both snippets are made relative to their first pose, the prediction is multiplied by the scale that fits best, and
    the ATE is the Frobenius norm of the differences of camera centres divided by n, the (perfect) first pose counting
    in n. A 3-frame ATE does not compare with a 5-frame one.

    Args:
      gt: true camera-to-world poses [n, 4, 4] in metres; leading axes hold more snippets and broadcast.
      pred: predicted camera-to-world poses [n, 4, 4] in any unit. One without any motion is left at scale 0.

    Returns:
      The ATE in metres and the mean rotation error over the n poses in radians, with the input's leading axes.

    Raises:
      UserError: the snippets are not finite arrays of 4x4 matrices of one length.
    """
    gt, pred = _pose_pair(gt, pred)
    gt, pred = _relative_to_first(gt), _relative_to_first(pred)
    gt_centre, pred_centre = gt[..., :3, 3], pred[..., :3, 3]

    scale = _best_scale(gt_centre, pred_centre)
    difference = gt_centre - scale[..., None, None] * pred_centre
    ate = np.sqrt(np.sum(difference**2, (-2, -1))) / gt.shape[-3]

    rotation = gt[..., :3, :3] @ np.linalg.inv(pred[..., :3, :3])
    skew = (rotation - np.swapaxes(rotation, -1, -2))[..., [0, 1, 0], [1, 2, 2]]
    angle = np.arctan2(np.linalg.norm(skew, axis=-1), np.trace(rotation, axis1=-2, axis2=-1) - 1)
    return ate, angle.mean(-1)


def snippet_scale(gt: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Returns the scale that `snippet_ate` multiplies each prediction by.

    It may be negative: motion predicted backwards then fits as well as correct motion, and the ATE does not show it.

    Args:
      gt: as for `snippet_ate`.
      pred: as for `snippet_ate`.

    Returns:
      One number a snippet; 0 for a prediction without motion.
    """
    gt, pred = _pose_pair(gt, pred)
    return _best_scale(_relative_to_first(gt)[..., :3, 3], _relative_to_first(pred)[..., :3, 3])


def _best_scale(gt_centre: np.ndarray, pred_centre: np.ndarray) -> np.ndarray:
    return _quotient(np.sum(gt_centre * pred_centre, (-2, -1)), np.sum(pred_centre**2, (-2, -1)))


def trajectory_snippets(poses: np.ndarray, length: int) -> np.ndarray:
    """Cuts a trajectory [N, 4, 4] into all its N-length+1 windows of `length` frames, [N-length+1, length, 4, 4].

    Raises:
      UserError: the trajectory is shorter than one window.
    """
    poses = _poses("trajectory", poses)
    if not 2 <= length <= len(poses):
        raise UserError(f"snippets of {length} frames were asked of {len(poses)} poses: expected 2 to {len(poses)}")
    return np.moveaxis(np.lib.stride_tricks.sliding_window_view(poses, length, axis=0), -1, 1)


def sliding_snippet_ate(gt: np.ndarray, pred: np.ndarray, length: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Measures `snippet_ate` in every window of `length` frames of two trajectories [N, 4, 4].

    Returns:
      ATE in metres and rotation error in radians, each [N-length+1]: one value a window, no zeros for the last frames,
      which open no window.
    """
    gt, pred = _pose_pair(gt, pred)
    return snippet_ate(trajectory_snippets(gt, length), trajectory_snippets(pred, length))


def snippet_from_predictions(source_from_target: np.ndarray) -> np.ndarray:
    """Turns the two motions predicted around a target frame into the poses of the three cameras (t-1, t, t+1).

    Args:
      source_from_target: [..., 2, 4, 4], from the target's camera to those of t-1 and of t+1, in this order.

    Returns:
      Camera-to-world poses [..., 3, 4, 4], the camera of t-1 being the world.
    """
    previous, following = np.moveaxis(_poses("predicted motions", source_from_target), -3, 0)
    first = np.broadcast_to(np.eye(4), previous.shape)
    return np.stack([first, previous, previous @ np.linalg.inv(following)], axis=-3)


def join_snippets(triplets: np.ndarray) -> np.ndarray:
    """Joins the 3-frame snippets around t-1 and t+1, which share frame t, to the 5-frame snippet around t.

    Args:
      triplets: [M, 3, 4, 4], from `snippet_from_predictions` for M consecutive targets, M at least 3.

    Returns:
      Camera-to-world poses [M-2, 5, 4, 4], the first camera of each being the world.
    """
    earlier, later = triplets[:-2], triplets[2:]
    return np.concatenate([earlier, earlier[:, 2:] @ later[:, 1:]], axis=1)


def chain(steps: np.ndarray) -> np.ndarray:
    """Chains motions from each frame to the next into a trajectory, C(t+1) = C(t) · inverse(T(t→t+1)).

    Args:
      steps: [N-1, 4, 4], `source_from_target` with frame t as target and t+1 as source.

    Returns:
      Camera-to-world poses [N, 4, 4], the first camera being the world.
    """
    poses = [np.eye(4)]
    for step in np.linalg.inv(_poses("steps", steps)):
        poses.append(poses[-1] @ step)
    return np.stack(poses)


def trajectory_from_predictions(source_from_target: np.ndarray) -> np.ndarray:
    """Chains the motions [M, 2, 4, 4] predicted for M consecutive targets into the trajectory [M+2, 4, 4].

    Every step is the prediction towards t+1; only the very first frame, never a target, is reached through t-1.
    """
    to_previous, to_next = np.moveaxis(_poses("predicted motions", source_from_target), -3, 0)
    return chain(np.concatenate([np.linalg.inv(to_previous[:1]), to_next]))


def straight_ahead_baseline(length: int) -> np.ndarray:
    """Returns the snippet [length, 4, 4] of a camera that goes straight ahead at constant speed and never turns.

    On a road this is nearly right in every short snippet: its ATE is what a meaningful result must beat.
    """
    poses = np.tile(np.eye(4), (length, 1, 1))
    poses[:, 2, 3] = np.arange(length)
    return poses


def align_trajectory(gt: np.ndarray, pred: np.ndarray) -> tuple[np.ndarray, float]:
    """Moves, turns and scales a whole trajectory so that its camera centres fit the truth best (Umeyama, PAMI 1991).

    Args:
      gt: true camera-to-world poses [N, 4, 4] in metres.
      pred: predicted camera-to-world poses [N, 4, 4] in any unit.

    Returns:
      The aligned poses [N, 4, 4] in metres, and the one scale that was applied to all of them.
    """
    gt, pred = _pose_pair(gt, pred)
    gt_mean, pred_mean = gt[:, :3, 3].mean(0), pred[:, :3, 3].mean(0)
    gt_centred, pred_centred = gt[:, :3, 3] - gt_mean, pred[:, :3, 3] - pred_mean

    left, singular, right = np.linalg.svd(gt_centred.T @ pred_centred)
    handedness = np.array([1, 1, np.sign(np.linalg.det(left @ right))])  # forbids mirroring the trajectory
    rotation = (left * handedness) @ right
    scale = float(_quotient(singular @ handedness, np.sum(pred_centred**2)))

    aligned = pred.copy()
    aligned[:, :3, :3] = rotation @ pred[:, :3, :3]
    aligned[:, :3, 3] = gt_mean + scale * pred_centred @ rotation.T
    return aligned, scale


def trajectory_ate(gt: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """Measures a whole trajectory under one global scale, so that drift of the scale shows (a snippet's ATE hides it).

    Args:
      gt: true camera-to-world poses [N, 4, 4] in metres.
      pred: predicted camera-to-world poses [N, 4, 4] in any unit.

    Returns:
      `rmse`, the root over all frames of the mean squared distance between the true and the aligned predicted camera
      centre in metres, after the similarity transform of `align_trajectory`; and `scale`, the scale of that transform.
    """
    aligned, scale = align_trajectory(gt, pred)
    distance = np.linalg.norm(np.asarray(gt)[:, :3, 3] - aligned[:, :3, 3], axis=-1)
    return {"rmse": float(np.sqrt(np.mean(distance**2))), "scale": scale}


def kitti_odometry_errors(gt: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """Measures drift over segments of 100, 200, ..., 800 m as the KITTI odometry benchmark does, in float64.

    A segment starts at every tenth frame and ends at the first frame farther along the true path than its length. The
    prediction is taken in metres as it is: give a monocular one after `align_trajectory`.

    Args:
      gt: true camera-to-world poses [N, 4, 4] in metres.
      pred: predicted camera-to-world poses [N, 4, 4] in metres.

    Returns:
      `t_rel_percent` and `r_rel_deg_per_100m`, the means over all segments of translation and rotation error per
      length, and the number of `segments`. A true path shorter than 100 m has none, and both errors are then nan.
    """
    gt, pred = _pose_pair(gt, pred)
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(gt[:, :3, 3], axis=0), axis=-1))])
    first, length = np.meshgrid(np.arange(0, len(gt), _SEGMENT_START_STEP), _SEGMENT_LENGTHS)
    last = np.searchsorted(travelled, travelled[first] + length, side="right")
    complete = last < len(gt)
    if not complete.any():
        return {"t_rel_percent": float("nan"), "r_rel_deg_per_100m": float("nan"), "segments": 0}

    first, last, length = first[complete], last[complete], length[complete]
    error = np.linalg.inv(_motion(pred, first, last)) @ _motion(gt, first, last)
    translation = np.linalg.norm(error[:, :3, 3], axis=-1)
    rotation = np.arccos(np.clip((np.trace(error[:, :3, :3], axis1=1, axis2=2) - 1) / 2, -1, 1))
    return {
        "t_rel_percent": float(100 * np.mean(translation / length)),
        "r_rel_deg_per_100m": float(100 * np.degrees(np.mean(rotation / length))),
        "segments": len(length),
    }


def _motion(poses: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    return np.linalg.inv(poses[first]) @ poses[last]


def _relative_to_first(poses: np.ndarray) -> np.ndarray:
    return np.linalg.inv(poses[..., :1, :, :]) @ poses


def _quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The least-squares scale numerator / denominator, 0 where a prediction has no motion to scale."""
    still = denominator == 0
    return np.where(still, 0.0, numerator / np.where(still, 1.0, denominator))


def _poses(name: str, poses: np.ndarray) -> np.ndarray:
    poses = np.asarray(poses, np.float64)
    if poses.ndim < 3 or poses.shape[-2:] != (4, 4):
        raise UserError(f"{name} has shape {poses.shape}: expected a sequence of 4x4 matrices")
    if not np.all(np.isfinite(poses)):
        raise UserError(f"{name} has values that are not finite: expected finite 4x4 matrices")
    return poses


def _pose_pair(gt: np.ndarray, pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gt, pred = _poses("ground truth poses", gt), _poses("predicted poses", pred)
    if gt.shape[-3] != pred.shape[-3]:
        raise UserError(f"there are {pred.shape[-3]} predicted poses: expected {gt.shape[-3]}, as many as true ones")
    return gt, pred
