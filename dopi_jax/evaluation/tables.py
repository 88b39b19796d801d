"""Results beside the paper's tables, as plain text for a terminal."""

import functools
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from dopi_jax.evaluation.depth import DEPTH_METRICS

Cell = str | int | float | None
FlowAverages = Mapping[str, Mapping[str, float]]  # by region, from `average_flow_metrics`

_REASONS = 5
_DEPTH_HEADERS = ("AbsRel", "SqRel", "RMSE", "RMSElog", "a1", "a2", "a3")


@functools.cache
def _published() -> dict:
    return json.loads(pathlib.Path(__file__).with_name("paper_tables.json").read_text())


def paper_table(name: str) -> list[dict[str, Cell]]:
    """Returns the rows of one of the paper's tables, each a dict from column to number or text, None if not reported.

    Args:
      name: "depth" (Table I), "depth_ablation" (II), "pose" (III), "flow" (IV) or "flow_ablation" (V).
    """
    table = _published()[name]
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def render_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell] | None], decimals: int = 3) -> str:
    """Lays out a table in aligned columns.

    Args:
      title: the line above the table.
      columns: the headers.
      rows: as many cells as headers each: text as it is, floats rounded, None as "-". A row that is None is drawn as a
        rule.
      decimals: of floats.

    Returns:
      Lines without a newline at the end. A column with any text is aligned to the left, one of numbers to the right.
    """
    cells = [None if row is None else [_text(cell, decimals) for cell in row] for row in rows]
    given = [row for row in rows if row is not None]
    layout = []
    for index, header in enumerate(columns):
        width = max(len(header), *(len(row[index]) for row in cells if row is not None), 0)
        layout.append(f"{'<' if any(isinstance(row[index], str) for row in given) else '>'}{width}")

    def line(texts: Sequence[str]) -> str:
        return "  ".join(format(text, form) for text, form in zip(texts, layout, strict=True)).rstrip()

    rule = "-" * (sum(int(form[1:]) for form in layout) + 2 * (len(layout) - 1))
    body = [rule if row is None else line(row) for row in cells]
    return "\n".join([title, rule, line(columns), rule, *body, rule])


def depth_table(
    ours: Mapping[str, Mapping[str, float]],
    evaluated: int,
    expected: int,
    baselines: Mapping[str, Mapping[str, float]] | None = None,
    left_out: Sequence[str] = (),
) -> str:
    """Puts depth results beside the paper's Tables I and II.

    Args:
      ours: result of `average_depth_metrics` by the label of its row, such as "dopi_jax, cc protocol".
      evaluated: number of images of the test list that were evaluated.
      expected: number of images on the test list.
      baselines: the same for what a result must beat, such as a constant depth.
      left_out: why images at hand were not evaluated, one sentence each.

    Returns:
      The table, and below it how far the predicted scale varies from image to image.
    """

    def line(label: str, row: Mapping[str, Cell]) -> list[Cell]:
        return [label, row.get("supervision", ""), row.get("data", ""), *(row[metric] for metric in DEPTH_METRICS)]

    published = paper_table("depth")
    rows = [line(row["method"], row) for row in published if row["data"] == "K"]
    rows += [None, *(line(row["method"], row) for row in published if row["data"] == "CS+K")]
    rows += [None, *(line(row["method"], row) for row in paper_table("depth_ablation"))]
    if baselines:
        rows += [None, *(line(label, metrics) for label, metrics in baselines.items())]
    rows += [None, *(line(label, metrics) for label, metrics in ours.items())]

    coverage = f"{evaluated} of {expected} images of the Eigen test list{_count(left_out)}"
    table = render_table(f"Depth, KITTI, cap 80 m: {coverage}", ["Method", "Sup.", "Data", *_DEPTH_HEADERS], rows)
    notes = ["Trained on K: KITTI, CS: Cityscapes. The rows from Basic on are the paper's ablation, Table II."]
    notes += [
        f"{label}: scale ratio median {metrics['scale_median']:.4g}, standard deviation {metrics['scale_std']:.3g} "
        f"({metrics['scale_std'] / metrics['scale_median']:.1%} of it)"
        for label, metrics in ours.items()
    ]
    if evaluated < expected:
        notes.append(f"Only {evaluated} of {expected}: not comparable with the paper's rows, which are for all.")
    return "\n".join([table, *notes, *_reasons(left_out)])


