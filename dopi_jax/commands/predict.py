"""`dopi-jax predict`: depth, motion and flow of an image, a folder or a video, as files and a page."""

import argparse
import itertools
import json
import math
import pathlib
import sys
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import dopi_jax
from dopi_jax import formats, metric_scale, visualization
from dopi_jax.command_line import flags as command_flags
from dopi_jax.data.footage import Footage
from dopi_jax.data.inputs import Input, open_input
from dopi_jax.data.known_motion import OXTS, KnownMotion, motion_by_poses, motion_by_speed
from dopi_jax.errors import ArgumentParser, UserError
from dopi_jax.output.frame_files import FrameFiles
from dopi_jax.output.movie import movie
from dopi_jax.output.page import write_page
from dopi_jax.output.point_cloud import PointCloud, write_ply
from dopi_jax.picture_files import DEPTH_STEPS
from dopi_jax.prediction import FramePrediction
from dopi_jax.trained_model import Model

SUMMARY = "prediction.json"

_EXAMPLE = """\
  dopi-jax predict my.mp4 --out runs/my_video --field-of-view 70
  dopi-jax predict my.mp4 --out runs/my_video --flow
  dopi-jax predict photo.jpg --out runs/photo
  dopi-jax predict kitti_odometry:03[:200] --source DATA --out runs/03 --camera-height 1.65
"""
_FIRST_FRAMES = 8  # give the scale and the range of colours
_MEDIAN_DEPTH = 10.0  # units, where no scale in metres is known
_FLOW_FRAMES = 60
_CLOUD_FRAMES = 24  # so many frames at most give points
_FILES = {
    "index.html": "this page",
    "depth/": f"depth, PNG of 16 bits: value / {DEPTH_STEPS} is the depth, 0 is none",
    "depth_npy/": "the same as numpy arrays, float32",
    "depth_colours/": "disparity in colours, near is bright",
    "pictures/": "frames and their depth, small",
    "depth.mp4": "these as a video",
    "visible/": "white where the next frame shows the pixel, too",
    "flow/": "flow to the next frame in pixels, Middlebury's .flo",
    "flow_back/": "flow to the frame before, .flo",
    "flow_kitti/": "flow to the next frame, KITTI's PNG",
    "flow_colours/": "flow in Middlebury's colours",
    "trajectory_kitti.txt": "camera to first camera, the upper 3x4 of each pose",
    "trajectory_tum.txt": "the same as time, position and quaternion",
    "cloud.ply": "coloured points in the coordinates of the first camera, x right, y down, z forward",
    SUMMARY: "camera, scale and model in numbers",
}


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    command_flags.run_with_options(run, parser(), arguments)


def run(options: argparse.Namespace) -> None:
    """Predicts and writes.

    Raises:
      UserError: The input, the model or the camera is wrong, or the folder holds something else.
    """
    for option, what in (("camera_height", "metres above the road"), ("frame_rate", "frames a second")):
        if not 0 <= getattr(options, option) < math.inf:
            raise UserError(f"--{option.replace('_', '-')} is {getattr(options, option):g}: expected {what}, more than 0")
    given = [f"--{name.replace('_', '-')}" for name in ("camera_height", "speed", "true_poses") if getattr(options, name)]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} are given: metres follow from one of them, leave the others out")
    _check_out(options.out)
    seen = open_input(options.input, options.source, Footage(options.intrinsics, options.field_of_view, by_flags=True))
    motion = _known_motion(options, seen)
    model = dopi_jax.load(options.model)
    has_flow = "flow" in model.variables
    if options.flow and not has_flow:
        raise UserError(f"--flow is given, but model {options.model!r} has no flow network: leave it out, or name another")
    writes_flow = has_flow and (len(seen.frames) <= _FLOW_FRAMES if options.flow is None else options.flow)
    if has_flow and options.flow is None and not writes_flow:
        print(f"note: no flow of {len(seen.frames)} frames, which would take long: --flow writes it", file=sys.stderr)
    K = seen.calibration.intrinsics
    if seen.calibration.guessed:
        warnings.warn(
            f"the camera is not known, {seen.calibration.how}: give it by --intrinsics fx,fy,cx,cy or --field-of-view",
            stacklevel=2,
        )
    frames, same_frames = itertools.tee(seen.read())
    predictions = zip(seen.names, frames, model.stream(same_frames, K, flow=writes_flow), strict=True)
    first = list(itertools.islice(predictions, _FIRST_FRAMES))
    scale = _find_scale([found for *_, found in first], K, options.camera_height, motion)
    progress = tqdm(itertools.chain(first, predictions), total=len(seen.frames), unit="frame", disable=None)
    try:
        _write(options, seen, model, scale, progress)
    except OSError as error:
        raise UserError(f"{options.out} cannot be written ({error}): make room, or choose another --out") from error
    print(f"{options.out / 'index.html'} shows it all; unit: {scale.rests_on}")


