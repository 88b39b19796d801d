"""A report of a run as one self-contained HTML file: numbers, curves and pictures."""

import base64
import html
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from dopi_jax import evaluation
from dopi_jax.experiments.evaluate_occlusion import RANGE_MAP
from dopi_jax.experiments.evaluation_run import EvaluationRun
from dopi_jax.training.logging import read_metrics

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}"
    "pre{overflow-x:auto;background:#f6f6f6;padding:1em;font-size:12px}img{max-width:100%}figcaption{color:#666}"
    "figure{margin:1em 0}svg{background:#f6f6f6}"
)
_CURVE_SIZE = 480, 160


def write_report(workdir: pathlib.Path, evaluated: EvaluationRun, runs: Mapping[str, pathlib.Path]) -> pathlib.Path:
    """Writes report.html.

    Args:
      workdir: The folder to write it to.
      evaluated: The run whose evaluation results it shows.
      runs: The folders of the training runs that it shows curves and pictures of, by title.

    Returns:
      The file.
    """
    results = evaluated.results_folder()
    parts = [
        "<h1>dopi_jax: depth, motion and flow from video, without labels</h1>",
        f"<pre>{html.escape(summary_table(results))}</pre>",
    ]
    for title, run in runs.items():
        parts.append(f"<h2>Training: {html.escape(title)}</h2>")
        metrics = read_metrics(run)
        parts += [_curve(metrics, f"{group}/{name}") for group, name in _CURVES]
        panels = sorted((run / "images").glob("snippet_*.png"))
        if panels:
            parts.append(_figure(panels[-1], _PANEL_CAPTIONS.get(title, "What the objective sees of one snippet.")))
    for task, caption in _TASKS.items():
        table = (results / f"{task}.txt").read_text(encoding="utf-8")
        parts.append(f"<h2>{task.capitalize()}</h2><pre>{html.escape(table)}</pre>")
        pictures = sorted(results.glob("trajectory_*.png" if task == "pose" else f"{task}*.png"))
        parts += [_figure(picture, caption) for picture in pictures[:3]]
    page = f"<!doctype html><meta charset=utf-8><title>dopi_jax report</title><style>{_STYLE}</style>{''.join(parts)}"
    report = workdir / "report.html"
    partial = report.with_suffix(".partial")
    partial.write_text(page, encoding="utf-8")
    partial.rename(report)
    return report


def summary_table(results: pathlib.Path) -> str:
    """Returns the results beside their baselines, in one table.

    Args:
      results: The folder evaluation/ of a run, with the results of all tasks.

    Returns:
      Lines of text.
    """
    depth, pose, flow, occlusion = (json.loads((results / f"{task}.json").read_text(encoding="utf-8")) for task in _TASKS)
    rows = []
    for metric, label in (("abs_rel", "AbsRel"), ("a1", "a1")):
        for baseline in ("best depth per row", "training median"):
            rows.append([f"depth, {label}", depth["cc"][metric], depth["baselines"][baseline][metric], baseline])
    for name, ate in pose["ate"]["3"].items():
        turn = pose["trajectory"][name]
        turns = (float(np.degrees(turn[key])) for key in ("rotation_error", "straight_ahead_rotation_error"))
        ates = (1e3 * ate[key] for key in ("mean", "straight_ahead_mean"))
        rows.append([f"motion, 3-frame ATE [mm], {name}", *ates, "straight ahead"])
        rows.append([f"motion, rotation [deg], {name}", *turns, "straight ahead"])
    ours = flow["dopi_jax, flow network"]
    for region in ("all", "occ", "moving"):
        if region in ours:
            others = {"no motion": flow["baselines"]["no motion"], "rigid flow": flow["dopi_jax, rigid flow"]}
            for label, other in others.items():
                rows.append([f"flow, EPE [px], {region}", ours[region]["epe"], other[region]["epe"], label])
    inside = occlusion["inside the image"]
    for direction in ("forward", "backward"):
        learned, true = (inside[geometry][RANGE_MAP][direction]["f1"] for geometry in ("learned", "true"))
        rows.append([f"hidden inside the image, F1, {direction}", learned, true, "with true flow"])
    return evaluation.render_table("Measured on unseen streets", ["what", "learned", "to compare", "with"], rows)


_CURVES = (("train", "loss"), ("validation", "photometric"))
_PANEL_CAPTIONS = {
    "depthpose": "Target and disparity; below, for each source: warped to the target, hidden by occlusion masks (red), all "
    "that is masked out (red).",
    "flow": "Target and rigid flow; below, for each source: flow, warped to the target, what is masked out (red), what "
    "depth and motion do not teach (red).",
}
_TASKS = {
    "depth": "Frames, predicted disparity (near is bright), error at laser points (blue is right, orange over 25 % wrong).",
    "pose": "The camera's path from above.",
    "flow": "Frame above predicted flow; beside them true flow and error (blue is right, orange is wrong).",
    "occlusion": "Not visible is red: the truth; the paper's masks and depth comparison, from true depth; what the "
    "learned flow of the other frame does not reach. Both directions.",
}


def _figure(picture: pathlib.Path, caption: str) -> str:
    data = base64.b64encode(picture.read_bytes()).decode()
    return f'<figure><img src="data:image/png;base64,{data}" alt=""><figcaption>{html.escape(caption)}</figcaption></figure>'


def _curve(metrics: Sequence[Mapping[str, float]], name: str) -> str:
    points = [(line["step"], line[name]) for line in metrics if line.get(name) is not None]
    if len(points) < 2:
        return ""
    width, height = _CURVE_SIZE
    (first, last), values = (points[0][0], points[-1][0]), [value for _, value in points]
    low, high = min(values), max(values)

    def place(step: float, value: float) -> str:
        x = (step - first) / max(last - first, 1) * (width - 20) + 10
        y = height - 10 - (value - low) / max(high - low, 1e-12) * (height - 40)
        return f"{x:.1f},{y:.1f}"

    line = " ".join(place(*point) for point in points)
    label = f"{name}: {values[0]:.3f} at step {first}, {values[-1]:.3f} at step {last}"
    return (
        f'<svg width="{width}" height="{height}"><text x="10" y="16" font-size="12">{html.escape(label)}</text>'
        f'<polyline fill="none" stroke="#a33" stroke-width="1.5" points="{line}"/></svg>'
    )
