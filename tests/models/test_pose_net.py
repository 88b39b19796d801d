"""The pose networks: sizes, order of the sources, gradients. Reference outputs: tests/interop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.models import PoseNet, cost_volume
from dopi_jax.models.cost_volume import expected_displacement, mirrored_costs
from dopi_jax.models.pose_small import (
    FIRST_MOTION,
    KEPT_CHANGE,
    PATCH_STRIDE,
    SCALES,
    SEARCH_RADIUS,
    normalised_patches,
)

# These tests run each program once or twice: compiling is what takes the time.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

LAYER_PARAMETERS = {
    "conv1": 7_072, "conv2": 12_832, "conv3": 18_496, "conv4": 73_856, "conv5": 295_168, "conv6": 590_080,
    "conv7": 590_080, "conv8": 590_080, "pose": 3_084,
}  # fmt: skip


def frames(count, batch=2, height=64, width=96):
    x = np.random.default_rng(0).uniform(-1, 1, (count, batch, height, width, 3))
    return list(jnp.asarray(x, jnp.float32))


def shapes(net):
    x = jnp.zeros((1, 128, 128, 3))
    return jax.eval_shape(net.init, jax.random.key(0), x, [x] * net.num_refs)


@functools.cache
def variables(net):
    """Random variables of the usual sizes; the network's own initialisation takes long to compile."""
    rng = np.random.default_rng(1)

    def draw(leaf):
        scale = 0.1 if len(leaf.shape) == 1 else np.sqrt(2 / np.prod(leaf.shape[:3]))
        return rng.standard_normal(leaf.shape, np.float32) * np.float32(scale)

    return jax.tree.map(draw, shapes(net))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_counts_of_the_paper_network():
    assert {name: count(layer) for name, layer in shapes(PoseNet())["params"].items()} == LAYER_PARAMETERS
    assert count(shapes(PoseNet(num_refs=2))) == 2_180_748
    assert count(shapes(PoseNet(num_refs=4))) == 2_188_536


def test_small_variant_has_under_a_million_parameters():
    assert count(shapes(PoseNet(variant="small"))) < 1_000_000


@pytest.mark.parametrize("variant", PoseNet.VARIANTS)
@pytest.mark.parametrize("num_refs", [1, 2, 4])
def test_one_pose_a_source_at_any_size(variant, num_refs):
    net = PoseNet(num_refs, variant)
    target, *sources = frames(1 + num_refs, batch=3, height=75, width=101)
    assert jax.eval_shape(net.apply, shapes(net), target, sources).shape == (3, num_refs, 6)


@pytest.mark.parametrize("variant", PoseNet.VARIANTS)
def test_samples_of_a_batch_do_not_touch(variant):
    net = PoseNet(2, variant)
    target, *sources = frames(3)
    both = quick_jit(net.apply)(variables(net), target, sources)
    second = quick_jit(net.apply)(variables(net), target[1:], [s[1:] for s in sources])
    np.testing.assert_allclose(both[1:], second, rtol=1e-4, atol=1e-7)
    assert np.abs(both[0] - both[1]).max() > 1e-5


def test_paper_network_scales_its_mean_output_by_a_hundredth():
    net = PoseNet(2)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes(net))
    zeros["params"]["pose"]["bias"] = np.arange(12, dtype=np.float32)
    target, *sources = frames(3)
    poses = net.apply(zeros, target, sources)
    np.testing.assert_allclose(poses, np.tile(0.01 * np.arange(12).reshape(1, 2, 6), (2, 1, 1)), rtol=1e-6)


def without_mean_motion(tree):
    return {"params": tree["params"] | {"mean_motion": np.zeros(6, np.float32)}}


def test_small_variant_turns_the_motion_round_when_the_images_change_places():
    net = PoseNet(1, "small")
    first, second = frames(2)
    apply = quick_jit(net.apply)
    tree = without_mean_motion(variables(net))
    there, back = apply(tree, first, [second]), apply(tree, second, [first])
    np.testing.assert_allclose(there, -back, rtol=1e-3, atol=1e-6)
    assert np.abs(there).max() > 1e-4
    # Of two equal images nothing is read, whatever the parameters.
    np.testing.assert_allclose(apply(tree, first, [first]), 0, atol=1e-6)


def test_small_variant_turns_the_motion_to_the_other_side_in_a_mirror():
    net = PoseNet(2, "small")
    images = frames(3)
    apply = quick_jit(net.apply)
    tree = variables(net)
    tree = {"params": tree["params"] | {"mean_motion": np.ones(6, np.float32)}}
    poses = apply(tree, images[0], images[1:])
    mirrored = apply(tree, images[0][:, :, ::-1], [x[:, :, ::-1] for x in images[1:]])
    np.testing.assert_allclose(mirrored, poses * np.array([-1, 1, 1, 1, -1, -1]), rtol=1e-3, atol=1e-6)
    assert np.abs(poses[..., [0, 4, 5]]).max() > 1e-4


def test_costs_of_mirrored_images():
    target, source = (jax.random.normal(jax.random.key(n), (1, 5, 7, 4)) for n in (0, 1))
    expected = cost_volume(target[:, :, ::-1], source[:, :, ::-1], 2)
    np.testing.assert_allclose(mirrored_costs(cost_volume(target, source, 2)), expected, atol=1e-6)


