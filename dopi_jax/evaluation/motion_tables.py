"""Results of motion and flow beside the paper's tables."""

from collections.abc import Mapping, Sequence

import numpy as np

from dopi_jax.evaluation.tables import KITTI, Cell, count_left_out, paper_table, render_table, why_left_out

FlowAverages = Mapping[str, Mapping[str, float]]  # by region, from `average_flow_metrics`

_OF_LENGTHS = ("The paper's own row is for 3 frames, several others for 5; ATEs of different lengths do not compare.",)


def pose_table(
    ours: Mapping[str, np.ndarray],
    baseline: Mapping[str, np.ndarray],
    length: int = 3,
    left_out: Sequence[str] = (),
    backwards: Mapping[str, int] | None = None,
    data: str = KITTI,
) -> str:
    """Puts snippet ATEs beside the paper's Table III.

    Args:
      ours: ATE in metres of every snippet [M], by sequence. "09" and "10" are the paper's; any other name, such as
        "03 (600-800)", gets a column of its own.
      baseline: the same for `straight_ahead_baseline` on the same snippets.
      length: frames in a snippet.
      left_out: why sequences were not evaluated, one sentence each.
      backwards: in how many snippets the scale that fits best was not positive, by sequence.
      data: what the sequences are of; the paper's rows are shown for `KITTI` alone.

    Returns:
      The table, mean ± standard deviation over snippets in metres.
    """
    published = ("09", "10") if data == KITTI else ()
    sequences = [*published, *(name for name in ours if name not in published)]

    def line(label: str, ates: Mapping[str, np.ndarray]) -> list[Cell]:
        return [label, *(_spread(np.mean(ates[s]), np.std(ates[s])) if s in ates else None for s in sequences)]

    rows: list[Sequence[Cell] | None] = []
    for row in paper_table("pose") if published else []:
        values = [_spread(row[f"{s}_mean"], row[f"{s}_std"]) for s in published]
        rows.append([row["method"], *values, *[None] * (len(sequences) - len(published))])
    rows += [None] if published else []
    rows += [line("straight ahead, constant speed", baseline), line("dopi_jax", ours)]

    headers = ["Method", *(f"Seq. {s}" for s in sequences)]
    where = f"{data} odometry" if published else data
    title = f"ATE in metres, {length}-frame snippets, {where}: mean ± std{count_left_out(left_out)}"
    table = render_table(title, headers, rows)
    counts = ", ".join(f"{name}: {len(ours[name])}" for name in sequences if name in ours)
    return "\n".join(
        [
            table,
            f"Snippets evaluated: {counts}.",
            *_backwards(backwards or {}),
            *(_OF_LENGTHS if published else ()),
            *why_left_out(left_out),
        ]
    )


def _backwards(counts: Mapping[str, int]) -> list[str]:
    """A line where the scale of some snippets is not positive: the protocol accepts motion predicted backwards."""
    found = ", ".join(f"{name}: {count}" for name, count in counts.items() if count)
    return [f"Snippets whose scale is not positive, so that a motion backwards counts as right: {found}."] if found else []


