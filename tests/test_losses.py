import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry, losses
from dopi_jax.errors import UserError

UNITS = ["units_24x40", "units_37x53"]


@pytest.fixture(params=UNITS)
def golden(request, shared):
    arrays = np.load(shared / "golden" / "losses.npz")
    prefix = request.param + "/"
    return {key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)}


def assert_close(got, want):
    got, want = np.asarray(got, np.float64), np.asarray(want)
    assert np.linalg.norm(got - want) <= 1e-4 * np.linalg.norm(want)


def test_golden_photometric(golden):
    a, b = golden["a"], golden["b"]
    assert_close(losses.ssim(a, b), golden["ssim"])
    assert_close(losses.photometric_error(a, b), golden["photometric"])
    gradient = jax.grad(lambda a: losses.photometric_error(a, b).mean())(a)
    assert_close(gradient, golden["photometric_mean_grad_a"])


def test_golden_masks(golden):
    error = jnp.asarray(golden["photometric"], jnp.float32)
    mask = golden["mask"] > 0
    np.testing.assert_array_equal(losses.less_than_mean_mask(error, mask), golden["less_than_mean"] > 0)
    assert not losses.less_than_mean_mask(error, np.zeros_like(mask)).any()
    assert_close(losses.masked_mean(error, mask), golden["masked_mean"])
    assert losses.masked_mean(error, np.zeros_like(mask)) == golden["masked_mean_empty"] == 0


def test_golden_smoothness(golden):
    disparity = golden["disparity"][..., None]
    value, gradient = jax.value_and_grad(losses.edge_aware_smoothness)(disparity, golden["b"])
    assert_close(value, golden["smooth_disparity"])
    assert_close(gradient, golden["smooth_disparity_grad"])
    value, gradient = jax.value_and_grad(losses.edge_aware_smoothness)(golden["flow"], golden["a"])
    assert_close(value, golden["smooth_flow"])
    assert_close(gradient, golden["smooth_flow_grad"])


def test_golden_max_normalization(golden):
    disparity = golden["disparity"]
    assert_close(losses.max_normalized_depth(disparity), golden["max_normalized"])
    gradient = jax.grad(lambda d: jnp.sum(golden["weight"] * losses.max_normalized_depth(d)))(disparity)
    assert_close(gradient, golden["max_normalized_weighted_grad"])


@pytest.mark.parametrize("scale", range(6))
def test_golden_flow_consistency(shared, scale):
    arrays = np.load(shared / "golden" / "losses.npz")
    golden = {key.partition("/")[2]: arrays[key] for key in arrays.files if key.startswith("phase2_64x96/")}
    K = np.diag([2.0**-scale, 2.0**-scale, 1]).astype(np.float32) @ golden["K"]
    total = 0.0
    for i in range(2):
        pose = geometry.pose_from_vector(golden["pose_vectors"][i])
        rigid = geometry.rigid_flow(golden[f"depth_{scale}"], K, pose)
        hidden = ~(golden[f"edge_{scale}_{i}"] & golden[f"blank_{scale}_{i}"])
        mask = hidden & (golden[f"ltm_{scale}_{i}"] > 0)
        total += losses.flow_consistency(golden[f"flow_{scale}_{i}"], rigid, mask)
    np.testing.assert_allclose(total, golden[f"consistency_{scale}"], rtol=1e-4)


def test_flow_consistency_teaches_the_flow_alone_and_only_where_masked():
    flow, rigid = jnp.zeros((2, 3, 2)), jnp.ones((2, 3, 2))
    mask = jnp.zeros((2, 3), bool).at[0, 1].set(True)
    pull, teacher = jax.grad(losses.flow_consistency, argnums=(0, 1))(flow, rigid, mask)
    np.testing.assert_array_equal(teacher, 0)
    np.testing.assert_array_equal(np.asarray(pull)[~mask], 0)
    assert (pull[0, 1] < 0).all()  # towards the rigid flow
    value, pull = jax.value_and_grad(losses.flow_consistency)(flow, rigid, jnp.zeros((2, 3), bool))
    assert value == 0 and not np.asarray(pull).any()


@pytest.mark.parametrize(("penalty", "at_zero", "at_one"), [("charbonnier", 0.01, 1.00005), ("power", 0.158489, 1.003988)])
def test_penalties(penalty, at_zero, at_one):
    values = losses.robust_penalty(jnp.array([0.0, 1.0, -1.0]), penalty)
    np.testing.assert_allclose(values, [at_zero, at_one, at_one], rtol=1e-5)
    with pytest.raises(UserError, match="'huber'"):
        losses.robust_penalty(jnp.zeros(1), "huber")


