"""`dopi-jax video`: your own video in one command: a report, some minutes of training, and a prediction."""

import argparse
import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from dopi_jax import config as config_lib
from dopi_jax import visualization
from dopi_jax.command_line import flags as command_flags
from dopi_jax.commands import predict
from dopi_jax.config import Config
from dopi_jax.data.footage import Footage
from dopi_jax.data.images import read_image
from dopi_jax.data.inputs import Input, open_input
from dopi_jax.data.selection import find_data_roots, select_sequences
from dopi_jax.errors import ArgumentParser, UserError
from dopi_jax.experiments.training_run import run_training
from dopi_jax.experiments.validation import DepthPoseValidator, FlowValidator
from dopi_jax.model_file import write_model
from dopi_jax.picture_files import write_picture
from dopi_jax.trained_model import Model, load
from dopi_jax.training import parallel
from dopi_jax.training.logging import read_metrics
from dopi_jax.training.run_folder import hold, user_error_if_unwritable, write_whole

_EXAMPLE = """\
  dopi-jax video my.mp4 --minutes 30 --field-of-view 70 --out runs/my_video
  dopi-jax video my.mp4 --minutes 20 --flow-minutes 10 --out runs/my_video
"""
_FEWEST_FRAMES = 30
_TIMED_STEPS = 20  # measure how many steps fit into the minutes
_FEWEST_STEPS = 2 * _TIMED_STEPS
_MEASURES = {
    "depthpose": {
        "photometric": "photometric error",
        "matched_depth_error": "log depth's difference to that of followed corners",
    },
    "flow": {
        "photometric": "photometric error by flow",
        "matched": "flow's distance from where corners were followed to, in pixels",
    },
}
_COMPARED = 4  # frames in before_after.png
_WIDTH = 480  # pixels of each


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    command_flags.run_with_options(run, _parser(), arguments)


def run(options: argparse.Namespace) -> None:
    """Trains the model on the footage for some minutes, keeps it if that helped, and predicts.

    Raises:
      UserError: The input, the model or the camera is wrong, or training cannot work.
    """
    if not 0 < options.minutes < math.inf:
        raise UserError(f"--minutes is {options.minutes:g}: expected more than 0")
    if not 0 <= options.flow_minutes < math.inf:
        raise UserError(f"--flow-minutes is {options.flow_minutes:g}: expected 0 or more")
    seen = open_input(options.input, "", Footage(options.intrinsics, options.field_of_view, by_flags=True))
    if len(seen.frames) < _FEWEST_FRAMES:
        raise UserError(
            f"{options.input} has too few frames, {len(seen.frames)}: expected a video or folder with {_FEWEST_FRAMES} at "
            "least, to train on; `dopi-jax predict` takes any"
        )
    model = load(options.model)
    if not {"depth", "pose"} <= model.variables.keys():
        raise UserError(f"model {options.model!r} has no networks of depth and motion to train: name another")
    if options.flow_minutes and not ("flow" in model.variables and model.config.model.flow == "lite"):
        raise UserError(f"--flow-minutes is given, but model {options.model!r} has no lite flow network: leave it out")
    size = model.network_size(seen.size)
    config = _config("video_depthpose", options, model, size)
    depth = _train(config, options.out / "training", options.minutes, model.variables)
    _compare(options.out / "before_after.png", seen, model, depth.model)
    print(f"{options.out / 'before_after.png'} shows depth by both")
    if depth.helped and "flow" in model.variables:
        # The flow network, which uses depth and motion, is the original one.
        chosen = _write_merged(options.out / "model.npz", depth.model, model, model.variables["flow"])
    else:
        chosen = str(options.out / "training") if depth.helped else options.model
    summary = {"before_and_after": depth.measured, "steps": depth.model.step}
    if options.flow_minutes:
        config = _config("video_flow", options, model, size)
        config.depthpose, teacher = chosen, load(chosen)
        flow = _train(config, options.out / "flow_training", options.flow_minutes, teacher.variables)
        if flow.helped:
            chosen = _write_merged(options.out / "model.npz", teacher, model, flow.model.variables["flow"])
        summary |= {"flow_before_and_after": flow.measured, "flow_steps": flow.model.step}
    camera = [f"--intrinsics={options.intrinsics}"] if options.intrinsics else []
    camera += [f"--field-of-view={options.field_of_view}"] if options.field_of_view else []
    prediction = ["--out", str(options.out / "prediction"), "--model", chosen, *camera]
    prediction += [] if options.flow is None else ["--flow" if options.flow else "--no-flow"]
    predict.run(predict.parser().parse_args([options.input, *prediction]))
    (options.out / "video.json").write_text(json.dumps({"model": chosen, **summary}, indent=1) + "\n", encoding="utf-8")


class _Trained(NamedTuple):
    """Networks trained on the footage, each measure of held-out frames before and after, and whether all are better."""

    model: Model
    measured: dict[str, list[float]]
    helped: bool