def pose_table(
    ours: Mapping[str, np.ndarray],
    baseline: Mapping[str, np.ndarray],
    length: int = 3,
    left_out: Sequence[str] = (),
    backwards: Mapping[str, int] | None = None,
) -> str:
    """Puts snippet ATEs beside the paper's Table III.

    Args:
      ours: ATE in metres of every snippet [M], by sequence. "09" and "10" are the paper's; any other name, such as
        "03 (600-800)", gets a column of its own.
      baseline: the same for `straight_ahead_baseline` on the same snippets.
      length: frames in a snippet.
      left_out: why sequences were not evaluated, one sentence each.
      backwards: in how many snippets the scale that fits best was not positive, by sequence.

    Returns:
      The table, mean ± standard deviation over snippets in metres.
    """
    published = ("09", "10")
    sequences = [*published, *(name for name in ours if name not in published)]

    def line(label: str, ates: Mapping[str, np.ndarray]) -> list[Cell]:
        return [label, *(_spread(np.mean(ates[s]), np.std(ates[s])) if s in ates else None for s in sequences)]

    rows: list[Sequence[Cell] | None] = []
    for row in paper_table("pose"):
        values = [_spread(row[f"{s}_mean"], row[f"{s}_std"]) for s in published]
        rows.append([row["method"], *values, *[None] * (len(sequences) - len(published))])
    rows += [None, line("straight ahead, constant speed", baseline), line("dopi_jax", ours)]

    headers = ["Method", *(f"Seq. {s}" for s in sequences)]
    table = render_table(
        f"ATE in metres, {length}-frame snippets, KITTI odometry: mean ± std{_count(left_out)}", headers, rows
    )
    counts = ", ".join(f"{name}: {len(ours[name])}" for name in sequences if name in ours)
    return "\n".join(
        [
            table,
            f"Snippets evaluated: {counts}.",
            *_backwards(backwards or {}),
            "The paper's own row is for 3 frames, several others for 5; ATEs of different lengths do not compare.",
            *_reasons(left_out),
        ]
    )


def _backwards(counts: Mapping[str, int]) -> list[str]:
    """A line where the scale of some snippets is not positive: the protocol does not mind motion predicted backwards."""
    found = ", ".join(f"{name}: {count}" for name, count in counts.items() if count)
    return [f"Snippets whose scale is not positive, so that a motion backwards counts as right: {found}."] if found else []


