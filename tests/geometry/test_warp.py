import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry

HEIGHT, WIDTH = 12, 16
K = jnp.array([[20.0, 0.0, 7.5], [0.0, 20.0, 5.5], [0.0, 0.0, 1.0]])
IDENTITY = jnp.eye(4)
SIDEWAYS = IDENTITY.at[0, 3].set(-0.5)  # the camera moves right: points move left


def smooth_image(key=0):
    return jax.image.resize(jax.random.normal(jax.random.key(key), (4, 5, 3)), (HEIGHT, WIDTH, 3), "cubic")


def depths(key=1):
    return 3 + jax.random.uniform(jax.random.key(key), (HEIGHT, WIDTH))


def test_plane_moves_by_focal_length_times_baseline_over_depth():
    flow = geometry.rigid_flow(jnp.full((HEIGHT, WIDTH), 5.0), K, SIDEWAYS)
    np.testing.assert_allclose(flow[..., 0], -20 * 0.5 / 5, atol=1e-5)
    np.testing.assert_allclose(flow[..., 1], 0, atol=1e-5)


def test_identity_is_exactly_still():
    np.testing.assert_allclose(geometry.rigid_flow(depths(), K, IDENTITY), 0, atol=5e-6)
    warped, inside = geometry.warp_by_depth(smooth_image(), depths(), K, IDENTITY)
    np.testing.assert_allclose(warped, smooth_image(), atol=1e-5)
    assert inside.all()


def test_warp_by_depth_is_warp_by_its_rigid_flow():
    pose = geometry.pose_from_vector(jnp.array([0.1, -0.05, 0.4, 0.02, -0.03, 0.01]))
    by_depth = geometry.warp_by_depth(smooth_image(), depths(), K, pose)
    by_flow = geometry.warp_by_flow(smooth_image(), geometry.rigid_flow(depths(), K, pose))
    np.testing.assert_allclose(by_depth[0], by_flow[0], atol=1e-5)
    np.testing.assert_array_equal(by_depth[1], by_flow[1])


def test_zero_flow_returns_the_image():
    warped, inside = geometry.warp_by_flow(smooth_image(), jnp.zeros((HEIGHT, WIDTH, 2)))
    np.testing.assert_array_equal(warped, smooth_image())
    assert inside.all()


def test_unusable_depths_are_outside_and_zero_and_change_nothing_else():
    good = depths()
    bad = good.at[2, 3].set(jnp.nan).at[4, 5].set(-1.0).at[6, 7].set(0.0).at[8, 9].set(jnp.inf)
    warped, inside = geometry.warp_by_depth(smooth_image(), bad, K, SIDEWAYS)
    spoilt = np.zeros((HEIGHT, WIDTH), bool)
    spoilt[[2, 4, 6, 8], [3, 5, 7, 9]] = True
    assert not inside[spoilt].any() and not warped[spoilt].any()
    want, _ = geometry.warp_by_depth(smooth_image(), good, K, SIDEWAYS)
    np.testing.assert_array_equal(np.asarray(warped)[~spoilt], np.asarray(want)[~spoilt])


def test_points_behind_the_source_are_outside():
    """The source stands 10 in front of the target, beyond everything the target sees."""
    warped, inside = geometry.warp_by_depth(smooth_image(), depths(), K, IDENTITY.at[2, 3].set(-10.0))
    assert not inside.any() and not np.asarray(warped).any()
    np.testing.assert_array_equal(geometry.rigid_flow(depths(), K, IDENTITY.at[2, 3].set(-10.0)), 0)


def _loss(depth, K, vector):
    warped, inside = geometry.warp_by_depth(smooth_image(), depth, K, geometry.pose_from_vector(vector))
    weights = jnp.cos(jnp.arange(warped.size)).reshape(warped.shape)
    return jnp.sum(warped * weights * inside[..., None])


def test_gradients_are_finite_with_every_kind_of_bad_point():
    depth = depths().at[0, 0].set(jnp.nan).at[1, 1].set(-2.0).at[2, 2].set(jnp.inf).at[3, 3].set(0.05)
    for vector in (jnp.zeros(6), jnp.array([0.0, 0.0, -0.1, 0.0, 0.0, 0.0]), jnp.array([3.0, 0, -3.5, 0, 1.5, 0])):
        gradients = jax.grad(_loss, argnums=(0, 1, 2))(depth, K, vector)
        assert all(np.isfinite(g).all() for g in gradients), vector


def test_gradients_are_not_zero_at_the_identity():
    gradients = jax.grad(_loss, argnums=(0, 2))(depths(), K, jnp.zeros(6))
    assert (np.abs(gradients[1]) > 1e-3).all()


def test_pose_gradient_against_finite_differences():
    """In float64, where central differences are sharp, with no position near a cell border."""
    vector = np.array([0.03, -0.02, 0.05, 0.004, -0.003, 0.002])
    with jax.enable_x64(True):
        depth = jnp.asarray(np.asarray(depths(), np.float64))
        gradient = jax.grad(_loss, argnums=2)(depth, jnp.asarray(K, jnp.float64), jnp.asarray(vector))
        for i in range(6):
            step = np.eye(6)[i] * 1e-7
            up, down = (_loss(depth, jnp.asarray(K, jnp.float64), jnp.asarray(vector + s)) for s in (step, -step))
            np.testing.assert_allclose(gradient[i], (up - down) / 2e-7, rtol=1e-4, atol=1e-5)