def _train(config: Config, workdir: pathlib.Path, minutes: float, variables: Mapping[str, Any]) -> _Trained:
    """Trains for some minutes, and compares with the networks that it started from."""
    config_lib.check(config)
    validator = _validator(config)
    before = validator.validate_variables(variables)
    with hold(workdir):
        _train_or_go_on(config, workdir, minutes)
    trained = load(workdir)
    after = validator.validate_variables(trained.variables)
    measures = _MEASURES[config.phase]
    for name, what in measures.items():
        print(f"{what} of held-out frames: {before[name]:.4f} before, {after[name]:.4f} after {trained.step} steps")
    helped = all(after[name] < before[name] for name in measures)
    print(f"predicting with the networks {'trained on' if helped else 'of before, since not both are better'}")
    return _Trained(trained, {name: [before[name], after[name]] for name in measures}, helped)


def _write_merged(path: pathlib.Path, depth: Model, flow: Model, flow_variables: Mapping[str, Any]) -> str:
    """Writes depth and motion of one model and a flow network with the settings of another; returns the file's name."""
    merged = dataclasses.replace(depth.config, flow_loss=flow.config.flow_loss, prediction=flow.config.prediction)
    write_model(path, merged, {**depth.variables, "flow": flow_variables}, depth.step)
    return str(path)


def _compare(path: pathlib.Path, seen: Input, before: Model, after: Model) -> None:
    """Draws some frames with their depth before and after training."""
    rows = []
    for index in np.linspace(0, len(seen.frames) - 1, _COMPARED).astype(int):
        frame = read_image(seen.frames[index], stored_size=seen.size)
        colours = [visualization.depth_colours(model(frame).disparity[0]) for model in (before, after)]
        size = (_WIDTH, max(1, round(_WIDTH * seen.size[0] / seen.size[1])))
        rows.append([np.asarray(Image.fromarray(picture).resize(size)) for picture in (frame, *colours)])
    write_picture(path, visualization.stack_panels(rows))


def _config(name: str, options: argparse.Namespace, model: Model, size: tuple[int, int]) -> Config:
    config = config_lib.load_config(name)
    config.data.root = options.input
    config.data.intrinsics, config.data.field_of_view = options.intrinsics, options.field_of_view
    config.data.height, config.data.width = size
    config.init_from = options.model
    config.model = dataclasses.replace(model.config.model)
    config.train.batch_size = options.batch or parallel.divisible(config.train.batch_size)
    return config


def _validator(config: Config) -> DepthPoseValidator | FlowValidator:
    footage = Footage(config.data.intrinsics, config.data.field_of_view, by_flags=True)
    roots, held_out = find_data_roots(config.data.root, "INPUT"), []
    for selection in config.data.validation:
        try:
            held_out += select_sequences(roots, selection, footage=footage)
        except UserError:  # the input is either images or video
            continue
    if not held_out:
        raise UserError(f"{config.data.root} has no frames to hold out: expected a longer video, without cuts near its end")
    return DepthPoseValidator(config, held_out) if config.phase == "depthpose" else FlowValidator(config, held_out, [])


def _train_or_go_on(config: Config, workdir: pathlib.Path, minutes: float) -> None:
    """Trains or resumes; the first steps measure how many fit into the time."""
    plan = workdir / "plan.json"
    if not plan.is_file():
        config.train.steps = _TIMED_STEPS
        config.train.log_every = _TIMED_STEPS // 2
        config.train.checkpoint_every = _TIMED_STEPS
        run_training(config, workdir)
        steps = max(_FEWEST_STEPS, round(60 * minutes * _steps_per_second(workdir)))
        with user_error_if_unwritable(workdir):
            write_whole(plan, json.dumps({"minutes": minutes, "steps": steps}))
    config.train.steps = json.loads(plan.read_text(encoding="utf-8"))["steps"]
    every = max(_TIMED_STEPS, config.train.steps // 8)
    config.train.checkpoint_every = config.train.validate_every = config.train.image_every = every
    state = run_training(config, workdir)
    if int(state.step) < config.train.steps:
        raise UserError("the training was stopped; the same command goes on from here")


def _steps_per_second(workdir: pathlib.Path) -> float:
    return [line["train/steps_per_second"] for line in read_metrics(workdir) if line.get("train/steps_per_second")][-1]


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "dopi-jax video",
        description="Trains the model on your video for some minutes, and writes depth and motion of it.",
        example=_EXAMPLE,
    )
    parser.add_argument("input", metavar="INPUT", help="video, or folder of images in the order of time")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="DIR", help="folder for training and results")
    minutes = "of training depth and motion (default: %(default)s)"
    parser.add_argument("--minutes", type=float, default=20.0, metavar="M", help=minutes)
    flow_minutes = "of training the flow network after that (default: 0, it matches without training)"
    parser.add_argument("--flow-minutes", type=float, default=0.0, metavar="M", help=flow_minutes)
    which = "what training starts from: shipped weights, a file .npz or a run's folder (default: %(default)s)"
    parser.add_argument("--model", default="driving", metavar="MODEL", help=which)
    parser.add_argument("--intrinsics", default="", metavar="K", help="of the frames: fx,fy,cx,cy in pixels, or a file")
    parser.add_argument("--field-of-view", type=float, default=0.0, metavar="DEG", help="horizontal, in degrees")
    parser.add_argument("--flow", action=argparse.BooleanOptionalAction, help="as for predict")
    parser.add_argument("--batch", type=int, default=0, metavar="B", help="snippets a step (default: 4, or one a device)")
    return parser
