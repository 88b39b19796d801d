"""Trained networks as programs that run without this package: StableHLO by `jax.export`, and ONNX.

Each network is a function of images in [-1, 1], RGB:

    depth   image [B, H, W, 3]                                    -> disparity [B, H, W]
    pose    target [B, H, W, 3], sources [B, 2, H, W, 3]          -> source_from_target [B, 2, 4, 4], to t-1 and t+1
    flow    target [B, H, W, 3], sources [B, 2, H, W, 3]          -> flow [B, 2, H, W, 2] in pixels, to t-1 and t+1
            rigid [B, 2, H, W, 2], of a model that looks at rigid flow: in pixels, NaN where there is none
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dopi_jax import predict
from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.forms import plain_forms

PLATFORMS = ("cpu", "cuda")
_ONNX_MISSING = (
    "writing ONNX needs jax2onnx, which asks for other versions of packages than dopi_jax and is installed without them: "
    "pip install --no-deps jax2onnx onnx onnx-ir einops equinox jaxtyping wadler-lindig dm-pix sympy mpmath"
)


def network_functions(config: Config, variables: Mapping[str, Any]) -> dict[str, tuple[Callable, tuple[str, ...]]]:
    """Returns the function of each network that there is, and the names of its arguments.

    A pose network that looks again by depth (`model.pose_refinements`) is given as it looks first.
    """
    functions: dict[str, tuple[Callable, tuple[str, ...]]] = {}
    if "depth" in variables:
        disparity = predict.make_predict_disparity(config)
        functions["depth"] = (lambda image: disparity(variables, image)), ("image",)
    if "pose" in variables:
        motion = predict.make_predict_first_poses(config)
        functions["pose"] = (lambda target, sources: motion(variables, target, sources)), ("target", "sources")
    if "flow" in variables:
        flow = predict.make_predict_flow(config)
        names = ("target", "sources", "rigid") if config.flow_loss.shown_rigid > 0 else ("target", "sources")
        functions["flow"] = (lambda *arguments: flow(variables, *arguments)), names
    return functions


def stablehlo_program(function: Callable, names: tuple[str, ...], size: tuple[int, int]) -> bytes:
    """Returns a program for any number of images of one size, for CPUs and NVIDIA's GPUs; `jax.export.deserialize` reads it.

    Args:
      function: One of `network_functions`.
      names: Of its arguments.
      size: (height, width) of the images.
    """
    batch = jax.export.symbolic_shape("batch")[0]
    with plain_forms():
        exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*_shapes(names, batch, size))
    return bytes(exported.serialize())


def onnx_program(function: Callable, names: tuple[str, ...], size: tuple[int, int]) -> bytes:
    """Returns a program for one image, or snippet, of one size.

    Args:
      function: One of `network_functions`.
      names: Of its arguments.
      size: (height, width) of the images.

    Raises:
      UserError: jax2onnx is not installed.
    """
    try:
        from jax2onnx import to_onnx
    except ImportError as error:
        raise UserError(f"{_ONNX_MISSING} ({error})") from error
    with plain_forms():
        try:
            program = to_onnx(function, [tuple(shape.shape) for shape in _shapes(names, 1, size)])
        except Exception as error:  # of any kind, for what it does not know
            raise UserError(f"jax2onnx cannot convert this network ({error}): write it with --format stablehlo") from error
    return program.SerializeToString()


def _shapes(names: tuple[str, ...], batch: Any, size: tuple[int, int]) -> list[jax.ShapeDtypeStruct]:
    of_name = {"image": (3,), "target": (3,), "sources": (2, 3), "rigid": (2, 2)}
    return [jax.ShapeDtypeStruct((batch, *of_name[name][:-1], *size, of_name[name][-1]), jnp.float32) for name in names]