# --- Infinitely far, and another camera ----------------------------------------------------------------------------

TURN = geometry.pose_from_vector(jnp.array([0.4, -0.2, 0.3, 0.02, -0.1, 0.03]))


@pytest.mark.parametrize(
    "function",
    [
        geometry.rigid_flow,
        lambda depth, *views, **options: geometry.warp_by_depth(smooth_image(), depth, *views, **options),
        lambda depth, *views, **options: geometry.splat_by_depth(smooth_image(), depth, *views, **options),
        lambda depth, *views, **options: geometry.occlusion_masks(depth, depth, *views, **options),
        lambda depth, *views, **options: geometry.depth_comparison_masks(depth, depth, *views, **options),
        lambda depth, *views, **options: geometry.depth_inconsistency(depth, 0 * depth + depth[5, 5], *views, **options),
    ],
    ids=["flow", "warp", "splat", "occlusion", "comparison", "inconsistency"],
)
def test_inverse_depth_is_one_over_depth(function):
    source_K = K * jnp.array([[1.5], [1.2], [1]])
    depth = depths().at[0, 0].set(jnp.nan).at[1, 1].set(-2.0)
    by_depth = function(depth, K, TURN, source_K=source_K)
    by_inverse = function(1 / depth, K, TURN, source_K=source_K, inverse_depth=True)
    for got, want in zip(jax.tree.leaves(by_inverse), jax.tree.leaves(by_depth), strict=True):
        np.testing.assert_allclose(got, want, atol=5e-5)


@pytest.mark.parametrize(("depth", "inverse_depth"), [(jnp.inf, False), (0.0, True)])
def test_the_sky_moves_as_the_camera_turns_and_not_as_it_moves(depth, inverse_depth):
    """A turn by the angle a moves the principal point by f tan(a), whatever the translation."""
    centred = K.at[:2, 2].set(jnp.array([7.0, 5.0]))

    def flow(pose):
        return geometry.rigid_flow(jnp.full((6, 8), depth), centred, pose, inverse_depth=inverse_depth)

    for moved in (0.0, 5.0):
        pose = geometry.pose_from_vector(jnp.array([moved, 0, moved, 0, 0.1, 0]))
        np.testing.assert_allclose(flow(pose)[5, 7], [20 * np.tan(0.1), 0], atol=1e-4)
        slope = jax.jacfwd(flow)(pose)[5, 7]
        assert np.isfinite(slope).all() and np.any(slope[:, :3, :3])
        np.testing.assert_allclose(slope[:, :3, 3], 0, atol=1e-12)


def test_the_sky_is_warped_by_inverse_depth():
    warped, inside = geometry.warp_by_depth(smooth_image(), jnp.zeros((HEIGHT, WIDTH)), K, SIDEWAYS, inverse_depth=True)
    np.testing.assert_allclose(warped, smooth_image(), atol=1e-4)
    assert inside.all()


def test_the_flow_of_inverse_depth_is_smooth_at_0():
    """d flow / d (1/z) of a sideways motion is -f b, at the horizon as before it."""
    slope = jax.grad(lambda d: geometry.rigid_flow(d, K, SIDEWAYS, inverse_depth=True)[2, 3, 0])(jnp.zeros((4, 5)))
    np.testing.assert_allclose(slope[2, 3], -20 * 0.5, rtol=1e-5)


@pytest.mark.parametrize("bad", [jnp.nan, -0.1, jnp.inf])
def test_inverse_depths_that_are_none_stand_still(bad):
    flow = geometry.rigid_flow(jnp.full((3, 4), 0.2).at[1, 1].set(bad), K, SIDEWAYS, inverse_depth=True)
    np.testing.assert_array_equal(flow[1, 1], 0)
    np.testing.assert_allclose(flow[0, 0], [-2, 0], atol=1e-5)


def test_another_camera_sees_the_points_at_its_own_pixels():
    source_K = jnp.array([[30.0, 0.5, 11.0], [0.0, 25.0, 9.0], [0.0, 0.0, 1.0]])
    points = geometry.transform_points(TURN, geometry.backproject(depths(), K))
    wanted, _ = geometry.project(points, source_K)
    flow = geometry.rigid_flow(depths(), K, TURN, source_K=source_K)
    np.testing.assert_allclose(flow + geometry.pixel_grid(HEIGHT, WIDTH), wanted, atol=1e-4)
    # The same picture in twice the size, seen by a camera that is scaled by two.
    large = jax.image.resize(jnp.asarray(smooth_image()), (2 * HEIGHT, 2 * WIDTH, 3), "nearest")[:-1, :-1]
    warped, inside = geometry.warp_by_depth(large, depths(), K, IDENTITY, source_K=geometry.scale_intrinsics(K, 2.0, 2.0))
    np.testing.assert_allclose(warped, smooth_image(), atol=1e-4)
    assert inside.all()