def test_small_variant_keeps_a_part_of_what_changes_between_the_sources():
    net = PoseNet(2, "small")
    target, before, after = frames(3)
    apply = quick_jit(net.apply)
    tree = without_mean_motion(variables(net))
    to_before, to_after = np.moveaxis(np.asarray(apply(tree, target, [before, after])), 1, 0)
    alone = [np.asarray(apply(tree, target, [source, source]))[:, 1] for source in (before, after)]
    # With twice the same image the two velocities are opposite, their mean is zero and all is change.
    read_before, read_after = (motion / KEPT_CHANGE for motion in alone)
    np.testing.assert_allclose(to_after - to_before, read_after - read_before, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(to_after + to_before, KEPT_CHANGE * (read_after + read_before), rtol=1e-3, atol=1e-6)


def test_small_variant_treats_every_source_alike_but_for_the_mean_motion():
    net = PoseNet(2, "small")
    target, before, after = frames(3)
    apply = quick_jit(net.apply)
    tree = without_mean_motion(variables(net))
    poses = apply(tree, target, [before, after])
    swapped = apply(tree, target, [after, before])
    np.testing.assert_allclose(poses, swapped[:, ::-1], rtol=1e-4, atol=1e-6)
    assert np.abs(poses - swapped).max() > 1e-4
    # The mean motion is reversed for the frame before, doubled two frames away, and goes to no side.
    motion = variables(net)["params"]["mean_motion"] * np.array(SCALES) * np.array([0, 1, 1, 1, 0, 0])
    np.testing.assert_allclose(apply(variables(net), target, [before, after]) - poses, [[-motion, motion]] * 2, atol=1e-6)
    net = PoseNet(4, "small")
    far = net.apply(variables(net), target, [before, after] * 2) - net.apply(
        without_mean_motion(variables(net)), target, [before, after] * 2
    )
    np.testing.assert_allclose(far[0], np.outer([-2, -1, 1, 2], motion), atol=1e-6)


def test_small_variant_starts_near_its_first_motion():
    net = PoseNet(2, "small")
    target, *sources = frames(3)
    key = jax.random.key(0, impl="rbg")  # compiles faster than the default generator
    poses, _ = quick_jit(lambda key: net.init_with_output(key, target, sources))(key)
    ahead = np.array(FIRST_MOTION)
    assert 0 < np.abs(poses - np.stack([-ahead, ahead])).max() < 0.02


def test_lite_variant_starts_near_no_motion_and_turns_it_round():
    net = PoseNet(2, "lite")
    target, *sources = frames(3)
    key = jax.random.key(0, impl="rbg")  # compiles faster than the default generator
    first, _ = quick_jit(lambda key: net.init_with_output(key, target, sources))(key)
    assert 0 < np.abs(first).max() < 0.02
    apply = quick_jit(PoseNet(1, "lite").apply)
    tree = variables(PoseNet(1, "lite"))
    there, back = apply(tree, target, sources[:1]), apply(tree, sources[0], [target])
    np.testing.assert_allclose(there, -back, rtol=1e-3, atol=1e-5)
    assert np.abs(there).max() > 1e-3
    np.testing.assert_allclose(apply(tree, target, [target]), 0, atol=1e-5)


def test_displacement_of_a_shifted_image_is_read_off_its_cost_volume():
    """The source shows everything two cells further right and one up."""
    image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 26, 3)).repeat(PATCH_STRIDE, 1).repeat(PATCH_STRIDE, 2)
    source = np.roll(image, (-PATCH_STRIDE, 2 * PATCH_STRIDE), axis=(1, 2))
    costs = cost_volume(normalised_patches(image), normalised_patches(source), SEARCH_RADIUS)
    displacement = SEARCH_RADIUS * expected_displacement(costs, 50.0, SEARCH_RADIUS)
    np.testing.assert_allclose(displacement[0, 5:-5, 6:-6, 0], 2, atol=0.05)
    np.testing.assert_allclose(displacement[0, 5:-5, 6:-6, 1], -1, atol=0.05)


def test_patches_ignore_brightness_and_contrast():
    cells = np.random.default_rng(0).uniform(-0.4, 0.4, (1, 8, 12, 3)).astype(np.float32)
    image = cells.repeat(PATCH_STRIDE, 1).repeat(PATCH_STRIDE, 2)
    np.testing.assert_allclose(normalised_patches(image), normalised_patches(0.3 + 2 * image), atol=0.05)
    np.testing.assert_allclose(normalised_patches(jnp.full((1, 32, 48, 3), 0.7)), 0, atol=1e-3)


@pytest.mark.parametrize("variant", PoseNet.VARIANTS)
def test_gradients_are_finite_even_on_featureless_images(variant):
    net = PoseNet(2, variant)

    def loss(params, target, sources):
        return jnp.sum(net.apply(params, target, sources) ** 2)

    gradient = quick_jit(jax.grad(loss))
    target, *sources = frames(3)
    trained = gradient(variables(net), target, sources)
    encoder = trained["params"].pop("encoder", {})
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(encoder)), "pretrained features of motion are not trained"
    for leaf in jax.tree.leaves(trained):
        assert np.isfinite(leaf).all() and np.any(leaf != 0)
    black = jnp.zeros_like(target)
    for leaf in jax.tree.leaves(gradient(variables(net), black, [black, black])):
        assert np.isfinite(leaf).all()


def test_unknown_variant_is_named():
    with pytest.raises(UserError, match="'b7', expected one of: b6, small, lite"):
        PoseNet(variant="b7")


def test_wrong_number_of_sources_is_told():
    net = PoseNet(2)
    target, source = frames(2)
    with pytest.raises(UserError, match="1 source images, expected 2"):
        net.apply(variables(net), target, [source])
