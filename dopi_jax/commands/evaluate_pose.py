"""Camera motion on KITTI odometry: snippet ATE as in the paper's Table III, and whole trajectories."""

import functools
import re

import numpy as np
from PIL import Image
from tqdm import tqdm

from dopi_jax import evaluation, formats, predict, visualization
from dopi_jax.commands.evaluation_run import EvaluationRun
from dopi_jax.commands.left_out import LeftOut
from dopi_jax.data import tracking
from dopi_jax.data.images import read_image, snippet_input
from dopi_jax.data.selection import select_sequences
from dopi_jax.data.snippets import Sequence
from dopi_jax.data.sources import kitti_odometry
from dopi_jax.errors import UserError

_LENGTHS = (3, 5)
_BATCH = 8
_FRAME_RATE = 10.0  # Hz, of all KITTI recordings


def evaluate(run: EvaluationRun) -> None:
    """Prints and writes the ATE of 3- and 5-frame snippets, and the drift of whole trajectories (paper Table III).

    Args:
      run: The run; `config.data.pose_test` names the sequences.

    Raises:
      UserError: The run has no pose network, or of none of the sequences frames and true poses can be read.
    """
    run.require("pose")
    errors = {length: {} for length in _LENGTHS}
    straight = {length: {} for length in _LENGTHS}
    trajectories, rows = {}, []
    left_out = LeftOut()

    def read(selection: str) -> tuple[Sequence, np.ndarray, np.ndarray]:
        sequence = select_sequences(run.roots, selection)[0]  # by its first camera
        return sequence, _true_poses(run, selection, sequence), _read_frames(run, sequence)

    for selection, (sequence, truth, frames) in left_out.readable(_selections(run), read):
        name = selection.partition(":")[2]
        motions = _predict_motions(run, frames, sequence.intrinsics_at(run.image_size))
        triplets = evaluation.snippet_from_predictions(motions)
        snippets = {3: triplets, 5: evaluation.join_snippets(triplets)}
        for length in _LENGTHS:
            true_snippets = evaluation.trajectory_snippets(truth, length)
            ate, rotation = evaluation.snippet_ate(true_snippets, snippets[length])
            errors[length][name] = ate
            straight[length][name], of_straight = evaluation.snippet_ate(
                true_snippets, evaluation.straight_ahead_baseline(length)
            )
            rows += [
                {"sequence": name, "length": length, "first_frame": number, "ate": a, "rotation_error": r}
                for number, a, r in zip(sequence.numbers, ate.tolist(), rotation.tolist(), strict=False)
            ]
            if length == 3:
                rotation_errors = {
                    "rotation_error": float(np.mean(rotation)),
                    "straight_ahead_rotation_error": float(np.mean(of_straight)),
                }
        trajectory = evaluation.trajectory_from_predictions(motions)
        aligned, _ = evaluation.align_trajectory(truth, trajectory)
        _write_trajectory(run, name, sequence, truth, aligned)
        trajectories[name] = {
            **rotation_errors,
            **evaluation.trajectory_ate(truth, trajectory),
            **evaluation.kitti_odometry_errors(truth, aligned),
        }
    if not trajectories:
        raise left_out.all_of("sequences of config.data.pose_test")
    left_out.tell()
    tables = [evaluation.pose_table(errors[length], straight[length], length, left_out.reasons) for length in _LENGTHS]
    tables.append(evaluation.trajectory_table(trajectories))
    summary = {
        "ate": {
            str(length): {
                name: {
                    "mean": float(np.mean(values)),
                    "std": float(np.std(values)),
                    "snippets": len(values),
                    "straight_ahead_mean": float(np.mean(straight[length][name])),
                }
                for name, values in errors[length].items()
            }
            for length in _LENGTHS
        },
        "trajectory": trajectories,
        "left_out": left_out.reasons,
    }
    run.write_results("pose", "\n\n".join(tables), summary, rows)


def _selections(run: EvaluationRun) -> tuple[str, ...]:
    """config.data.pose_test, checked."""
    selections = run.config.data.pose_test
    if not selections:
        raise UserError("config.data.pose_test is empty: name sequences such as kitti_odometry:09")
    for selection in selections:
        if not selection.startswith(f"{kitti_odometry.FOLDER}:"):
            raise UserError(f"config.data.pose_test has {selection!r}: expected kitti_odometry:..., which has poses")
    return selections


def _read_frames(run: EvaluationRun, sequence: Sequence) -> np.ndarray:
    """All frames at the networks' size, uint8 [N, H, W, 3]."""
    return np.stack([read_image(path, run.image_size) for path in tqdm(sequence.frames, unit="frame")])


def _true_poses(run: EvaluationRun, selection: str, sequence: Sequence) -> np.ndarray:
    name = selection.partition(":")[2].partition("[")[0]
    path = kitti_odometry.poses_file(name, *run.roots)
    poses = formats.read_kitti_poses(path)
    if len(poses) <= max(sequence.numbers):
        raise UserError(
            f"{path} has {len(poses)} poses, but the sequence has a frame {max(sequence.numbers)}: "
            "get the poses of the same sequence from data_odometry_poses.zip"
        )
    return poses[list(sequence.numbers)]


def _predict_motions(run: EvaluationRun, frames: np.ndarray, K: np.ndarray) -> np.ndarray:
    """The motions [N-2, 2, 4, 4] from every inner frame of uint8 [N, H, W, 3] to its neighbours; K is [3, 3]."""
    intrinsics = np.tile(K, (_BATCH, 1, 1))
    predict_poses = predict.make_predict_poses(run.config)
    matches = None
    if run.config.prediction.matched_motion:
        matches = tracking.match_snippets(frames, run.image_size, functools.partial(tqdm, unit="frame"))

    def motions(places: np.ndarray) -> np.ndarray:
        found = None if matches is None else matches[places]
        return predict_poses(run.variables, *snippet_input(frames, 1 + places), intrinsics, found)

    progress = functools.partial(tqdm, unit="batch")
    return predict.in_batches(motions, len(frames) - 2, _BATCH, progress).astype(np.float64)


def _write_trajectory(run: EvaluationRun, name: str, sequence: Sequence, truth: np.ndarray, aligned: np.ndarray) -> None:
    """Writes the aligned trajectory as KITTI and TUM text, and both as a plot from above."""
    stem = run.results_folder() / f"trajectory_{re.sub('[^0-9a-zA-Z]+', '_', name).strip('_')}"
    formats.write_kitti_poses(f"{stem}_kitti.txt", aligned)
    formats.write_tum_trajectory(f"{stem}_tum.txt", np.array(sequence.numbers) / _FRAME_RATE, aligned)
    plot = visualization.trajectory_plot({"ground truth": truth[:, :3, 3], "dopi_jax": aligned[:, :3, 3]})
    Image.fromarray(plot).save(f"{stem}.png")
