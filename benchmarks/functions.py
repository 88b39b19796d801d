"""The functions of `dopi_jax.geometry` and the terms of the losses, each alone: time, and memory traffic."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.case import Case, random_images, road_scene
from dopi_jax import geometry, losses

Function = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function of unbatched samples, and batched arguments."""


def functions(case: Case) -> dict[str, Function]:
    """Returns what is measured, by name; each for one source a target.

    Args:
      case: Its batch and size; phase and networks do not matter.

    Returns:
      Functions of one sample, to be mapped over the leading axis of their arguments.
    """
    scene, batch = road_scene(case), random_images(case)
    depth, source_depth, pose = scene["depth"], scene["source_depths"][:, 1], scene["poses"][:, 1]
    K, image, source = scene["intrinsics"], batch["target"], batch["sources"][:, 1]
    view = (depth, K, pose)
    views = (depth, source_depth, K, pose)
    flow = jax.vmap(geometry.rigid_flow)(*view)
    back = jax.vmap(geometry.rigid_flow)(source_depth, K, jax.vmap(geometry.invert_pose)(pose))
    position = flow + geometry.pixel_grid(case.height, case.width)
    error = jnp.abs(image - source)[..., 0]
    visible = jax.vmap(geometry.occlusion_masks)(*views).visible

    def z_buffer(pixels: Any, z: Any, valid: Any) -> Any:
        return geometry.z_buffer(pixels, z, valid, case.height, case.width)

    return {
        "backproject": (geometry.backproject, (depth, K)),
        "rigid_flow": (geometry.rigid_flow, view),
        "bilinear_sample": (geometry.bilinear_sample, (source, position)),
        "warp_by_flow": (geometry.warp_by_flow, (source, flow)),
        "warp_by_depth": (geometry.warp_by_depth, (source, *view)),
        "z_buffer": (z_buffer, (position, depth, jnp.ones(depth.shape, bool))),
        "occlusion_masks": (geometry.occlusion_masks, views),
        "depth_comparison_masks": (geometry.depth_comparison_masks, views),
        "depth_inconsistency": (geometry.depth_inconsistency, views),
        "forward_backward_mask": (geometry.forward_backward_mask, (flow, back)),
        "range_map_mask": (geometry.range_map_mask, (back,)),
        "ssim": (losses.ssim, (image, source)),
        "photometric_error": (losses.photometric_error, (image, source)),
        "less_than_mean_mask": (losses.less_than_mean_mask, (error, visible)),
        "edge_aware_smoothness": (losses.edge_aware_smoothness, (depth[..., None], image)),
    }


def floor_bytes(arguments: tuple[Any, ...], result_bytes: int) -> int:
    """Returns the size of inputs and results together: a function that reads and writes each once moves no less."""
    return sum(array.nbytes for array in jax.tree.leaves(arguments)) + result_bytes
