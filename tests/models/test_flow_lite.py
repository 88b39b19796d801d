"""The "lite" flow network: what it says untrained, of which images, and what it makes of a rigid flow."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.geometry import bilinear_sample, pixel_grid
from dopi_jax.interop.imagenet import efficientnet_lite0_params
from dopi_jax.models import FlowNet, cost_volume
from dopi_jax.models.cost_volume import costs_around
from dopi_jax.models.flow_lite import upsample_by_shares
from dopi_jax.models.layers import upsample_bilinear

NET = FlowNet("lite")
HEIGHT, WIDTH = 96, 160
SHIFT = np.array([8.0, -4.0])  # of all pixels, whole cells of the finest level


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


@functools.cache
def variables():
    """Pretrained features, and a correction that has not been trained."""
    image = jnp.zeros((1, 64, 64, 3))
    params = jax.jit(lambda: NET.init(jax.random.key(0, impl="rbg"), image, [image, image]))()["params"]
    pretrained = efficientnet_lite0_params()
    params["encoder"] = {name: pretrained[name] for name in params["encoder"]}
    return {"params": params}


@functools.cache
def applied(**options):
    return jax.jit(functools.partial(NET.apply, **options))


def snippet():
    """A texture of blobs that moves by `SHIFT` from each frame to the next."""
    rng = np.random.default_rng(3)
    wide = jax.image.resize(jnp.asarray(rng.uniform(-1, 1, (40, 60, 3)), jnp.float32), (160, 240, 3), "cubic")
    places = np.asarray(pixel_grid(HEIGHT, WIDTH)) + 32
    # What is at p in the target is at p + SHIFT in the next frame.
    previous, target, following = (bilinear_sample(wide, places - step * SHIFT)[0][None] for step in (-1, 0, 1))
    return target, [previous, following]


def inner(flow):
    return np.asarray(flow)[0, 24:-24, 32:-32]


def test_untrained_it_finds_how_a_texture_moves_in_all_directions():
    forward, backward, from_next, from_previous = applied(returning=True)(variables(), *snippet())
    for (flow,), shift in zip((forward, backward, from_next, from_previous), (SHIFT, -SHIFT, -SHIFT, SHIFT), strict=True):
        np.testing.assert_allclose(np.median(inner(flow), axis=(0, 1)), shift, atol=1)
        assert np.mean(np.linalg.norm(inner(flow) - shift, axis=-1) < 2) > 0.7


def test_what_returns_is_the_flow_of_the_pair_turned_round():
    target, (previous, following) = snippet()
    *_, from_next, _ = applied(returning=True)(variables(), target, [previous, following])
    turned, _ = applied()(variables(), following, [target, target])
    np.testing.assert_allclose(from_next[0], turned[0], atol=1e-3)


@pytest.mark.parametrize("size", [(64, 96), (61, 95)])
def test_any_size_and_three_scales(size):
    image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    outputs = jax.eval_shape(functools.partial(NET.apply, all_scales=True), variables(), image, [image, image])
    assert [[x.shape for x in flows] for flows in outputs] == [
        [(2, -(-size[0] // 2**scale), -(-size[1] // 2**scale), 2) for scale in range(3)]
    ] * 2


@pytest.mark.slow
def test_scales_agree_in_pixels_of_their_own():
    forward, _ = applied(all_scales=True)(variables(), *snippet())
    for scale, flow in enumerate(forward):
        inside = np.asarray(flow)[0, 24 >> scale : -24 >> scale, 32 >> scale : -32 >> scale]
        np.testing.assert_allclose(np.median(inside, axis=(0, 1)), SHIFT / 2**scale, atol=0.75)


def test_a_rigid_flow_is_taken_where_it_explains_the_images_and_where_it_leaves_them():
    wrong = jnp.broadcast_to(jnp.array([30.0, 20.0]), (1, HEIGHT, WIDTH, 2))
    right = jnp.broadcast_to(jnp.array(SHIFT, jnp.float32), (1, HEIGHT, WIDTH, 2))
    forward, _ = applied()(variables(), *snippet(), rigid=jnp.stack([wrong, right], axis=1))
    # Nearly: the correction, untrained, trusts the match a little.
    np.testing.assert_allclose(inner(forward[0]), np.broadcast_to(SHIFT, inner(forward[0]).shape), atol=0.75)
    forward, _ = applied()(variables(), *snippet(), rigid=jnp.stack([right, wrong], axis=1))
    np.testing.assert_allclose(np.median(inner(forward[0]), axis=(0, 1)), SHIFT, atol=1)
    leaves = np.asarray(forward[0])[0, -16:-4, -24:-4]
    np.testing.assert_allclose(np.median(leaves, axis=(0, 1)), [30, 20], atol=2)


@pytest.mark.slow
def test_without_a_rigid_flow_it_is_as_if_none_had_been_asked_for():
    nothing = jnp.full((1, 2, HEIGHT, WIDTH, 2), jnp.nan)
    shown, unseen = (applied()(variables(), *snippet(), rigid=rigid) for rigid in (nothing, None))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-3), shown, unseen)


@pytest.mark.slow
def test_all_but_the_features_is_trained():
    target, sources = snippet()

    @jax.jit
    def gradient(params):
        # A trained network's outputs are not 0; then everything before them has a gradient.
        params["refine"]["output"]["kernel"] += 0.01
        rigid = jnp.zeros((1, 2, HEIGHT, WIDTH, 2))
        flows = jax.tree.leaves(NET.apply({"params": params}, target, sources, all_scales=True, rigid=rigid))
        return sum(jnp.mean(flow**2) for flow in flows)

    gradients = jax.grad(gradient)(jax.tree.map(jnp.asarray, variables()["params"]))
    assert not any(np.any(g) for g in jax.tree.leaves(gradients.pop("encoder")))
    assert all(np.isfinite(g).all() and np.any(g) for g in jax.tree.leaves(gradients))


def test_costs_around_a_flow_of_whole_cells_are_those_of_the_shifted_cost_volume():
    target, source = normal(2, 6, 7, 5), normal(2, 6, 7, 5, seed=1)
    np.testing.assert_allclose(
        costs_around(target, source, jnp.zeros((2, 6, 7, 2)), 2), cost_volume(target, source, 2), atol=1e-6
    )
    flow = jnp.broadcast_to(jnp.array([1.0, -2.0]), (2, 6, 7, 2))
    moved = jnp.zeros_like(source).at[:, 2:, :-1].set(source[:, :-2, 1:])  # moved(p) = source(p + flow)
    around = costs_around(target, source, flow, 1)[:, 3:-1, 1:-2]
    np.testing.assert_allclose(around, cost_volume(target, moved, 1)[:, 3:-1, 1:-2], atol=1e-6)


def test_costs_around_a_broken_flow_are_those_of_interpolated_features():
    target, source = normal(1, 8, 9, 4), normal(1, 8, 9, 4, seed=1)
    flow = 0.9 * normal(1, 8, 9, 2, seed=2)
    got = costs_around(target, source, flow, 1)[0].reshape(8, 9, 3, 3)
    for dy, dx in np.ndindex(3, 3):
        places = pixel_grid(8, 9) + flow[0] + jnp.array([dx - 1.0, dy - 1.0])
        values, _ = bilinear_sample(source[0], places)
        whole = (places >= 0).all(-1) & (places <= jnp.array([8.0, 7.0])).all(-1)
        want = jnp.mean(target[0] * values, axis=-1)
        np.testing.assert_allclose(got[:, :, dy, dx][whole], want[whole], atol=1e-5)


def test_costs_of_what_flows_far_outside_or_nowhere_are_zero():
    features = normal(1, 4, 5, 3)
    for place in (1e9, -1e9):
        np.testing.assert_array_equal(costs_around(features, features, jnp.full((1, 4, 5, 2), place), 2), 0)


def test_upsampling_by_shares_starts_as_bilinear_and_follows_the_shares():
    flow = normal(1, 5, 6, 2)
    start = upsample_by_shares(flow, jnp.zeros((1, 5, 6, 9 * 16)), 4)
    np.testing.assert_allclose(start[:, 4:-4, 4:-4], 4 * upsample_bilinear(flow, 4)[:, 4:-4, 4:-4], atol=0.1)
    to_the_left = jnp.zeros((1, 5, 6, 4, 4, 9)).at[..., 3].set(100.0)  # of rows above, here, below: here, left
    moved = upsample_by_shares(flow, to_the_left.reshape(1, 5, 6, -1), 4)
    np.testing.assert_allclose(moved[0, :, 4:], 4 * np.repeat(np.repeat(flow[0, :, :-1], 4, 0), 4, 1), atol=1e-4)


def test_other_networks_take_no_rigid_flow():
    image = jnp.zeros((1, 64, 64, 3))
    for options in ({"returning": True}, {"rigid": jnp.zeros((1, 2, 64, 64, 2))}):
        with pytest.raises(UserError, match="'back2future' takes no rigid flow and predicts none from its sources"):
            jax.eval_shape(functools.partial(FlowNet().init, **options), jax.random.key(0), image, [image, image])
