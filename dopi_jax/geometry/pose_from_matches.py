"""Camera motion from points matched between two images, without depth: two-view (epipolar) geometry."""

from typing import NamedTuple

import chex
import jax
import jax.export
import jax.numpy as jnp

from dopi_jax.geometry.arrays import as_float
from dopi_jax.geometry.camera import rays
from dopi_jax.geometry.pose import cross_matrix, pose_from_vector

_SCALE = 0.3  # pixels: residuals below this count fully
_WIDE = 64.0  # times as large residuals count in the first iteration, half of that in the next, and so on
_DAMPING = 1e-6  # of the diagonal of the normal equations
_LARGEST_CHANGE = 0.3  # radians in one iteration
_TINY = 1e-12


class MatchedMotion(NamedTuple):
    """Motion and scene points estimated from matched points.

    Attributes:
      source_from_target: Pose [4, 4] whose translation has length 1: two views do not tell how far the camera moved.
      support: [N] in [0, 1], how well each match agrees with the motion: near 1 far below, near 0 far above a third of a
        pixel. What moves by itself does not agree, except along its own line to the point that the camera moves to.
      depth: [N], of each point in the target camera, in units of the distance that the camera moved. Negative where a
        point seems to lie behind the camera, which then is an error of the match.
      parallax: [N] in pixels, how far each point moved beyond what the rotation explains. Depth is uncertain by about the
        share of it that a match is off.
    """

    source_from_target: chex.Array
    support: chex.Array
    depth: chex.Array
    parallax: chex.Array


jax.export.register_namedtuple_serialization(MatchedMotion, serialized_name="dopi_jax.geometry.MatchedMotion")


def pose_from_matches(
    target_points: chex.Array,
    source_points: chex.Array,
    K: chex.Array,
    weights: chex.Array | None = None,
    *,
    iterations: int = 20,
    source_K: chex.Array | None = None,
) -> MatchedMotion:
    """Returns the rotation and the direction of translation that explain matched points best.

    Minimised is the robust sum of Sampson distances (Hartley and Zisserman, Multiple View Geometry, eq. 11.9) by
    Gauss-Newton iterations with Cauchy weights, from motions along each of the three axes; the best result is taken. Unlike
    `pose_from_flow` it takes no depth, so no error of depth can look like motion. All is differentiable with respect to
    points, intrinsics and weights.

    Args:
      target_points: (x, y) in pixels of the target, [N, 2]; matches that are not finite are left out.
      source_points: Where they are in the source, [N, 2].
      K: Intrinsics [3, 3] of the target, and of the source unless that has its own.
      weights: How far each match is trusted, [N] in [0, 1]; all alike if None.
      iterations: How many.
      source_K: Intrinsics [3, 3] of the source.

    Returns:
      `MatchedMotion`. It says something with ten good matches or more, and of the translation only where `parallax` is above
      the error of the matches: a camera that only turns has none.

    Examples:
      Points around the image's centre move away from it: the camera moves forward, into the direction (0, 0, 1).

      >>> K = jnp.array([[100.0, 0, 50], [0, 100.0, 50], [0, 0, 1]])
      >>> points = geometry.pixel_grid(5, 5).reshape(-1, 2) * 25
      >>> depth = 5 + jnp.arange(25) % 7
      >>> moved = 50 + (points - 50) * (depth / (depth - 1))[:, None]
      >>> motion = geometry.pose_from_matches(points, moved, K)
      >>> [round(value, 2) + 0.0 for value in motion.source_from_target[:3, 3].tolist()]
      [0.0, 0.0, -1.0]
    """
    target_points, source_points, K, source_K = as_float(
        target_points, source_points, K, K if source_K is None else source_K
    )
    dtype = K.dtype
    chex.assert_shape([K, source_K], (3, 3))
    chex.assert_equal_shape([target_points, source_points])
    usable = jnp.isfinite(target_points).all(-1) & jnp.isfinite(source_points).all(-1)
    trust = jnp.where(usable, 1.0 if weights is None else jnp.asarray(weights, dtype), jnp.zeros((), dtype))
    at_target = _rays(jnp.where(usable[:, None], target_points, K[:2, 2]), K)
    at_source = _rays(jnp.where(usable[:, None], source_points, source_K[:2, 2]), source_K)
    # A distance on the plane at depth 1 times this is one in pixels.
    focal_length = jnp.sqrt(jnp.sqrt(K[0, 0] * K[1, 1]) * jnp.sqrt(source_K[0, 0] * source_K[1, 1]))

    def residuals(motion):
        return focal_length * _sampson_distances(*motion, at_target, at_source)

    def refined(direction):
        def iterate(motion, width):
            r = residuals(motion)
            jacobian = jax.jacfwd(lambda change: residuals(_moved(motion, change)))(jnp.zeros(5, dtype))
            cauchy = trust / (1 + (r / (_SCALE * width)) ** 2)
            normal = jnp.einsum("ni,nj,n->ij", jacobian, jacobian, cauchy, precision="highest")
            slope = jnp.einsum("ni,n,n->i", jacobian, r, cauchy, precision="highest")
            size = jnp.sqrt(jnp.diagonal(normal) + 1e-9)
            normal = normal / (size[:, None] * size) + _DAMPING * jnp.eye(5, dtype=dtype)
            change = -jnp.linalg.solve(normal, slope / size) / size
            change *= jnp.minimum(1.0, _LARGEST_CHANGE * jax.lax.rsqrt(jnp.sum(change**2) + _TINY))
            return _moved(motion, change), None

        widths = jnp.maximum(1.0, _WIDE / 2.0 ** jnp.arange(iterations, dtype=dtype))
        motion, _ = jax.lax.scan(iterate, (jnp.eye(3, dtype=dtype), direction), widths)
        return motion, jnp.sum(trust * jnp.log1p((residuals(motion) / _SCALE) ** 2))

    ends, costs = jax.vmap(refined)(jnp.eye(3, dtype=dtype)[::-1])
    rotation, direction = jax.tree.map(lambda end: end[jnp.argmin(costs)], ends)
    support = trust / (1 + (residuals((rotation, direction)) / _SCALE) ** 2)

    turned = jnp.einsum("ij,nj->ni", rotation, at_target, precision="highest")
    across = jnp.cross(at_source, turned)
    squared = jnp.sum(across**2, axis=-1)
    depth = -jnp.sum(across * jnp.cross(at_source, direction), axis=-1) / (squared + _TINY)
    parallax = focal_length * jnp.sqrt(squared + _TINY)
    # Both directions of a line explain the matches alike; with one of them the scene lies in front of the camera.
    sign = jnp.where(jnp.sum(jnp.where(parallax > 1.0, support * jnp.sign(depth), 0.0)) < 0, -1.0, 1.0)
    pose = jnp.eye(4, dtype=dtype).at[:3, :3].set(rotation).at[:3, 3].set(sign * direction)
    return MatchedMotion(pose, support, sign * depth, parallax)


