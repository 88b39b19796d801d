"""Occlusion masks on the procedural street, whose visibility is known from casting rays: the paper's masks and other rules.

True depth shows what a rule can reach; a run's depth, motion and flow show what it reaches with learnt ones.
"""

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np
from PIL import Image
from tqdm import tqdm

from dopi_jax import evaluation, geometry, visualization
from dopi_jax.experiments.evaluation_run import EvaluationRun
from dopi_jax.models import learned_intrinsics
from dopi_jax.synthetic import OUT_OF_VIEW, VISIBLE, PairTruth, Street
from dopi_jax.trained_model import Model

_FIRST_SEED = 9000  # streets that are never trained on, and that no decision is based on
_STREETS = 12
_TARGET = 8  # of the frames of a street
_DIRECTIONS = {"forward": 1, "backward": -1}  # of driving, from the target to the source
_FAR = 1e4  # metres, for the sky
_TOLERANCE = 0.05
_PAPER = "paper: edge, overlap, blank"
_COMPARISON = f"depth comparison, {_TOLERANCE:.0%}"
_INCONSISTENT = 0.05  # of |z - z'| / (z + z')
_INCONSISTENCY = f"depth inconsistency > {_INCONSISTENT}"
_TOLERANT = f"paper, tolerance {_TOLERANCE:.0%}"
_FORWARD_BACKWARD, RANGE_MAP = "forward-backward flow", "range map of the flow"
_ORDER = ["edge", "overlap", "blank", _PAPER, _TOLERANT, _COMPARISON, _INCONSISTENCY, _FORWARD_BACKWARD, RANGE_MAP]

Masks = Mapping[str, np.ndarray]
"""Pixels that each rule calls not visible, boolean [H, W], by the name of the rule."""


@dataclasses.dataclass(frozen=True)
class _Views:
    """Depth, motion and flow of one pair of frames, true or learnt.

    Attributes:
      target_depth: [H, W].
      source_depth: [H, W].
      pose: `source_from_target` [4, 4].
      flow: From target to source [H, W, 2]; None if there is none.
      reverse_flow: From source to target [H, W, 2].
      K: Intrinsics [3, 3].
    """

    target_depth: np.ndarray | None
    source_depth: np.ndarray | None
    pose: np.ndarray | None
    flow: np.ndarray | None
    reverse_flow: np.ndarray | None
    K: np.ndarray


def evaluate(run: EvaluationRun) -> None:
    """Prints and writes precision, recall and F1 of the pixels that each rule calls not visible.

    Args:
      run: The run; one without trained networks gives the rows of true depth alone.
    """
    height, width = run.image_size
    model = Model(run.config, run.variables, run.step) if run.variables else None
    results: dict[tuple[str, str, str], list[dict]] = {}
    pictures = []
    for seed in tqdm(range(_FIRST_SEED, _FIRST_SEED + _STREETS), unit="street"):
        street = Street(seed, 2 * _TARGET, height, width)
        images = {n: street.frame(n).image for n in range(_TARGET - 2, _TARGET + 3)} if model else {}
        for direction, step in _DIRECTIONS.items():
            truth = street.pair(_TARGET, _TARGET + step)
            believed = {"true": _true_views(street, step, truth)}
            if model:
                believed["learned"] = _learned_views(model, images, street.K, step)
            hidden_by = {source: _rules(views) for source, views in believed.items()}
            for source, rules in hidden_by.items():
                for rule, hidden in rules.items():
                    for region, metrics in _compare(truth, hidden).items():
                        results.setdefault((region, source, rule), []).append({"direction": direction, **metrics})
            if seed == _FIRST_SEED:
                pictures.append(_picture(street, truth, **hidden_by))

    summary, rows = {}, []
    for (region, source, rule), found in results.items():
        pooled = {
            direction: evaluation.pool_occlusion_metrics([m for m in found if m["direction"] == direction])
            for direction in _DIRECTIONS
        }
        summary.setdefault(region, {}).setdefault(source, {})[rule] = pooled
        rows += [{"region": region, "geometry": source, "rule": rule, "direction": d, **m} for d, m in pooled.items()]
    tables = [_table(region, by_source) for region, by_source in summary.items()]
    Image.fromarray(visualization.stack_panels(pictures)).save(run.results_folder() / "occlusion.png")
    run.write_results("occlusion", "\n\n".join(tables), {"streets": _STREETS, **summary}, rows)


