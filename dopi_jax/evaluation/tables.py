"""Results beside the paper's tables, as plain text for a terminal."""

import functools
import json
import pathlib
from collections.abc import Mapping, Sequence

from dopi_jax.evaluation.depth import DEPTH_METRICS

Cell = str | int | float | None

KITTI, DRAWN_STREETS = "KITTI", "drawn streets"

_REASONS = 5
_DEPTH_HEADERS = ("AbsRel", "SqRel", "RMSE", "RMSElog", "a1", "a2", "a3")


@functools.cache
def _published() -> dict:
    return json.loads(pathlib.Path(__file__).with_name("paper_tables.json").read_text(encoding="utf-8"))


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
    data: str = KITTI,
) -> str:
    """Puts depth results beside the paper's Tables I and II.

    Args:
      ours: result of `average_depth_metrics` by the label of its row, such as "dopi_jax, cc protocol".
      evaluated: number of images of the test list that were evaluated.
      expected: number of images on the test list.
      baselines: the same for what a result must beat, such as a constant depth.
      left_out: why available images were not evaluated, one sentence each.
      data: what the images are of; the paper's rows are shown for `KITTI` alone.

    Returns:
      The table, and below it how far the predicted scale varies from image to image.
    """

    def line(label: str, row: Mapping[str, Cell]) -> list[Cell]:
        return [label, row.get("supervision", ""), row.get("data", ""), *(row[metric] for metric in DEPTH_METRICS)]

    rows, notes, coverage = [], [], f"{evaluated} images{count_left_out(left_out)}"
    if data == KITTI:
        published = paper_table("depth")
        rows += [None, *(line(row["method"], row) for row in published if row["data"] == "K")]
        rows += [None, *(line(row["method"], row) for row in published if row["data"] == "CS+K")]
        rows += [None, *(line(row["method"], row) for row in paper_table("depth_ablation"))]
        notes = ["Trained on K: KITTI, CS: Cityscapes. The rows from Basic on are the paper's ablation, Table II."]
        coverage = f"{evaluated} of {expected} images of the Eigen test list{count_left_out(left_out)}"
    if baselines:
        rows += [None, *(line(label, metrics) for label, metrics in baselines.items())]
    rows += [None, *(line(label, metrics) for label, metrics in ours.items())]

    table = render_table(f"Depth, {data}, cap 80 m: {coverage}", ["Method", "Sup.", "Data", *_DEPTH_HEADERS], rows[1:])
    notes += [
        f"{label}: scale ratio median {metrics['scale_median']:.4g}, standard deviation {metrics['scale_std']:.3g} "
        f"({metrics['scale_std'] / metrics['scale_median']:.1%} of it)"
        for label, metrics in ours.items()
    ]
    if evaluated < expected and data == KITTI:
        notes.append(f"Only {evaluated} of {expected}: not comparable with the paper's rows, which are for all.")
    return "\n".join([table, *notes, *why_left_out(left_out)])


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


def count_left_out(left_out: Sequence[str]) -> str:
    """Returns the end of a title that counts what was left out."""
    return f", {len(left_out)} left out" if left_out else ""


def why_left_out(left_out: Sequence[str]) -> list[str]:
    """Returns lines for below a table that say why, the first few only."""
    lines = [f"Left out: {reason}" for reason in left_out[:_REASONS]]
    return lines + ([f"Left out: {len(left_out) - _REASONS} more"] if len(left_out) > _REASONS else [])


def _text(cell: Cell, decimals: int) -> str:
    if cell is None:
        return "-"
    return f"{cell:.{decimals}f}" if isinstance(cell, float) else str(cell)