class Scale(NamedTuple):
    """Factor on depth and translation, and what it is based on."""

    factor: float
    rests_on: str
    unit: str = "units"


def _known_motion(options: argparse.Namespace, seen: Input) -> KnownMotion | None:
    if options.speed:
        return motion_by_speed(seen, options.speed, options.frame_rate)
    return motion_by_poses(seen, options.true_poses) if options.true_poses else None


def _find_scale(first: list[FramePrediction], K: np.ndarray, camera_height: float, motion: KnownMotion | None) -> Scale:
    depths = [found.depth for found in first if found.depth is not None]
    if camera_height:
        heights = [metric_scale.camera_height(depth, K) for depth in depths]
        factor = metric_scale.metres_per_unit(heights, camera_height)
        if factor is None:
            raise UserError(
                "--camera-height is given, but the first frames show no road in their lower middle to measure: leave it out"
            )
        return Scale(factor, f"metres, if the camera is {camera_height:g} m above a level road in the first frames", "m")
    if motion is not None:
        places = [found.pose[:3, 3] for found in first if found.pose is not None]
        steps = [float(np.linalg.norm(after - before)) for before, after in itertools.pairwise(places)]
        factor = metric_scale.metres_per_unit(steps, motion.lengths[: len(steps)])
        if factor is None or not np.isfinite(factor):
            raise UserError(
                "--speed or --true-poses is given, but the camera does not move in the first frames: start later, or "
                "leave it out"
            )
        return Scale(factor, f"metres, if {motion.known_by} in the first frames", "m")
    if not depths:
        return Scale(1.0, "the model has no depth")
    factor = _MEDIAN_DEPTH / float(np.median(depths))
    return Scale(factor, f"no metres, which images do not tell: the median depth of the first frames is {_MEDIAN_DEPTH:g}")