def test_equal_images_have_no_structural_error():
    image = jax.random.uniform(jax.random.key(0), (20, 30, 3), minval=-1)
    np.testing.assert_allclose(losses.ssim(image, image), 1, atol=1e-5)
    np.testing.assert_allclose(losses.photometric_error(image, image), 0.15 * 0.01, atol=1e-5)
    np.testing.assert_allclose(losses.ssim(image, -image).min(), -1, atol=0.15)


def test_ssim_worked_example_of_constants():
    """Far from the border, constant images have no variance: SSIM = (2ab + c1) / (a^2 + b^2 + c1)."""
    a, b = jnp.full((27, 27, 1), 0.5), jnp.full((27, 27, 1), 0.2)
    np.testing.assert_allclose(losses.ssim(a, b)[13, 13, 0], (0.2 + 1e-4) / (0.29 + 1e-4), rtol=1e-4)


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1.3])
def test_less_than_mean_of_a_constant_is_empty(value):
    for shape in [(24, 40), (37, 53), (256, 832)]:
        assert not losses.less_than_mean_mask(jnp.full(shape, value), jnp.ones(shape, bool)).any()


def test_less_than_mean_worked_example():
    error = jnp.array([[1.0, 2.0, 3.0, 100.0]])
    visible = jnp.array([[True, True, True, False]])
    np.testing.assert_array_equal(losses.less_than_mean_mask(error, visible), [[True, False, False, False]])
    np.testing.assert_array_equal(losses.less_than_mean_mask(error, visible, 3.0), [[True, True, True, False]])


def test_masked_mean_ignores_what_is_masked_even_nan():
    error = jnp.array([[1.0, jnp.nan, 5.0]])
    mask = jnp.array([[True, False, True]])
    value, gradient = jax.value_and_grad(losses.masked_mean)(error, mask)
    assert value == 2.0  # (1 + 5) / (2 + 1)
    np.testing.assert_allclose(gradient, [[1 / 3, 0, 1 / 3]], rtol=1e-6)


def test_smoothness_worked_example():
    ramp = jnp.arange(4.0)[None, :, None] * jnp.ones((3, 1, 1))
    flat = jnp.zeros((3, 4, 3))
    np.testing.assert_allclose(losses.edge_aware_smoothness(ramp, flat), 1.0)
    np.testing.assert_allclose(losses.edge_aware_smoothness(ramp, flat + ramp), np.exp(-1.0), rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1)])
def test_smoothness_of_a_single_row_or_column_is_finite(shape):
    assert np.isfinite(losses.edge_aware_smoothness(jnp.ones((*shape, 2)), jnp.zeros((*shape, 3))))


def test_normalizations():
    disparity = jnp.array([[0.5, 1.0], [2.0, 4.5]])
    np.testing.assert_allclose(losses.max_normalized_depth(disparity), [[9, 4.5], [2.25, 1]])
    np.testing.assert_allclose(losses.mean_normalized_disparity(disparity), [[0.25, 0.5], [1, 2.25]])
    for normalize in (losses.max_normalized_depth, losses.mean_normalized_disparity):
        np.testing.assert_allclose(normalize(disparity * 7), normalize(disparity), rtol=1e-6)  # scale does not matter


def test_departure_where_plain_by_hand():
    """The left half is plain, the right a chessboard, whose depth may be anything; one factor is free."""
    y, x = jnp.mgrid[:32, :64]
    image = jnp.where(x < 32, 0.3, jnp.where((y + x) % 2, 1.0, -1.0))[..., None].repeat(3, -1)
    known = 1 / (2 + y / 8)
    departure = jax.jit(losses.departure_where_plain)
    np.testing.assert_allclose(departure(5 * known, known, image), 0, atol=2e-5)
    np.testing.assert_allclose(departure(jnp.where(x < 40, 5, 9) * known, known, image), 0, atol=2e-5)
    # Half of the plain pixels twice as near: each is log(2) / 2 off the mean, and the plain ones are nearly half of all.
    found = departure(jnp.where(y < 16, 2, 1) * known, known, image)
    plain = jnp.exp(-_window_variance(image) / 0.02).mean()
    assert 0.4 < plain < 0.5
    np.testing.assert_allclose(found, plain * np.log(2) / 2, rtol=1e-3)


