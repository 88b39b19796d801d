"""Differentiable geometry of moving pinhole cameras, in JAX alone.

Conventions:

- Pixel centres lie at integers: x to the right in 0 ... W-1, y down in 0 ... H-1, z forward. A pixel is written (x, y).
- Intrinsics `K` are `[[fx, skew, cx], [0, fy, cy], [0, 0, 1]]` in pixels of the given image.
- A pose is a 4x4 rigid transform named as algebra: `source_from_target` maps points in target-camera coordinates to
  source-camera coordinates, and `compose_poses(c_from_b, b_from_a)` is `c_from_a`.
- A pose vector is (tx, ty, tz, rx, ry, rz): translation in the unit of depth, then rotation. Euler angles in radians
  make the rotation `Rx(rx) @ Ry(ry) @ Rz(rz)`.
- Depth is z, along the optical axis, not the distance to the camera. A depth is usable if it is finite and positive. With
  `inverse_depth=True` depth maps hold 1/z, and 0 is usable too: infinitely far, so it moves only as the camera turns.
- Flow is `[H, W, 2]` = (u, v) in pixels: the pixel (x, y) of the target is found at (x + u, y + v) in the source.
- A depth map belongs to the target unless its name says otherwise. The source may be another camera: `source_K`, and a size
  of its own, that of its image or depth.
- Images are `[H, W, C]` of any range, and rectified: straight lines appear straight. `distort_pixels` says how to rectify.
- Masks are boolean, True = use this pixel, and carry no gradient.
- A point with z <= `MIN_Z` in the source camera is behind it: it has no pixel.

Every function takes one unbatched sample, is pure, can be jitted, differentiated and batched by `jax.vmap`. It takes what
`jnp.asarray` takes (nested lists, integers, float16) and computes in float32, without TF32 products, which would move
projections by up to 0.6 pixels; in float64 if an array is of that type under `JAX_ENABLE_X64`. Values and gradients stay
finite for depths that are zero, negative, infinite or NaN. Shapes are stated in docstrings and checked by chex;
annotations of jaxtyping would repeat them and add a dependency.
"""

# Cameras.
from dopi_jax.geometry.camera import (
    MIN_Z,
    backproject,
    crop_intrinsics,
    flip_intrinsics,
    pixel_grid,
    project,
    scale_focal_length,
    scale_intrinsics,
    transform_points,
)

# Other programs' cameras, and lenses.
from dopi_jax.geometry.camera_conventions import pose_from_convention, pose_to_convention
from dopi_jax.geometry.distortion import distort_pixels, undistort_pixels

# Occlusion.
from dopi_jax.geometry.occlusion import OcclusionMasks, occlusion_masks, z_buffer
from dopi_jax.geometry.occlusion_by_consistency import (
    depth_comparison_masks,
    depth_inconsistency,
    forward_backward_mask,
    range_map_mask,
)

# Poses.
from dopi_jax.geometry.pose import compose_poses, invert_pose, pose_from_vector, vector_from_pose
from dopi_jax.geometry.pose_from_flow import pose_from_flow
from dopi_jax.geometry.pose_from_matches import MatchedMotion, pose_from_matches

# Sampling and warping.
from dopi_jax.geometry.sampling import bilinear_sample
from dopi_jax.geometry.splat import splat_by_depth

# Surfaces.
from dopi_jax.geometry.surfaces import depth_from_points, depth_normals, point_cloud
from dopi_jax.geometry.warp import rigid_flow, warp_by_depth, warp_by_flow

__all__ = [
    "MIN_Z",
    "MatchedMotion",
    "OcclusionMasks",
    "backproject",
    "bilinear_sample",
    "compose_poses",
    "crop_intrinsics",
    "depth_comparison_masks",
    "depth_from_points",
    "depth_inconsistency",
    "depth_normals",
    "distort_pixels",
    "flip_intrinsics",
    "forward_backward_mask",
    "invert_pose",
    "occlusion_masks",
    "pixel_grid",
    "point_cloud",
    "pose_from_convention",
    "pose_from_flow",
    "pose_from_matches",
    "pose_from_vector",
    "pose_to_convention",
    "project",
    "range_map_mask",
    "rigid_flow",
    "scale_focal_length",
    "scale_intrinsics",
    "splat_by_depth",
    "transform_points",
    "undistort_pixels",
    "vector_from_pose",
    "warp_by_depth",
    "warp_by_flow",
    "z_buffer",
]
