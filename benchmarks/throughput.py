"""What predicts a batch of images, to be timed."""

from collections.abc import Callable
from typing import Any

import jax

from benchmarks.case import Case, initial_state, random_images
from dopi_jax import predict
from dopi_jax.networks import network_variables


def prediction(case: Case) -> tuple[str, Callable[..., Any], tuple[Any, ...]]:
    """Returns what predicts a batch: disparity of the targets in phase 1, flow to both neighbours in phase 2.

    Args:
      case: The network and the batch.

    Returns:
      A name, a compiled function and its arguments.
    """
    config, state, batch = case.config(), initial_state(case), random_images(case)
    variables = network_variables(state.params, state.batch_stats)
    if case.phase == "1":
        return "predict disparity", predict.make_predict_disparity(config), (variables, batch["target"])
    return "predict flow", predict.make_predict_flow(config), (variables, batch["target"], batch["sources"])


def wait(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[], object]:
    """Returns a call of a compiled function that ends when its results are there."""
    return lambda: jax.block_until_ready(function(*arguments))
