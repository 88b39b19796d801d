"""Camera motion from depth and optical flow: six numbers by robust least squares, without a network."""

import chex
import jax
import jax.numpy as jnp

from dopi_jax.geometry.arrays import as_float
from dopi_jax.geometry.camera import MIN_Z, backproject, pixel_grid, project, transform_points
from dopi_jax.geometry.pose import compose_poses, cross_matrix, invert_pose, pose_from_vector, vector_from_pose

_LEAST_SCALE = 0.5  # pixels: residuals below this count fully, however small the others are
_WIDE_ITERATIONS = 3  # the first ones count residuals up to 8, 4 and 2 times as large: what is far off may still be right
_DAMPING = 1e-4  # of the diagonal of the normal equations
_LARGEST_TURN = 0.2  # radians in one iteration
_AGREES = 1.0  # pixels


def pose_from_flow(
    depth: chex.Array,
    flow: chex.Array,
    K: chex.Array,
    weights: chex.Array | None = None,
    start: chex.Array | None = None,
    *,
    prior: chex.Array | None = None,
    iterations: int = 12,
    least_support: float = 0.15,
    source_K: chex.Array | None = None,
) -> chex.Array:
    """Returns the motion that explains an optical flow best, by Gauss-Newton iterations with Cauchy weights.

    Minimised is the robust distance, in pixels, between where depth and motion put every pixel (paper eq. 1) and where the
    flow puts it. All is differentiable with respect to depth, flow, weights, intrinsics and start.

    Args:
      depth: Target depth [H, W]; pixels without a usable one are left out.
      flow: Flow [H, W, 2] in pixels from target to source; pixels where it is not finite are left out.
      K: Intrinsics [3, 3] of the target, and of the source unless that has its own.
      weights: How far each pixel is trusted, [H, W] in [0, 1]; all alike if None.
      start: Pose [4, 4] to begin with; no motion if None.
      prior: How firmly each of (tx, ty, tz, rx, ry, rz) is held at the start's, [6]: 0 not at all, 1 as firmly as all pixels
        together hold it where they want it. A car hardly moves sideways and upwards, and errors of depth look like such
        motion. Nothing is held if None.
      iterations: How many.
      least_support: Where less than this share of the pixels, by weight, ends within a pixel of the flow, the start is
        returned.
      source_K: Intrinsics [3, 3] of the source.

    Returns:
      `source_from_target` [4, 4], translation in the unit of depth.

    Examples:
      >>> K = jnp.array([[20.0, 0, 12], [0, 20.0, 8], [0, 0, 1]])
      >>> depth = 4 + geometry.pixel_grid(16, 24).sum(-1) / 10
      >>> flow = geometry.rigid_flow(depth, K, geometry.pose_from_vector([0, 0, -0.5, 0, 0, 0]))
      >>> [round(value, 3) + 0.0 for value in geometry.pose_from_flow(depth, flow, K)[:3, 3].tolist()]
      [0.0, 0.0, -0.5]
    """
    depth, flow, K, source_K = as_float(depth, flow, K, K if source_K is None else source_K)
    chex.assert_rank([depth, flow, K], [2, 3, 2])
    dtype = depth.dtype
    start = jnp.eye(4, dtype=dtype) if start is None else jnp.asarray(start, dtype)
    prior = jnp.zeros(6, dtype) if prior is None else jnp.asarray(prior, dtype)
    points = backproject(depth, K).reshape(-1, 3)
    goals = (pixel_grid(*depth.shape).astype(dtype) + flow).reshape(-1, 2)
    trust = jnp.ones_like(points[:, 0]) if weights is None else jnp.asarray(weights, dtype).reshape(-1)
    usable = jnp.isfinite(goals).all(-1) & jnp.isfinite(points).all(-1) & (points[:, 2] > MIN_Z) & jnp.isfinite(trust)
    trust = jnp.where(usable, trust, 0.0)
    goals = jnp.where(usable[:, None], goals, 0.0)
    points = jnp.where(usable[:, None], points, jnp.array([0.0, 0.0, 1.0], dtype))

    def compared(pose):
        moved = transform_points(pose, points)
        pixels, z = project(moved, source_K)
        seen = (z > MIN_Z) & (trust > 0)
        return moved, jnp.where(seen[:, None], pixels - goals, 0.0), jnp.where(seen, trust, 0.0)

    def iterate(pose, width):
        moved, residuals, trusted = compared(pose)
        scale = width * _robust_scale(residuals, trusted)
        cauchy = trusted / (1 + jnp.sum(residuals**2, axis=-1) / scale**2)
        jacobian = _pixel_jacobian(moved, source_K)
        normal = jnp.einsum("nri,nrj,n->ij", jacobian, jacobian, cauchy, precision="highest")
        slope = jnp.einsum("nri,nr,n->i", jacobian, residuals, cauchy, precision="highest")
        firmness = prior * jnp.diagonal(normal)
        of_pose = _pose_jacobian(pose)
        turned = vector_from_pose(compose_poses(pose, invert_pose(start)), "so3")[3:]
        from_start = jnp.concatenate([pose[:3, 3] - start[:3, 3], turned])
        normal = normal + jnp.einsum("ki,k,kj->ij", of_pose, firmness, of_pose, precision="highest")
        slope = slope + jnp.einsum("ki,k->i", of_pose, firmness * from_start, precision="highest")
        # In units that make the diagonal 1, translation in any unit of depth and rotation in radians count alike.
        size = jnp.sqrt(jnp.diagonal(normal) + 1e-12)
        normal = normal / (size[:, None] * size) + _DAMPING * jnp.eye(6, dtype=dtype)
        change = -jnp.linalg.solve(normal, slope / size) / size
        change *= jnp.minimum(1.0, _LARGEST_TURN / (jnp.linalg.norm(change[3:] + 1e-12)))
        return compose_poses(pose_from_vector(change, "so3"), pose), None

    widths = jnp.array([2.0 ** max(_WIDE_ITERATIONS - i, 0) for i in range(iterations)], dtype)
    pose, _ = jax.lax.scan(iterate, start, widths)
    _, residuals, trusted = compared(pose)
    agrees = jnp.sum(residuals**2, axis=-1) < _AGREES**2
    support = jnp.sum(jnp.where(agrees, trusted, 0.0)) / jnp.maximum(jnp.sum(trust), 1e-6)
    good = jnp.isfinite(pose).all() & (support >= least_support)
    return jnp.where(good, pose, start)


