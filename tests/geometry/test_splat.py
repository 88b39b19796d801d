"""Forward splatting: where colours go, which of them win, and what gets gradient."""

import jax
import jax.numpy as jnp
import numpy as np

from dopi_jax import geometry

H, W = 6, 10
K = jnp.array([[10.0, 0.0, 4.5], [0.0, 10.0, 2.5], [0.0, 0.0, 1.0]])
EYE = jnp.eye(4)
IMAGE = jax.random.uniform(jax.random.key(0), (H, W, 3), minval=0.1)
DEPTH = 4 + jax.random.uniform(jax.random.key(1), (H, W))


def to_the_left(by):
    """A camera that moves to the right: what is `10 / by` away moves by one pixel."""
    return EYE.at[0, 3].set(-by)


def test_the_identity_returns_the_image():
    seen, covered = geometry.splat_by_depth(IMAGE, DEPTH, K, EYE)
    np.testing.assert_allclose(seen, IMAGE, atol=1e-5)
    assert covered.all()


def test_half_a_pixel_mixes_two_neighbours():
    row = jnp.array([[[1.0], [2.0], [4.0]]])
    seen, covered = geometry.splat_by_depth(row, jnp.full((1, 3), 10.0), K.at[1, 2].set(0.0), to_the_left(0.5))
    # The first pixel gets half of 1 and half of 2, the last one only half of 4: divided by its share, 4.
    np.testing.assert_allclose(seen[0, :, 0], [1.5, 3.0, 4.0], atol=1e-5)
    assert covered.all()


def test_the_nearest_wins_and_what_it_uncovers_is_empty():
    """A block at depth 2 moves 5 pixels, the wall at depth 10 one: columns 7 and 8 go to 2 and 3, over columns 3 and 4."""
    depth = jnp.full((H, W), 10.0).at[:, 7:9].set(2.0)
    image = jnp.broadcast_to(jnp.arange(1.0, W + 1)[None, :, None], (H, W, 1))
    seen, covered = geometry.splat_by_depth(image, depth, K, to_the_left(1.0))
    np.testing.assert_allclose(seen[3, :, 0], [2, 3, 8, 9, 6, 7, 0, 0, 10, 0], atol=1e-4)
    np.testing.assert_array_equal(covered[3], [True] * 6 + [False, False, True, False])


def test_what_is_mixed_is_of_one_depth_within_the_tolerance():
    """Both pixels land on column 0 of the source, at depths 10 and 10.3."""
    source_K = jnp.array([[0.01, 0, 0], [0, 0.01, 0], [0, 0, 1.0]])
    image, depth = jnp.array([[[2.0], [4.0]]]), jnp.array([[10.0, 10.3]])
    for tolerance, wanted in ((0.05, 3.0), (0.01, 2.0)):
        seen, _ = geometry.splat_by_depth(
            image, depth, K.at[0, 2].set(0.5), EYE, source_K=source_K, source_shape=(1, 1), tolerance=tolerance
        )
        np.testing.assert_allclose(seen[0, 0, 0], wanted, atol=0.01)


def test_another_camera_of_another_size():
    """A crop of the view is the same crop of the image."""
    seen, covered = geometry.splat_by_depth(
        IMAGE, DEPTH, K, EYE, source_K=geometry.crop_intrinsics(K, 2, 1), source_shape=(3, 5)
    )
    np.testing.assert_allclose(seen, IMAGE[1:4, 2:7], atol=1e-5)
    assert covered.all()


def test_colours_get_the_weights_as_gradient():
    """Splatting is linear in colour: its Jacobian times the image is the result."""
    pose = geometry.pose_from_vector(jnp.array([0.3, -0.1, 0.2, 0.01, 0.03, -0.02]))

    image = IMAGE[..., :1]
    seen, covered = geometry.splat_by_depth(image, DEPTH, K, pose)
    jacobian = jax.jacrev(lambda image: geometry.splat_by_depth(image, DEPTH, K, pose)[0])(image)
    np.testing.assert_allclose(jnp.einsum("abcijk,ijk->abc", jacobian, image), seen, atol=1e-5)
    np.testing.assert_allclose(jacobian.sum((-3, -2, -1))[..., 0], covered, atol=1e-5)


def test_the_gradient_of_the_motion_agrees_with_differences():
    smooth = jnp.sin(0.4 * geometry.pixel_grid(H, W).sum(-1))[..., None]

    def total(by):
        return jnp.sum(geometry.splat_by_depth(smooth, jnp.full((H, W), 10.0), K, to_the_left(by))[0][2:4, 3:6] ** 2)

    difference = (total(0.34) - total(0.26)) / 0.08
    np.testing.assert_allclose(jax.grad(total)(0.3), difference, rtol=0.02)


def test_bad_depths_and_colours_spoil_nothing_else():
    bad = DEPTH.at[2, 3].set(jnp.nan).at[4, 5].set(-1.0).at[1, 7].set(jnp.inf)
    image = IMAGE.at[2, 3].set(jnp.nan)
    seen, covered = geometry.splat_by_depth(image, bad, K, EYE)
    holes = np.zeros((H, W), bool)
    holes[[2, 4, 1], [3, 5, 7]] = True
    np.testing.assert_array_equal(covered, ~holes)
    np.testing.assert_allclose(np.asarray(seen)[~holes], np.asarray(IMAGE)[~holes], atol=1e-5)
    assert not np.asarray(seen)[holes].any()

    def total(depth, K, pose):
        return jnp.sum(geometry.splat_by_depth(IMAGE, depth, K, pose)[0] ** 2)

    assert all(np.isfinite(g).all() for g in jax.grad(total, argnums=(0, 1, 2))(bad, K, EYE))


def test_splatting_and_fetching_undo_each_other_where_nothing_is_hidden():
    pose = geometry.pose_from_vector(jnp.array([0.1, 0.05, 0.2, 0.0, 0.02, 0.01]))
    smooth = jnp.sin(0.3 * geometry.pixel_grid(H, W))
    wall = jnp.full((H, W), 6.0)
    there, _ = geometry.splat_by_depth(smooth, wall, K, pose)
    back, inside = geometry.warp_by_depth(there, wall, K, pose)
    inner = np.asarray(inside)[1:-1, 1:-1]
    assert inner.mean() > 0.6
    np.testing.assert_allclose(np.asarray(back)[1:-1, 1:-1][inner], np.asarray(smooth)[1:-1, 1:-1][inner], atol=0.06)
