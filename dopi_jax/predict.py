"""Trained networks applied: disparity of images, motion of snippets, and all that a snippet shows. Evaluation mode."""

from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry
from dopi_jax.config import Config
from dopi_jax.objectives import depth_pose_loss, view_source
from dopi_jax.training.state import build_networks

Variables = Mapping[str, Any]


def make_predict_disparity(config: Config):
    """Returns a compiled function (variables, images [B, H, W, 3] in [-1, 1]) -> disparity [B, H, W]."""
    net = build_networks(config.model).depth
    return jax.jit(lambda variables, images: net.apply(variables["depth"], images)[0][..., 0])


def make_predict_poses(config: Config):
    """Returns a compiled function of a snippet batch -> source_from_target [B, 2, 4, 4].

    The function takes variables, `target` [B, H, W, 3] and `sources` [B, 2, H, W, 3] (t-1, t+1) in [-1, 1].
    """
    net = build_networks(config.model).pose

    @jax.jit
    def predict(variables: Variables, target: chex.Array, sources: chex.Array) -> chex.Array:
        vectors = net.apply(variables["pose"], target, [sources[:, 0], sources[:, 1]])
        return jax.vmap(jax.vmap(lambda v: geometry.pose_from_vector(v, config.model.rotation)))(vectors)

    return predict


def make_predict_rigid_flow(config: Config):
    """Returns a compiled function of a snippet batch -> rigid flow and visibility, to t-1 and t+1.

    The function takes variables, `target` [B, H, W, 3], `sources` [B, 2, H, W, 3] in [-1, 1] and K [B, 3, 3], and returns
    flow [B, 2, H, W, 2] in pixels and the boolean masks of eq. 5, [B, 2, H, W], True = visible.
    """
    predict_disparities = _disparities_of_snippets(config)
    predict_poses = make_predict_poses(config)

    def one_source(depth, source_depth, K, pose):
        masks = geometry.occlusion_masks(
            depth,
            source_depth,
            K,
            pose,
            tolerance=config.loss.occlusion_tolerance,
            rounds=config.loss.occlusion_rounds,
        )
        return geometry.rigid_flow(depth, K, pose), masks.visible

    over_sources = jax.vmap(one_source, in_axes=(None, 0, None, 0))

    @jax.jit
    def predict(variables: Variables, target: chex.Array, sources: chex.Array, K: chex.Array):
        disparities = predict_disparities(variables, target, sources)
        poses = predict_poses(variables, target, sources)
        return jax.vmap(over_sources)(1 / disparities[:, 0], 1 / disparities[:, 1:], K, poses)

    return predict


def make_view_snippets(config: Config):
    """Returns a compiled function (variables, batch) -> what the objective sees of every snippet of a batch.

    The result has `scalars`: `loss` and the diagnostics of `depth_pose_loss`, each [B]; and, as
    `visualization.snippet_panel` takes them but with a leading [B], `target`, `disparity`, `warped`, `visible`, `kept`.
    """
    predict_disparities = _disparities_of_snippets(config)
    predict_poses = make_predict_poses(config)

    def view_one(target, sources, K, disparity, source_disparities, poses):
        loss, diagnostics = depth_pose_loss(disparity, source_disparities, poses, target, sources, K, config.loss)

        def one_source(source, source_disparity, pose):
            return view_source(1 / disparity, 1 / source_disparity, pose, target, source, K, config.loss)

        views = jax.vmap(one_source)(sources, source_disparities, poses)
        return {
            "scalars": {"loss": loss, **diagnostics},
            "target": target,
            "disparity": disparity,
            "warped": views.warped,
            "visible": views.visible,
            "kept": views.kept,
        }

    @jax.jit
    def view(variables: Variables, batch: Mapping[str, chex.Array]) -> dict[str, Any]:
        target, sources = batch["target"], batch["sources"]
        disparities = predict_disparities(variables, target, sources)
        poses = predict_poses(variables, target, sources)
        return jax.vmap(view_one)(target, sources, batch["intrinsics"], disparities[:, 0], disparities[:, 1:], poses)

    return view


def _disparities_of_snippets(config: Config):
    """A function (variables, target, sources) -> disparities [B, 1 + S, H, W], the target's first."""
    predict_disparity = make_predict_disparity(config)

    def predict(variables: Variables, target: chex.Array, sources: chex.Array) -> chex.Array:
        images = jnp.concatenate([target[:, None], sources], axis=1)
        disparities = predict_disparity(variables, images.reshape(-1, *target.shape[1:])).reshape(images.shape[:4])
        if config.loss.normalize_all_disparities:  # the poses were learnt in the unit of such depth
            disparities /= jnp.max(disparities, axis=(2, 3), keepdims=True)
        return disparities

    return predict
