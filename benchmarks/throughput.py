"""What predicts a batch of images, to be timed."""

from collections.abc import Callable
from typing import Any

import jax
import jax.export

from benchmarks.case import Case, initial_state, random_images
from dopi_jax import predict
from dopi_jax.interop.programs import network_functions, stablehlo_program
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


def exported_prediction(case: Case) -> tuple[bytes, Callable[..., Any], tuple[Any, ...]]:
    """Returns what `dopi-jax export --format stablehlo` writes of the same network, to be run by JAX.

    Args:
      case: The network and the batch.

    Returns:
      The file, a compiled function of the program in it, and its arguments: images alone.
    """
    config, state, batch = case.config(), initial_state(case), random_images(case)
    variables = network_variables(state.params, state.batch_stats)
    function, names = network_functions(config, variables)["depth" if case.phase == "1" else "flow"]
    written = stablehlo_program(function, names, (case.height, case.width))
    program = jax.export.deserialize(bytearray(written))
    images = {"image": batch["target"], "target": batch["target"], "sources": batch["sources"]}
    return written, jax.jit(program.call), tuple(images[name] for name in names)


def wait(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[], object]:
    """Returns a call of a compiled function that ends when its results are there."""
    return lambda: jax.block_until_ready(function(*arguments))