def _true_views(street: Street, step: int, truth: PairTruth) -> _Views:
    target, source = street.frame_depth(_TARGET), street.frame_depth(_TARGET + step)
    return _Views(
        np.minimum(target, _FAR),
        np.minimum(source, _FAR),
        street.source_from_target(_TARGET, _TARGET + step),
        truth.flow,
        street.pair(_TARGET + step, _TARGET).flow,
        street.K,
    )


def _learned_views(model: Model, images: Mapping[int, np.ndarray], K: np.ndarray, step: int) -> _Views:
    """A model's prediction for the pair, from five frames of which the target is the middle one."""
    found = model(np.stack([images[frame] for frame in sorted(images)]), K)
    target, source = len(images) // 2, len(images) // 2 + step
    depths, pose, flows = (None, None), None, (None, None)
    if found.depth is not None:
        depths = found.depth[target], found.depth[source]
    if found.poses is not None:
        pose = np.linalg.inv(found.poses[source]) @ found.poses[target]
    if found.flow is not None:
        to_next, to_previous = found.flow, found.flow_back  # of frame i at i, and of frame i at i - 1
        ahead = to_next[min(target, source)], to_previous[min(target, source)]
        flows = ahead if step > 0 else ahead[::-1]
    return _Views(*depths, pose, *flows, np.asarray(learned_intrinsics(model.variables, K[None])[0]))


@jax.jit
def _depth_rules(target_depth, source_depth, K, pose) -> dict[str, jax.Array]:
    paper = geometry.occlusion_masks(target_depth, source_depth, K, pose)
    tolerant = geometry.occlusion_masks(target_depth, source_depth, K, pose, tolerance=_TOLERANCE)
    compared = geometry.depth_comparison_masks(target_depth, source_depth, K, pose, tolerance=_TOLERANCE)
    return {
        "edge": ~paper.edge,
        "overlap": ~paper.overlap,
        "blank": ~paper.blank,
        _PAPER: ~paper.visible,
        _TOLERANT: ~tolerant.visible,
        _COMPARISON: ~compared.visible,
        _INCONSISTENCY: geometry.depth_inconsistency(target_depth, source_depth, K, pose) > _INCONSISTENT,
    }


@jax.jit
def _flow_rules(flow, reverse_flow) -> dict[str, jax.Array]:
    _, inside = geometry.warp_by_flow(flow, flow)
    return {
        _FORWARD_BACKWARD: ~geometry.forward_backward_mask(flow, reverse_flow),
        RANGE_MAP: ~(geometry.range_map_mask(reverse_flow) & inside),
    }


def _rules(views: _Views) -> Masks:
    found = {}
    if views.target_depth is not None:
        found |= _depth_rules(*(np.float32(x) for x in (views.target_depth, views.source_depth, views.K, views.pose)))
    if views.flow is not None:
        found |= _flow_rules(np.float32(views.flow), np.float32(views.reverse_flow))
    # Under jit a dict comes back sorted by name; the tables go from the paper's masks to those of others.
    return {name: np.asarray(found[name]) for name in sorted(found, key=_ORDER.index)}


def _compare(truth: PairTruth, hidden: np.ndarray) -> dict[str, dict]:
    """Metrics over the whole image, and over the pixels that stay inside it. Moving objects are left out."""
    static = ~truth.moving
    inside = static & (truth.visibility != OUT_OF_VIEW)
    not_visible = truth.visibility != VISIBLE
    return {
        "whole image": evaluation.occlusion_metrics(not_visible, hidden, static),
        "inside the image": evaluation.occlusion_metrics(not_visible, hidden, inside),
    }


def _table(region: str, by_source: Mapping[str, Mapping[str, Mapping]]) -> str:
    headers = ["rule", "geometry", *(f"{d} {name}" for d in _DIRECTIONS for name in ("P", "R", "F1"))]
    rows = []
    for source, rules in by_source.items():
        for rule, pooled in rules.items():
            if region == "inside the image" and rule == "edge":
                continue
            cells = [pooled[d][name] for d in _DIRECTIONS for name in ("precision", "recall", "f1")]
            rows.append([rule, source, *cells])
        rows.append(None)
    return evaluation.render_table(f"Pixels that are not visible, {region}, {_STREETS} streets", headers, rows[:-1])


def _picture(street: Street, truth: PairTruth, true: Masks, learned: Masks | None = None) -> list[np.ndarray]:
    """The target under the truth (red is not visible), rules with true depth, and what was learnt, which `load` gives."""
    image = street.frame(_TARGET).image
    shown = [truth.visibility != VISIBLE, true[_PAPER], true[_COMPARISON]]
    if learned is not None:
        shown.append(learned.get(RANGE_MAP, learned.get(_PAPER)))
    return [visualization.mask_overlay(image, ~hidden) for hidden in shown]