def trajectory_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Lists what Table III does not say of a trajectory: rotation, and drift under one global scale.

    Args:
      results: by sequence, the merged results of `trajectory_ate` and `kitti_odometry_errors`, and the mean
        rotation error of the snippets in radians, `rotation_error`, with `straight_ahead_rotation_error` beside it.
    """
    headers = ["Sequence", "rotation [deg]", "of straight ahead", "global ATE [m]", "scale", "t_rel [%]"]
    headers += ["r_rel [deg/100 m]", "segments"]
    rows = []
    for name, result in results.items():
        drift = [result["t_rel_percent"], result["r_rel_deg_per_100m"]]
        rows.append(
            [
                name,
                float(np.degrees(result["rotation_error"])),
                float(np.degrees(result["straight_ahead_rotation_error"])),
                result["rmse"],
                result["scale"],
                *(None if np.isnan(value) else value for value in drift),
                result["segments"],
            ]
        )
    return render_table("Whole trajectories after one similarity alignment", headers, rows)


def improved_depth_table(results: Mapping[str, Mapping[str, float]], expected: int) -> str:
    """Lists depth results by KITTI's improved depth maps, which none of the paper's rows is measured by.

    Args:
      results: means by method, with `images`, how many were compared.
      expected: how many of the Eigen frames have such a map.

    Returns:
      The table.
    """
    count = next(iter(results.values()))["images"]
    rows = [[name, *(means[metric] for metric in DEPTH_METRICS)] for name, means in results.items()]
    title = f"Improved depth maps, monodepth2 protocol, no crop, cap 80 m: {count} of {expected} frames"
    return render_table(title, ["Method", *_DEPTH_HEADERS], rows)


def flow_table(
    ours: Mapping[str, FlowAverages],
    evaluated: int,
    expected: int,
    baselines: Mapping[str, FlowAverages] | None = None,
    left_out: Sequence[str] = (),
) -> str:
    """Puts flow results beside the paper's Tables IV and V.

    Args:
      ours: result of `average_flow_metrics` by the label of its row; the flow network alone, which is what the paper
        reports, comes first.
      evaluated: number of pairs of the KITTI 2015 training set that were evaluated.
      expected: number of pairs in that set.
      baselines: the same for what a result must beat, such as no motion at all.
      left_out: why pairs at hand were not evaluated, one sentence each.

    Returns:
      The table: all pixels with ground truth, mean over pairs.
    """

    def measured(label: str, averages: FlowAverages) -> list[Cell]:
        return [label, averages["all"]["epe"], 100 * averages["all"]["fl"], ""]

    rows = [[row["method"], row["train_epe"], row["train_f1"], _test_f1(row)] for row in paper_table("flow")]
    rows += [None, *([row["method"], row["train_epe"], row["train_f1"], ""] for row in paper_table("flow_ablation"))]
    if baselines:
        rows += [None, *(measured(label, averages) for label, averages in baselines.items())]
    rows += [None, *(measured(label, averages) for label, averages in ours.items())]
    title = f"Optical flow, KITTI 2015: {evaluated} of {expected} pairs of the training set{_count(left_out)}"
    table = render_table(title, ["Method", "EPE", "F1", "F1 on test set"], rows, decimals=2)
    notes = [
        "F1: percent of pixels off by more than 3 px and 5 %. The rows from Basic on are the paper's ablation, Table V.",
        "* after supervised tuning on the training set.",
    ]
    if evaluated < expected:
        notes.append(f"Only {evaluated} of {expected}: not comparable with the paper's rows, which are for all.")
    return "\n".join([table, *notes, *_reasons(left_out)])


def flow_region_table(results: Mapping[str, FlowAverages]) -> str:
    """Lists what Table IV does not say of flow: every region, averaged in both ways.

    Args:
      results: result of `average_flow_metrics` by the label of its rows.
    """
    rows: list[Sequence[Cell] | None] = []
    for label, averages in results.items():
        rows.append(None)
        for region, a in averages.items():
            errors = [a["epe"], 100 * a["fl"], a["epe_pooled"], 100 * a["fl_pooled"]]
            rows.append([label, region, *errors, a["images"], a["pixels"]])
    headers = ["Method", "region", "EPE", "F1", "EPE pooled", "F1 pooled", "pairs", "pixels"]
    title = "By region: mean over pairs as in the paper's lineage, and pooled over pixels as on the KITTI server"
    note = "noc, occ: what stays inside the next image, and what leaves it; moving, static: by the object maps, if at hand."
    return "\n".join([render_table(title, headers, rows[1:], decimals=2), note])


def _count(left_out: Sequence[str]) -> str:
    return f", {len(left_out)} left out" if left_out else ""


def _reasons(left_out: Sequence[str]) -> list[str]:
    """Lines below a table, of which a few must do."""
    lines = [f"Left out: {reason}" for reason in left_out[:_REASONS]]
    return lines + ([f"Left out: {len(left_out) - _REASONS} more"] if len(left_out) > _REASONS else [])


def _test_f1(row: Mapping[str, Cell]) -> str:
    tuned = "*" if row["test_after_supervised_tuning"] else ""
    return "-" if row["test_f1"] is None else f"{row['test_f1']:.2f}{tuned}"


def _text(cell: Cell, decimals: int) -> str:
    if cell is None:
        return "-"
    return f"{cell:.{decimals}f}" if isinstance(cell, float) else str(cell)


def _spread(mean: float, std: float) -> str:
    return f"{_as_printed(mean)} ± {_as_printed(std)}"


def _as_printed(value: float) -> str:
    """Four decimals, or three and a space where the fourth would be a zero: most of Table III has three."""
    text = f"{value:.4f}"
    return text[:-1] + " " if text.endswith("0") else text