def trajectory_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Lists what Table III does not report of a trajectory: rotation, and drift under one global scale.

    Args:
      results: by sequence, the merged results of `trajectory_ate` and `kitti_odometry_errors`, and the mean
        rotation error of the snippets in radians, `rotation_error`, with `straight_ahead_rotation_error` beside it; and,
        where metres are known otherwise than by the truth, `metric_scale` and `metric_t_rel_percent`.
    """
    headers = ["Sequence", "rotation [deg]", "of straight ahead", "global ATE [m]", "scale", "t_rel [%]"]
    headers += ["r_rel [deg/100 m]", "segments"]
    in_metres = any("metric_scale" in result for result in results.values())
    headers += ["scale by camera height", "t_rel [%] with it"] if in_metres else []
    rows = []
    for name, result in results.items():
        drift = [result["t_rel_percent"], result["r_rel_deg_per_100m"]]
        by_height = [result.get(key, np.nan) for key in ("metric_scale", "metric_t_rel_percent")] if in_metres else []
        rows.append(
            [
                name,
                float(np.degrees(result["rotation_error"])),
                float(np.degrees(result["straight_ahead_rotation_error"])),
                result["rmse"],
                result["scale"],
                *(None if np.isnan(value) else value for value in drift),
                result["segments"],
                *(None if np.isnan(value) else value for value in by_height),
            ]
        )
    return render_table("Whole trajectories after one similarity alignment", headers, rows)


def flow_table(
    ours: Mapping[str, FlowAverages],
    evaluated: int,
    expected: int,
    baselines: Mapping[str, FlowAverages] | None = None,
    left_out: Sequence[str] = (),
    data: str = KITTI,
) -> str:
    """Puts flow results beside the paper's Tables IV and V.

    Args:
      ours: result of `average_flow_metrics` by the label of its row; the flow network alone, which is what the paper
        reports, comes first.
      evaluated: number of pairs of the KITTI 2015 training set that were evaluated.
      expected: number of pairs in that set.
      baselines: the same for what a result must beat, such as no motion at all.
      left_out: why available pairs were not evaluated, one sentence each.
      data: what the pairs are of; the paper's rows are shown for `KITTI` alone.

    Returns:
      The table: all pixels with ground truth, mean over pairs.
    """

    def measured(label: str, averages: FlowAverages) -> list[Cell]:
        return [label, averages["all"]["epe"], 100 * averages["all"]["fl"], ""]

    rows, notes = [], ["F1: percent of pixels off by more than 3 px and 5 %."]
    title = f"Optical flow, {data}: {evaluated} pairs{count_left_out(left_out)}"
    if data == KITTI:
        rows += [None, *([r["method"], r["train_epe"], r["train_f1"], _test_f1(r)] for r in paper_table("flow"))]
        rows += [None, *([r["method"], r["train_epe"], r["train_f1"], ""] for r in paper_table("flow_ablation"))]
        title = f"Optical flow, KITTI 2015: {evaluated} of {expected} pairs of the training set{count_left_out(left_out)}"
        notes = [
            "F1: percent of pixels off by more than 3 px and 5 %. The rows from Basic on are the paper's ablation, Table V.",
            "* after supervised tuning on the training set.",
        ]
    if baselines:
        rows += [None, *(measured(label, averages) for label, averages in baselines.items())]
    rows += [None, *(measured(label, averages) for label, averages in ours.items())]
    table = render_table(title, ["Method", "EPE", "F1", "F1 on test set"], rows[1:], decimals=2)
    if evaluated < expected and data == KITTI:
        notes.append(f"Only {evaluated} of {expected}: not comparable with the paper's rows, which are for all.")
    return "\n".join([table, *notes, *why_left_out(left_out)])


def flow_pair_table(results: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]) -> str:
    """Lists the flow of every pair.

    Args:
      results: by pair (or "mean") and method, the result of `regional_flow_metrics` (or `average_flow_metrics`).
    """
    rows: list[Sequence[Cell] | None] = []
    for pair, methods in results.items():
        rows.append(None)
        for method, regions in methods.items():
            values = [regions.get(region, {}).get(name) for region in ("all", "noc") for name in ("epe", "fl")]
            rows.append([pair, method, *(v if v is None or i % 2 == 0 else 100 * v for i, v in enumerate(values))])
    headers = ["Pair", "Method", "EPE", "F1", "EPE noc", "F1 noc"]
    return render_table("Optical flow, pair by pair", headers, rows[1:], decimals=2)


def flow_region_table(results: Mapping[str, FlowAverages], data: str = "") -> str:
    """Lists what Table IV does not report of flow: every region, averaged in both ways.

    Args:
      results: result of `average_flow_metrics` by the label of its rows.
      data: what the pairs are of, where there are several such tables.
    """
    rows: list[Sequence[Cell] | None] = []
    for label, averages in results.items():
        rows.append(None)
        for region, a in averages.items():
            errors = [a["epe"], 100 * a["fl"], a["epe_pooled"], 100 * a["fl_pooled"]]
            rows.append([label, region, *errors, a["images"], a["pixels"]])
    headers = ["Method", "region", "EPE", "F1", "EPE pooled", "F1 pooled", "pairs", "pixels"]
    start = f"{data}, by region" if data else "By region"
    title = f"{start}: mean over pairs as in the paper's code, and pooled over pixels as on the KITTI server"
    note = "noc, occ: what stays inside the next image, and what leaves it; moving, static: by the object maps, if at hand."
    return "\n".join([render_table(title, headers, rows[1:], decimals=2), note])


def _spread(mean: float, std: float) -> str:
    return f"{_as_printed(mean)} ± {_as_printed(std)}"


def _test_f1(row: Mapping[str, Cell]) -> str:
    tuned = "*" if row["test_after_supervised_tuning"] else ""
    return "-" if row["test_f1"] is None else f"{row['test_f1']:.2f}{tuned}"


def _as_printed(value: float) -> str:
    """Four decimals, or three and a space where the fourth would be a zero: most of Table III has three."""
    text = f"{value:.4f}"
    return text[:-1] + " " if text.endswith("0") else text