def _write(
    options: argparse.Namespace,
    seen: Input,
    model: Model,
    scale: Scale,
    predictions: Iterator[tuple[str, np.ndarray, FramePrediction]],
) -> None:
    out, K = options.out, seen.calibration.intrinsics
    out.mkdir(parents=True, exist_ok=True)
    cloud = PointCloud(min(_CLOUD_FRAMES, len(seen.frames)))
    places = set(np.linspace(0, len(seen.frames) - 1, _CLOUD_FRAMES).astype(int))
    files: FrameFiles | None = None
    poses, pictures = [], []
    with movie(out / "depth.mp4", seen.frame_rate) as video:
        for index, (name, frame, found) in enumerate(predictions):
            if files is None:
                bounds = (0.0, 1.0) if found.disparity is None else tuple(np.percentile(found.disparity, (1, 98)))
                files = FrameFiles(out, scale.factor, bounds, npy=options.npy)
            picture = files.write(name, frame, found)
            if picture is not None:
                pictures.append(f"pictures/{name}.jpg")
                if len(seen.frames) > 1:
                    video.add(picture)
            pose = np.eye(4) if found.pose is None else found.pose.astype(np.float64)
            pose[:3, 3] *= scale.factor
            poses.append(pose)
            if index in places and found.depth is not None:
                cloud.add(frame, found.depth * scale.factor, K, pose, found.visible)
    moved = len(poses) > 1 and found.pose is not None
    if moved:
        formats.write_kitti_poses(out / "trajectory_kitti.txt", np.stack(poses))
        times = np.array(seen.times or range(len(poses)), np.float64)
        formats.write_tum_trajectory(out / "trajectory_tum.txt", times, np.stack(poses))
    points, colours = cloud.points, cloud.colours
    if len(points):
        write_ply(out / "cloud.ply", points, colours)
    summary = _summary(options, seen, model, scale)
    formats.write_bytes(out / SUMMARY, (json.dumps(summary, indent=1) + "\n").encode())
    plot = visualization.trajectory_plot({"camera": np.stack(poses)[:, :3, 3]}, unit=scale.unit) if moved else None
    there = {name: what for name, what in _FILES.items() if (out / name).exists() or name == "index.html"}
    facts = {
        "Input": f"{seen.name}, {len(seen.frames)} frames, {seen.size[1]}x{seen.size[0]}",
        "Camera": f"fx {K[0, 0]:.1f}, fy {K[1, 1]:.1f}, cx {K[0, 2]:.1f}, cy {K[1, 2]:.1f} pixels, {seen.calibration.how}",
        "Model": f"{options.model}, step {model.step}",
        "Unit": scale.rests_on,
    }
    write_page(out / "index.html", seen.name, facts, there, pictures, (points, colours), plot)


def _summary(options: argparse.Namespace, seen: Input, model: Model, scale: Scale) -> dict:
    return {
        "input": options.input,
        "frames": len(seen.frames),
        "size": list(seen.size),
        "intrinsics": seen.calibration.intrinsics.tolist(),
        "intrinsics_are": seen.calibration.how,
        "model": str(options.model),
        "step": model.step,
        "scale": scale.factor,
        "scale_rests_on": scale.rests_on,
        "depth_png_unit": 1 / DEPTH_STEPS,
    }


def _check_out(out: pathlib.Path) -> None:
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / SUMMARY).exists())):
        raise UserError(f"{out} is there already and is no prediction: remove it, or choose another --out")


def parser() -> ArgumentParser:
    """Returns the parser of the command line."""
    made = ArgumentParser(
        "dopi-jax predict",
        description="Writes depth, motion and optical flow of frames, as files and as a page to look at.",
        example=_EXAMPLE,
    )
    made.add_argument("input", metavar="INPUT", help="image, folder of images, video, KITTI folder, or a selection")
    made.add_argument("--out", required=True, type=pathlib.Path, metavar="DIR", help="folder for the results")
    which = "shipped weights, a file .npz or a run's folder (default: %(default)s)"
    made.add_argument("--model", default="driving", metavar="MODEL", help=which)
    made.add_argument("--source", default="", metavar="DATA", help="data root, if INPUT is a selection")
    made.add_argument("--intrinsics", default="", metavar="K", help="of the frames: fx,fy,cx,cy in pixels, or a file")
    made.add_argument("--field-of-view", type=float, default=0.0, metavar="DEG", help="horizontal, in degrees")
    in_metres = "above the road: depth and motion are then in metres"
    made.add_argument("--camera-height", type=float, default=0.0, metavar="METRES", help=in_metres)
    speed = f"of the camera at first, in km/h, or {OXTS!r}, as a KITTI raw drive recorded it: metres as well"
    made.add_argument("--speed", default="", metavar="KMH", help=speed)
    made.add_argument("--frame-rate", type=float, default=0.0, metavar="HZ", help="for --speed, if INPUT does not tell it")
    poses = "of every frame, in KITTI's format: metres as well"
    made.add_argument("--true-poses", type=pathlib.Path, metavar="FILE", help=poses)
    flow = f"optical flow, too; by default of {_FLOW_FRAMES} frames at most, since it takes longer than everything else"
    made.add_argument("--flow", action=argparse.BooleanOptionalAction, help=flow)
    made.add_argument("--npy", action="store_true", help="write depth as .npy, too")
    return made
