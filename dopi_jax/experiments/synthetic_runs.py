"""Synthetic streets and runs that are trained on them, for the demo and the ablations; existing ones are kept."""

import pathlib
import sys

from dopi_jax import config as config_lib
from dopi_jax.errors import UserError
from dopi_jax.experiments.evaluation_run import EvaluationRun
from dopi_jax.experiments.training_run import run_training
from dopi_jax.synthetic.layouts import write_layout
from dopi_jax.training import parallel

SIZE = (128, 320)
FRAMES = {"kitti_raw": 720, "kitti_odometry": 120, "kitti_flow_2015": 20}
_TITLES = {"depthpose": "depth and motion", "flow": "optical flow"}


def check_choices(seed: int, steps: int | None) -> None:
    """Refuses a seed or a number of steps before minutes are spent on drawing.

    Args:
      seed: Of the training.
      steps: Instead of the configs'; None for those.

    Raises:
      UserError: No training takes it.
    """
    config = config_lib.Config()
    config.train.seed = seed
    config.train.steps = config.train.steps if steps is None else steps
    config_lib.check(config)


def draw_streets(data: pathlib.Path, seed: int) -> None:
    """Draws the streets to train and test on, in the layouts of the real data sets.

    Args:
      data: The data root.
      seed: Each gives other streets.

    Raises:
      UserError: The folder cannot be written.
    """
    for layout, frames in FRAMES.items():
        if not (data / layout).is_dir():
            print_stage(f"drawing streets in the layout of {layout}")
            write_layout(layout, data, frames, seed, SIZE)


def train_phase(
    phase: str,
    workdir: pathlib.Path,
    data: pathlib.Path,
    seed: int,
    *,
    variant: str = "",
    steps: int | None = None,
    depthpose: pathlib.Path | None = None,
) -> EvaluationRun:
    """Trains a phase on drawn streets by the demo's config; a finished run is kept, an interrupted one resumed.

    Args:
      phase: "depthpose" or "flow".
      workdir: The run's folder.
      data: The data root.
      seed: Of the training.
      variant: A row of the paper's ablation table; empty for all of the method.
      steps: Instead of the config's; None for those.
      depthpose: The run of phase 1 that teaches phase 2.

    Returns:
      The trained run.

    Raises:
      UserError: As `run_training` says, or the training was stopped.
    """
    config = config_lib.load_config(f"demo_{phase}:{variant}")
    config.data.root = str(data)
    config.data.height, config.data.width = SIZE
    config.train.seed = seed
    config.train.steps = config.train.steps if steps is None else steps
    config.train.batch_size = parallel.divisible(config.train.batch_size)
    if depthpose:
        config.depthpose = str(depthpose)
    config_lib.check(config)
    print_stage(f"training {' '.join([_TITLES[phase], variant]).strip()}, {config.train.steps} steps")
    state = run_training(config, workdir)
    if int(state.step) < config.train.steps:
        raise UserError("the training was stopped; the same command goes on from here")
    return EvaluationRun.open(workdir, {}, "best")


def print_stage(what: str) -> None:
    """Prints on stderr which stage begins."""
    print(f"-- {what}", file=sys.stderr)