def _robust_scale(residuals: chex.Array, trust: chex.Array) -> chex.Array:
    """The median length in pixels of the residuals with weight, without gradient."""
    length = jnp.linalg.norm(jax.lax.stop_gradient(residuals), axis=-1)
    median = jnp.nanmedian(jnp.where(trust > 0, length, jnp.nan))
    return jnp.maximum(jnp.nan_to_num(median), _LEAST_SCALE)


def _pixel_jacobian(points: chex.Array, K: chex.Array) -> chex.Array:
    """How the pixels of points [N, 3] follow a small further motion (translation, rotation vector): [N, 2, 6]."""
    x, y, z = points[:, 0], points[:, 1], jnp.maximum(points[:, 2], MIN_Z)
    (fx, skew, _), (_, fy, _) = K[0], K[1]
    rows = (fx / z, skew / z, -(fx * x + skew * y) / z**2), (jnp.zeros_like(z), fy / z, -fy * y / z**2)
    of_position = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=1)
    of_turn = -cross_matrix(points)  # of the position: rotation vector x position
    return jnp.concatenate([of_position, jnp.einsum("nri,nij->nrj", of_position, of_turn, precision="highest")], axis=-1)


def _pose_jacobian(pose: chex.Array) -> chex.Array:
    """How a pose's translation and rotation vector follow a small further motion: [6, 6], the latter to first order."""
    unit = jnp.eye(3, dtype=pose.dtype)
    return jnp.block([[unit, -cross_matrix(pose[:3, 3])], [jnp.zeros_like(unit), unit]])