def _window_variance(image):
    """Of the first channel, by OpenCV's Gaussian of SSIM's size and sigma."""
    grey = np.asarray(image[..., 0], np.float64)
    blur = functools.partial(cv2.GaussianBlur, ksize=(13, 13), sigmaX=1.5, borderType=cv2.BORDER_REPLICATE)
    return blur(grey**2) - blur(grey) ** 2


def test_max_normalized_disparity_worked_example():
    found = losses.max_normalized_disparity(jnp.array([[[1.0, 2.0]], [[8.0, 2.0]]]))
    np.testing.assert_allclose(found, [[[0.5, 1.0]], [[1.0, 0.25]]])


def test_second_order_smoothness_by_hand():
    """A plane has none; a crease has it once, and an edge of the image on either side excuses it."""
    columns = jnp.arange(6.0)
    plane = jnp.broadcast_to(2 * columns, (3, 6))[..., None]
    image = jnp.zeros((3, 6, 3))
    assert losses.edge_aware_smoothness(plane, image, order=2) == 0
    crease = jnp.broadcast_to(jnp.maximum(columns - 2, 0), (3, 6))[..., None]  # the slope changes at column 2
    np.testing.assert_allclose(losses.edge_aware_smoothness(crease, image, order=2), 1 / 4)
    for edge in (2, 3):
        stepped = image.at[:, edge:].set(0.5)
        value = losses.edge_aware_smoothness(crease, stepped, order=2, sharpness=10.0)
        np.testing.assert_allclose(value, np.exp(-10 * 0.5) / 4, rtol=1e-5)
    assert losses.edge_aware_smoothness(crease[:, :2], image[:, :2], order=2) == 0


def test_distance_from_matches_by_hand():
    flow = jnp.zeros((4, 5, 2)).at[1, 2].set(jnp.array([3.0, 4.0]))
    # Right; off by (1, 0); beyond the image; none.
    matches = jnp.array([[2, 1, 5, 5], [0, 0, 1, 0], [9, 9, 9, 9], [jnp.nan] * 4])
    rho = lambda d: np.sqrt(d**2 + 0.01**2)  # noqa: E731
    want = (rho(0) + (rho(1) + rho(0)) / 2) / 3  # over two points and 1, as every masked mean
    np.testing.assert_allclose(losses.distance_from_matches(flow, matches), want, rtol=1e-6)
    gradient = jax.grad(losses.distance_from_matches)(flow, matches)
    assert np.isfinite(gradient).all() and gradient[0, 0, 0] < 0 and not np.any(gradient[3])
    assert losses.distance_from_matches(flow, jnp.full((3, 4), jnp.nan)) == 0


# --- Kinds of numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8(255), np.int32(1), np.float32(1), np.int16(-1)])
def test_a_mask_of_any_numbers_is_true_where_it_is_not_0(kind):
    rng = np.random.default_rng(0)
    error, mask = rng.random((20, 30)).astype(np.float32), rng.random((20, 30)) > 0.3
    flow = rng.random((20, 30, 2)).astype(np.float32)
    for loss in (losses.less_than_mean_mask, losses.masked_mean, lambda _, m: losses.flow_consistency(flow, 0 * flow, m)):
        np.testing.assert_array_equal(loss(error, mask * kind), loss(error, mask))
    np.testing.assert_array_equal(losses.less_than_mean_mask(error, mask * kind), error < error[mask].mean())


@pytest.mark.slow
def test_float32_stays_float32_and_no_type_is_mixed():
    """Under JAX_ENABLE_X64 constants would be float64, and strict promotion refuses to mix types."""
    rng = np.random.default_rng(0)
    a, b, error = (jnp.asarray(rng.random(shape), jnp.float32) for shape in [(6, 8, 3), (6, 8, 3), (6, 8)])
    mask = jnp.asarray(rng.random((6, 8)) > 0.3)

    def every():
        return [
            losses.robust_penalty(a, "power"),
            losses.photometric_error(a, b),
            losses.masked_mean(error, mask),
            losses.edge_aware_smoothness(a, b, order=2),
            losses.max_normalized_depth(error),
            losses.max_normalized_disparity(error),
            losses.mean_normalized_disparity(error),
            losses.flow_consistency(a[..., :2], b[..., :2], mask),
            losses.distance_from_matches(a[..., :2], a[0, :, :2].repeat(2, -1)),
        ]

    with jax.numpy_dtype_promotion("strict"):
        every()
        losses.less_than_mean_mask(error, mask)
    with jax.enable_x64(True):
        assert {leaf.dtype for leaf in every()} == {jnp.dtype("float32")}
