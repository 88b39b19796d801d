"""Trained networks applied: disparity of images, motion of snippets, and all that a snippet shows. Evaluation mode."""

from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry, losses
from dopi_jax.config import Config
from dopi_jax.objectives import depth_pose_loss
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


def make_view_snippets(config: Config):
    """Returns a compiled function (variables, batch) -> what the objective sees of every snippet of a batch.

    The result has `loss` and the diagnostics of `depth_pose_loss`, each [B]; `target`, `disparity`; and for each source
    `warped`, `visible` and `kept`, as `visualization.snippet_panel` takes them.
    """
    predict_disparity = make_predict_disparity(config)
    predict_poses = make_predict_poses(config)

    def view_one(target, sources, K, disparity, source_disparities, poses):
        loss, diagnostics = depth_pose_loss(disparity, source_disparities, poses, target, sources, K, config.loss)
        depth = 1 / disparity

        def view_source(source, source_disparity, pose):
            warped, _ = geometry.warp_by_depth(source, depth, K, pose)
            visible = geometry.occlusion_masks(depth, 1 / source_disparity, K, pose).visible
            error = losses.photometric_error(target, warped)
            return {"warped": warped, "visible": visible, "kept": visible & losses.less_than_mean_mask(error, visible)}

        per_source = jax.vmap(view_source)(sources, source_disparities, poses)
        return {"loss": loss, "target": target, "disparity": disparity, **diagnostics, **per_source}

    @jax.jit
    def view(variables: Variables, batch: Mapping[str, chex.Array]) -> dict[str, chex.Array]:
        target, sources = batch["target"], batch["sources"]
        images = jnp.concatenate([target[:, None], sources], axis=1)
        disparities = predict_disparity(variables, images.reshape(-1, *target.shape[1:])).reshape(images.shape[:4])
        poses = predict_poses(variables, target, sources)
        return jax.vmap(view_one)(target, sources, batch["intrinsics"], disparities[:, 0], disparities[:, 1:], poses)

    return view
