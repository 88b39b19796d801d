"""Camera motion on KITTI odometry: snippet ATE as in the paper's Table III, and whole trajectories."""

import dataclasses
import functools
import itertools
import re
import sys
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from dopi_jax import evaluation, formats, metric_scale, predict, visualization
from dopi_jax.data import tracking
from dopi_jax.data.images import network_input, read_image, snippet_input
from dopi_jax.data.selection import select_sequences
from dopi_jax.data.snippets import Sequence
from dopi_jax.data.sources import kitti_odometry
from dopi_jax.errors import UserError
from dopi_jax.experiments.evaluation_run import EvaluationRun
from dopi_jax.experiments.skipped import Skipped

_LENGTHS = (3, 5)
_BATCH = 8
_HEIGHTS = 20  # frames of a sequence, evenly spread, whose depth tells how high the camera stands
_FRAME_RATE = 10.0  # Hz, about that of all KITTI recordings


class _Snippets(NamedTuple):
    """Errors of all snippets of one length in a sequence, one entry a snippet.

    Attributes:
      first_frames: Number of the first frame.
      ate: In metres.
      rotation: Error in radians.
      scale: Factor on the prediction that the ATE found.
      straight_ate: ATE of going straight ahead.
      straight_rotation: Its rotation error.
    """

    first_frames: np.ndarray
    ate: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    straight_ate: np.ndarray
    straight_rotation: np.ndarray


def evaluate(run: EvaluationRun) -> None:
    """Prints and writes the ATE of 3- and 5-frame snippets, and the drift of whole trajectories (paper Table III).

    No snippet and no trajectory crosses a gap in the frame numbers, as in training.

    Args:
      run: The run; `config.data.pose_test` names the sequences.

    Raises:
      UserError: The run has no pose network, or no sequence has frames and true poses that can be read.
    """
    run.require("pose")
    snippets: dict[int, dict[str, _Snippets]] = {length: {} for length in _LENGTHS}
    trajectories = {}
    skipped = Skipped()

    def read(selection: str) -> tuple[Sequence, list[slice], np.ndarray, np.ndarray]:
        sequence = select_sequences(run.roots, selection)[0]  # by its first camera
        spans = [span for span in _without_gaps(sequence.numbers) if span.stop - span.start >= _LENGTHS[0]]
        return sequence, spans, _true_poses(run, selection, sequence), _read_frames(run, sequence)

    for selection, (sequence, spans, truth, frames) in skipped.readable(_selections(run), read):
        name = selection.partition(":")[2]
        if len(spans) > 1 or spans[0].stop - spans[0].start < len(frames):
            print(f"note: {name} has gaps in its frame numbers, which no snippet crosses", file=sys.stderr)
        K = sequence.intrinsics_at(run.image_size)
        motions = [_predict_motions(run, frames[span], K) for span in spans]
        for length in _LENGTHS:
            parts = [_measure(length, sequence.numbers[s], truth[s], m) for s, m in zip(spans, motions, strict=True)]
            parts = [part for part in parts if part is not None]
            if parts:
                snippets[length][name] = _Snippets(*map(np.concatenate, zip(*parts, strict=True)))
            else:
                print(f"note: {name} has no {length} consecutive frames: no {length}-frame result", file=sys.stderr)
        longest = int(np.argmax([len(m) for m in motions]))
        of_longest = dataclasses.replace(sequence.piece(range(len(frames))[spans[longest]]), name=name)
        scale = _metres_per_unit(run, name, frames[spans[longest]], K)
        trajectories[name] = _measure_trajectory(run, of_longest, truth[spans[longest]], motions[longest], scale)
        of_three = snippets[_LENGTHS[0]][name]
        trajectories[name] |= {
            "rotation_error": float(np.mean(of_three.rotation)),
            "straight_ahead_rotation_error": float(np.mean(of_three.straight_rotation)),
        }
    if not trajectories:
        raise skipped.none_left("sequences of config.data.pose_test")
    skipped.print_notes()
    _write(run, snippets, trajectories, skipped)


