"""Compiled functions that apply trained networks: disparity of images, motion and flow of snippets, views for panels."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dopi_jax import losses
from dopi_jax.config import Config
from dopi_jax.models import learned_intrinsics
from dopi_jax.motion_stereo import rigid_flows
from dopi_jax.networks import build_geometry, build_networks, predict_disparity
from dopi_jax.objectives import depth_pose_loss, flow_loss, rigid_views, view_by_flow, view_sources
from dopi_jax.objectives.matched_motion import match_motions
from dopi_jax.objectives.motion import predict_motion
from dopi_jax.objectives.snippet_flow import predict_flows, rigid_snippet_flows

Variables = Mapping[str, Any]


def make_predict_disparity(config: Config):
    """Returns a compiled function (variables, images [B, H, W, 3] in [-1, 1]) -> disparity [B, H, W]."""
    net = build_networks(config.model).depth

    @jax.jit
    def predict(variables: Variables, images: chex.Array) -> chex.Array:
        return predict_disparity(net, variables["depth"], images, config.prediction.mirrored_pass)

    return predict


def make_predict_poses(config: Config):
    """Returns a compiled function of a snippet batch -> source_from_target [B, 2, 4, 4].

    The function takes variables, `target` [B, H, W, 3], `sources` [B, 2, H, W, 3] (t-1, t+1) in [-1, 1], K [B, 3, 3], and
    maybe `matches` [B, 2, N, 4], as `match_motions` takes them, which motion then follows, and the targets' `disparity`
    [B, H, W], which is computed where it is needed and None.
    """
    networks = build_networks(config.model)

    @jax.jit
    def predict(
        variables: Variables,
        target: chex.Array,
        sources: chex.Array,
        K: chex.Array,
        matches: chex.Array | None = None,
        disparity: chex.Array | None = None,
    ) -> chex.Array:
        depth, K = None, learned_intrinsics(variables, K)
        if config.model.pose_refinements or matches is not None:
            if disparity is None:
                disparity = networks.depth.apply(variables["depth"], target)[0]
                if config.loss.normalize_all_disparities:
                    disparity = losses.max_normalized_disparity(disparity)
            depth = 1 / disparity
        poses = predict_motion(
            variables["pose"],
            target,
            sources,
            depth,
            K,
            pose_net=networks.pose,
            rotation=config.model.rotation,
            refinements=config.model.pose_refinements,
        )
        if matches is None:
            return poses
        return match_motions(depth, matches, K, poses).source_from_target

    return predict


def make_predict_first_poses(config: Config):
    """Returns a compiled function (variables, target, sources) -> the pose network's unrefined output, [B, 2, 4, 4].

    `make_predict_poses` also refines it and follows tracked corners, if the config says so.
    """
    net = build_networks(config.model).pose
    once = {"pose_net": net, "rotation": config.model.rotation, "refinements": 0}

    @jax.jit
    def predict(variables: Variables, target: chex.Array, sources: chex.Array) -> chex.Array:
        return predict_motion(variables["pose"], target, sources, None, None, **once)

    return predict


def in_batches(
    function: Callable[[np.ndarray], chex.Array], count: int, size: int, progress: Callable[[list], Iterable] = iter
) -> np.ndarray:
    """Applies a function of a batch to any number of samples.

    Args:
      function: Of the places [size] of a batch's samples, to its results [size, ...].
      count: How many samples there are.
      size: Of a batch, at most. The last one is filled up with the last sample, so that every batch runs the same program.
      progress: Goes through the batches, and may show how far it has come.

    Returns:
      The results [count, ...].
    """
    size = min(size, count)
    batches = [np.minimum(np.arange(start, start + size), count - 1) for start in range(0, count, size)]
    return np.concatenate([np.asarray(function(places)) for places in progress(batches)])[:count]


def make_predict_rigid_flow(config: Config):
    """Returns a compiled function of a snippet batch -> rigid flow and visibility, to t-1 and t+1.

    The function takes variables, `target` [B, H, W, 3], `sources` [B, 2, H, W, 3] in [-1, 1], K [B, 3, 3] and maybe
    `matches` [B, 2, N, 4], which motion then follows, and returns flow [B, 2, H, W, 2] in pixels and the boolean masks of
    eq. 5, [B, 2, H, W], True = visible.
    """
    geometry_of = build_geometry(config)

    @jax.jit
    def predict(
        variables: Variables, target: chex.Array, sources: chex.Array, K: chex.Array, matches: chex.Array | None = None
    ):
        of_snippet = jax.vmap(lambda g, K: rigid_views(*g, K, 1, config.loss)[0])
        K = learned_intrinsics(variables, K)
        of_snippets = geometry_of(variables, target, sources, K, matches=matches)
        disparity, _, poses = of_snippets
        flows = rigid_flows(disparity, target, sources, K, poses, refined=config.prediction.motion_stereo)
        return flows, of_snippet(of_snippets, K).masks.visible

    return predict


def make_predict_flow(config: Config):
    """Returns a compiled function of a snippet batch -> optical flow [B, 2, H, W, 2] to t-1 and t+1, in pixels.

    The function takes variables, `target` [B, H, W, 3] and `sources` [B, 2, H, W, 3] (t-1, t+1) in [-1, 1], and maybe the
    rigid flows [B, 2, H, W, 2] to them in pixels; networks without that input ignore them.
    """
    net = build_networks(config.model).flow

    @jax.jit
    def predict(
        variables: Variables, target: chex.Array, sources: chex.Array, rigid: chex.Array | None = None
    ) -> chex.Array:
        shown = rigid if config.flow_loss.shown_rigid > 0 else None
        return predict_flows(net, variables["flow"], target, sources, rigid=shown).to_sources[0]

    return predict


def make_view_snippets(config: Config):
    """Returns a compiled function (variables, batch) -> what the objective sees of every snippet of a batch.

    The result has `scalars`: `loss` and the diagnostics of `depth_pose_loss`, each [B], with `matches` in the batch also
    `matched_depth_error`, how far depth is from that of matched points; and, as
    `visualization.snippet_panel` takes them but with a leading [B], `target`, `disparity`, `warped`, `visible`, `kept`.
    """
    geometry_of = build_geometry(config)

    def view_one(target, sources, K, snippet_geometry):
        disparity, source_disparities, poses = snippet_geometry
        loss, diagnostics = depth_pose_loss(disparity, source_disparities, poses, target, sources, K, config.loss)
        views = view_sources(1 / disparity, 1 / source_disparities, poses, target, sources, K, config.loss)
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
        K, matches = learned_intrinsics(variables, batch["intrinsics"]), batch.get("matches")
        snippet_geometry, of_matches = geometry_of(variables, target, sources, K), {}
        if matches is not None:
            disparity, _, poses = snippet_geometry
            by_matches = match_motions(1 / disparity, matches, K, poses)
            snippet_geometry = snippet_geometry._replace(source_from_target=by_matches.source_from_target)
            of_matches = {"matched_depth_error": jnp.mean(by_matches.depth_error, axis=1)}
        seen = jax.vmap(view_one)(target, sources, K, snippet_geometry)
        return seen | {"scalars": seen["scalars"] | of_matches}

    return view


def make_view_flow_snippets(config: Config):
    """Returns a compiled function (variables, batch) -> what the objective of phase 2 sees of every snippet of a batch.

    The result has `scalars`: `loss` and the diagnostics of `flow_loss` at the finest scale, each [B]; and, as
    `visualization.flow_snippet_panel` takes them but with a leading [B], `target`, `flows`, `warped`, `visible`, `kept`, and
    with depth and motion also `rigid_flows` and `taught`. With `matches` in the batch the scalars have `matched`, how far
    flow is from where corners were followed to, in pixels.
    """
    net = build_networks(config.model).flow
    geometry_of = build_geometry(config)

    def view_one(target, sources, flows, rigid, returning):
        loss, diagnostics = flow_loss(flows, target, sources, rigid, config.flow_loss, returning)
        of_source = jax.vmap(lambda f, s, r, back: view_by_flow(f, target, s, r, config.flow_loss, back))
        views, taught = of_source(flows, sources, rigid, returning)
        seen = {"target": target, "flows": flows, "warped": views.warped, "visible": views.visible, "kept": views.kept}
        if rigid is not None:
            seen |= {"rigid_flows": rigid.flow, "taught": taught}
        return {"scalars": {"loss": loss, **diagnostics}, **seen}

    @jax.jit
    def view(variables: Variables, batch: Mapping[str, chex.Array]) -> dict[str, Any]:
        target, sources = batch["target"], batch["sources"]
        rigid, returning, shown = None, config.flow_loss.needs_returning_flow, None
        if config.flow_loss.needs_depthpose:
            of_snippet = jax.vmap(lambda g, K: rigid_views(*g, K, 1, config.flow_loss)[0])
            K = learned_intrinsics(variables, batch["intrinsics"])
            matches = batch["matches"] if config.flow_loss.matched_motion else None
            of_snippets = geometry_of(variables, target, sources, K, matches=matches)
            rigid = of_snippet(of_snippets, K)
            if config.flow_loss.shown_rigid > 0:
                shown = rigid_snippet_flows(of_snippets, K, returning)
        (flows,), back = predict_flows(net, variables["flow"], target, sources, returning=returning, rigid=shown)
        seen = jax.vmap(view_one)(target, sources, flows, rigid, back and back[0])
        if "matches" in batch:
            distances = jax.vmap(jax.vmap(losses.distance_from_matches))(flows, batch["matches"])
            seen["scalars"]["matched"] = jnp.mean(distances, axis=1)
        return seen

    return view