def _rays(points: chex.Array, K: chex.Array) -> chex.Array:
    """Points [N, 2] in pixels on the plane at depth 1, [N, 3]."""
    x, y = rays(points, K)
    return jnp.stack([x, y, jnp.ones_like(x)], axis=-1)


def _sampson_distances(
    rotation: chex.Array, direction: chex.Array, at_target: chex.Array, at_source: chex.Array
) -> chex.Array:
    """How far rays [N, 3] are from meeting, to first order, [N], signed, on the plane at depth 1."""
    essential = jnp.matmul(cross_matrix(direction), rotation, precision="highest")
    lines_in_source = jnp.einsum("ij,nj->ni", essential, at_target, precision="highest")
    lines_in_target = jnp.einsum("ji,nj->ni", essential, at_source, precision="highest")
    steepness = jnp.sum(lines_in_source[:, :2] ** 2, axis=-1) + jnp.sum(lines_in_target[:, :2] ** 2, axis=-1)
    return jnp.sum(at_source * lines_in_source, axis=-1) * jax.lax.rsqrt(steepness + _TINY)


def _moved(motion: tuple[chex.Array, chex.Array], change: chex.Array) -> tuple[chex.Array, chex.Array]:
    """A motion turned by a rotation vector, change[:3], with its direction turned to both sides, change[3:]."""
    rotation, direction = motion
    turn = pose_from_vector(jnp.concatenate([jnp.zeros_like(change[:3]), change[:3]]), "so3")[:3, :3]
    axis_x, axis_y, _ = jnp.eye(3, dtype=direction.dtype)
    aside = jnp.cross(direction, jnp.where(jnp.abs(direction[0]) < 0.9, axis_x, axis_y))
    aside = aside * jax.lax.rsqrt(jnp.sum(aside**2))
    direction = direction + change[3] * aside + change[4] * jnp.cross(direction, aside)
    direction = direction * jax.lax.rsqrt(jnp.sum(direction**2))
    return jnp.matmul(turn, rotation, precision="highest"), direction
