"""The per-pixel minimum and the auto-mask: which source counts at a pixel, and whether the pixel counts at all."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_objectives import random_snippet

from dopi_jax import geometry, losses
from dopi_jax.config import LossConfig
from dopi_jax.objectives import depth_pose_loss, view_sources
from dopi_jax.objectives.pixel_choice import choose_pixels, sources_loss
from dopi_jax.objectives.reconstruction import SourceView

PLAIN = LossConfig(occlusion=False, less_than_mean=False)
MINIMUM = dataclasses.replace(PLAIN, per_pixel_minimum=True)
AUTO_MASK = dataclasses.replace(PLAIN, auto_mask=True)
BOTH = dataclasses.replace(MINIMUM, auto_mask=True)


def views(errors, edge):
    """Views of two sources on one row of pixels, of which nothing but error and place matters."""
    edge = jnp.array(edge, bool)[:, None]
    yes = jnp.ones_like(edge)
    masks = geometry.OcclusionMasks(edge, yes, yes)
    return SourceView(jnp.zeros((*edge.shape, 3)), jnp.array(errors)[:, None], masks, yes, yes)


def test_the_better_source_counts_and_none_outside_all():
    given = views([[0.1, 0.5, 0.0, 0.2], [0.3, 0.2, 0.4, 0.1]], [[1, 1, 0, 0], [1, 1, 1, 0]])
    chosen = choose_pixels(given, jnp.zeros((1, 4, 3)), jnp.zeros((2, 1, 4, 3)), MINIMUM)
    np.testing.assert_array_equal(chosen.kept[:, 0], [[True, False, False, False], [False, True, True, False]])
    # 0.1, 0.2 and 0.4 of three pixels, twice: as much as two sources weigh without the minimum.
    np.testing.assert_allclose(sources_loss(chosen, MINIMUM), 2 * 0.7 / (3 + 1), rtol=1e-6)


def test_hidden_pixels_are_left_to_the_other_source():
    given = views([[0.1, 0.1], [0.3, 0.3]], [[1, 1], [1, 1]])
    given = given._replace(kept=jnp.array([[[True, False]], [[True, False]]]))
    hidden_in_first = given._replace(kept=jnp.array([[[False, True]], [[True, True]]]))
    target, sources = jnp.zeros((1, 2, 3)), jnp.zeros((2, 1, 2, 3))
    np.testing.assert_array_equal(choose_pixels(given, target, sources, MINIMUM).kept[:, 0], [[1, 0], [0, 0]])
    np.testing.assert_array_equal(choose_pixels(hidden_in_first, target, sources, MINIMUM).kept[:, 0], [[0, 1], [1, 0]])


def test_what_does_not_move_in_the_image_is_left_out():
    """A source that equals the target: warping by a wrong depth cannot beat it."""
    disparity, _, vectors, target, sources, K = random_snippet()
    poses = jax.vmap(geometry.pose_from_vector)(vectors)
    still = jnp.stack([target, target])
    assert not view_sources(1 / disparity, None, poses, target, still, K, BOTH).kept.any()
    moving = view_sources(1 / disparity, None, poses, target, sources, K, BOTH)
    unwarped = jax.vmap(lambda source: losses.photometric_error(target, source))(sources)
    np.testing.assert_array_equal(moving.kept.any(0), moving.masks.edge.any(0) & (
        jnp.where(moving.masks.edge, moving.error, jnp.inf).min(0) < unwarped.min(0)
    ))  # fmt: skip
    assert moving.kept.any()


def test_the_auto_mask_alone_compares_each_source_with_itself():
    disparity, _, vectors, target, sources, K = random_snippet()
    poses = jax.vmap(geometry.pose_from_vector)(vectors)
    found = view_sources(1 / disparity, None, poses, target, sources, K, AUTO_MASK)
    unwarped = jax.vmap(lambda source: losses.photometric_error(target, source))(sources)
    np.testing.assert_array_equal(found.kept, found.error < unwarped)


@pytest.mark.parametrize("config", [MINIMUM, AUTO_MASK, BOTH], ids=["minimum", "auto_mask", "both"])
def test_gradient_agrees_with_differences(config):
    disparity, _, vectors, target, sources, K = random_snippet()

    @jax.jit
    def loss(log_scale, vectors):
        poses = jax.vmap(geometry.pose_from_vector)(vectors)
        return depth_pose_loss(jnp.exp(log_scale) * disparity, None, poses, target, sources, K, config)[0]

    slope = jax.grad(loss)(0.0, vectors)
    step = 2e-4
    difference = (loss(step, vectors) - loss(-step, vectors)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=0.15, atol=2e-3)


def test_source_depth_is_not_needed_where_nothing_asks_for_it():
    assert LossConfig().needs_source_depth
    assert not MINIMUM.needs_source_depth
    assert dataclasses.replace(MINIMUM, consistency=0.1).needs_source_depth
    disparity, others, vectors, target, sources, K = random_snippet()
    poses = jax.vmap(geometry.pose_from_vector)(vectors)
    without, diagnostics = depth_pose_loss(disparity, None, poses, target, sources, K, MINIMUM)
    np.testing.assert_allclose(
        without, depth_pose_loss(disparity, others, poses, target, sources, K, MINIMUM)[0], rtol=1e-6
    )
    assert diagnostics["overlap"] == diagnostics["blank"] == 1.0