def _without_gaps(numbers: tuple[int, ...]) -> list[slice]:
    """Where consecutive frame numbers begin and end."""
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    edges = [0, *breaks.tolist(), len(numbers)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _measure(length: int, numbers: tuple[int, ...], truth: np.ndarray, motions: np.ndarray) -> _Snippets | None:
    """Compares all snippets of frames without a gap; None if they are too few for one."""
    if len(numbers) < length:
        return None
    predicted = evaluation.snippet_from_predictions(motions)
    if length == _LENGTHS[1]:
        predicted = evaluation.join_snippets(predicted)
    true = evaluation.trajectory_snippets(truth, length)
    straight = evaluation.snippet_ate(true, evaluation.straight_ahead_baseline(length))
    scale = evaluation.snippet_scale(true, predicted)
    return _Snippets(np.array(numbers[: len(true)]), *evaluation.snippet_ate(true, predicted), scale, *straight)


def _measure_trajectory(
    run: EvaluationRun, sequence: Sequence, truth: np.ndarray, motions: np.ndarray, metres_per_unit: float | None
) -> dict[str, float]:
    trajectory = evaluation.trajectory_from_predictions(motions)
    aligned, _ = evaluation.align_trajectory(truth, trajectory)
    _write_trajectory(run, sequence, truth, aligned)
    result = evaluation.trajectory_ate(truth, trajectory) | evaluation.kitti_odometry_errors(truth, aligned)
    if metres_per_unit is not None:
        trajectory[:, :3, 3] *= metres_per_unit
        in_metres = evaluation.kitti_odometry_errors(truth, trajectory)
        result |= {"metric_scale": metres_per_unit, "metric_t_rel_percent": in_metres["t_rel_percent"]}
    return result


def _metres_per_unit(run: EvaluationRun, name: str, frames: np.ndarray, K: np.ndarray) -> float | None:
    """By how high the depth of some frames says that the camera stands; None where that is not asked for or not seen."""
    if run.config.data.camera_height == 0 or "depth" not in run.variables:
        return None
    predict_disparity = predict.make_predict_disparity(run.config)
    chosen = frames[np.linspace(0, len(frames) - 1, min(_HEIGHTS, len(frames))).astype(int)]
    depths = [1 / np.asarray(predict_disparity(run.variables, network_input(frame)[None]))[0] for frame in chosen]
    found = metric_scale.metres_per_unit(
        [metric_scale.camera_height(depth, K) for depth in depths], run.config.data.camera_height
    )
    if found is None:
        print(f"note: {name} shows no level road before the camera: no drift by config.data.camera_height", file=sys.stderr)
    return found


def _write(
    run: EvaluationRun,
    snippets: dict[int, dict[str, _Snippets]],
    trajectories: dict[str, dict[str, float]],
    skipped: Skipped,
) -> None:
    tables, summary, rows = [], {}, []
    for length, of_length in snippets.items():
        ates = {name: found.ate for name, found in of_length.items()}
        straight = {name: found.straight_ate for name, found in of_length.items()}
        backwards = {name: int(np.sum(found.scale <= 0)) for name, found in of_length.items()}
        if ates:
            tables.append(evaluation.pose_table(ates, straight, length, skipped.reasons, backwards, run.data_name))
        summary[str(length)] = {
            name: {
                "mean": float(np.mean(found.ate)),
                "std": float(np.std(found.ate)),
                "snippets": len(found.ate),
                "scale_not_positive": backwards[name],
                "straight_ahead_mean": float(np.mean(found.straight_ate)),
            }
            for name, found in of_length.items()
        }
        rows += [
            {"sequence": name, "length": length, "first_frame": n, "ate": a, "rotation_error": r, "scale": s}
            for name, found in of_length.items()
            for n, a, r, s in zip(*(column.tolist() for column in found[:4]), strict=True)
        ]
    tables.append(evaluation.trajectory_table(trajectories))
    whole = {"ate": summary, "trajectory": trajectories, "left_out": skipped.reasons}
    run.write_results("pose", "\n\n".join(tables), whole, rows)


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
    predict_poses = predict.make_predict_poses(run.config)
    matches = None
    if run.config.prediction.matched_motion:
        matches = tracking.match_snippets(frames, run.image_size, functools.partial(tqdm, unit="frame"))

    def motions(places: np.ndarray) -> np.ndarray:
        found = None if matches is None else matches[places]
        intrinsics = np.tile(K, (len(places), 1, 1))
        return predict_poses(run.variables, *snippet_input(frames, 1 + places), intrinsics, found)

    progress = functools.partial(tqdm, unit="batch")
    return predict.in_batches(motions, len(frames) - 2, _BATCH, progress).astype(np.float64)


def _write_trajectory(run: EvaluationRun, sequence: Sequence, truth: np.ndarray, aligned: np.ndarray) -> None:
    """Writes the aligned trajectory as KITTI and TUM text, and both as a plot from above."""
    stem = run.results_folder() / f"trajectory_{re.sub('[^0-9a-zA-Z]+', '_', sequence.name).strip('_')}"
    formats.write_kitti_poses(f"{stem}_kitti.txt", aligned)
    formats.write_tum_trajectory(f"{stem}_tum.txt", _times(run, sequence), aligned)
    plot = visualization.trajectory_plot({"ground truth": truth[:, :3, 3], "dopi_jax": aligned[:, :3, 3]})
    Image.fromarray(plot).save(f"{stem}.png")


def _times(run: EvaluationRun, sequence: Sequence) -> np.ndarray:
    """Times of all frames in seconds: those of times.txt, else by the usual frame rate."""
    times = kitti_odometry.read_times(sequence.origin[1], *run.roots)
    if times is not None and len(times) > max(sequence.numbers):
        return times[list(sequence.numbers)]
    print(
        f"note: {sequence.name} has no times.txt with a line for each of its frames: the times in its TUM file are those of "
        f"{_FRAME_RATE:g} frames a second, which KITTI's recordings keep to 4 %",
        file=sys.stderr,
    )
    return np.array(sequence.numbers) / _FRAME_RATE
