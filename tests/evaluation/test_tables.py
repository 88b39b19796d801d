import json

import numpy as np
import pytest

from dopi_jax import evaluation
from dopi_jax.evaluation import DEPTH_METRICS, depth_table, paper_table, pose_table, render_table, trajectory_table

RESULT = {**dict.fromkeys(DEPTH_METRICS, 0.5), "abs_rel": 0.123, "scale_median": 4.0, "scale_std": 1.0}


def row_of(table, label):
    (line,) = [line for line in table.splitlines() if line.startswith(label)]
    return line


def test_text_is_aligned_to_the_left_and_numbers_to_the_right():
    table = render_table("Title", ["name", "n", "value"], [["a", 5, 0.25], None, ["longer", 1000, None]])
    assert table.splitlines() == [
        "Title",
        "-------------------",
        "name       n  value",
        "-------------------",
        "a          5  0.250",
        "-------------------",
        "longer  1000      -",
        "-------------------",
    ]


def test_paper_tables_are_complete():
    sizes = {name: len(paper_table(name)) for name in ("depth", "depth_ablation", "pose", "flow", "flow_ablation")}
    assert sizes == {"depth": 27, "depth_ablation": 4, "pose": 10, "flow": 9, "flow_ablation": 4}


def test_headline_numbers_of_the_paper():
    from_scratch, with_cityscapes = (row for row in paper_table("depth") if row["method"] == "The paper")
    assert (from_scratch["data"], from_scratch["abs_rel"], from_scratch["a1"]) == ("K", 0.140, 0.827)
    assert (with_cityscapes["data"], with_cityscapes["abs_rel"], with_cityscapes["a1"]) == ("CS+K", 0.132, 0.835)
    assert paper_table("pose")[-1] == {
        "method": "The paper", "09_mean": 0.0081, "09_std": 0.0044, "10_mean": 0.0082, "10_std": 0.0064
    }  # fmt: skip
    assert paper_table("flow")[-1]["train_epe"] == paper_table("flow_ablation")[-1]["train_epe"] == 6.66


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("depth", "table1_depth_eigen_697_cap80"),
        ("depth_ablation", "table2_depth_ablation"),
        ("pose", "table3_pose_ate"),
        ("flow", "table4_flow_kitti2015"),
        ("flow_ablation", "table5_flow_ablation"),
    ],
)
def test_every_number_is_the_papers(shared, name, source):
    published = json.loads((shared / "spec" / "paper_tables.json").read_text())[source]

    def numbers(rows):
        return [[value for value in row.values() if not isinstance(value, str)] for row in rows]

    assert numbers(paper_table(name)) == numbers(published)


def test_depth_table_shows_ours_beside_the_papers_and_says_how_much_was_evaluated():
    table = depth_table({"dopi_jax, cc": RESULT}, 25, 697, {"constant depth": {**RESULT, "abs_rel": 0.354}})
    assert "25 of 697" in table.splitlines()[0]
    assert "not comparable" in table
    assert row_of(table, "Liu et al. [8]").split()[-9:-5] == ["Depth", "K", "0.202", "1.614"]
    assert row_of(table, "Basic + Occ + LTM + MN").split()[-7] == "0.140"
    assert row_of(table, "constant depth").split()[-7] == "0.354"
    assert row_of(table, "dopi_jax, cc  ").split()[-7] == "0.123"
    assert "scale ratio median 4, standard deviation 1 (25.0% of it)" in table
    assert max(map(len, table.splitlines())) <= 100


def test_depth_table_of_the_whole_list_has_no_reservation():
    table = depth_table({"dopi_jax": RESULT}, 697, 697)
    assert "697 of 697" in table
    assert "comparable" not in table


def test_pose_table_gives_each_sequence_a_column_and_the_baseline_a_row():
    ours = {"09": np.array([0.01, 0.03]), "03 (600-800)": np.array([0.005, 0.005, 0.005])}
    baseline = {"09": np.array([0.04, 0.04]), "03 (600-800)": np.array([0.006, 0.006, 0.006])}
    table = pose_table(ours, baseline)
    assert "3-frame" in table.splitlines()[0]
    assert row_of(table, "Method").split("  ")[-1] == "Seq. 03 (600-800)"
    assert row_of(table, "The paper ").split() == "The paper 0.0081 ± 0.0044 0.0082 ± 0.0064 -".split()
    assert row_of(table, "GANVO").split() == "GANVO [17] 0.009 ± 0.005 0.010 ± 0.013 -".split()
    assert row_of(table, "straight").split()[-8:] == "speed 0.040 ± 0.000 - 0.006 ± 0.000".split()[-8:]
    assert row_of(table, "dopi_jax").split() == "dopi_jax 0.020 ± 0.010 - 0.005 ± 0.000".split()
    assert "09: 2, 03 (600-800): 3" in table
    assert max(map(len, table.splitlines())) <= 100


def test_trajectory_table_shows_degrees_and_leaves_out_what_a_short_path_lacks():
    short = {
        "rotation_error": np.pi / 180, "straight_ahead_rotation_error": np.pi / 90, "rmse": 1.5, "scale": 30.0,
        "t_rel_percent": float("nan"), "r_rel_deg_per_100m": float("nan"), "segments": 0,
    }  # fmt: skip
    long = {**short, "t_rel_percent": 2.607, "r_rel_deg_per_100m": 0.288, "segments": 958}
    table = trajectory_table({"03 (600-800)": short, "09": long})
    assert row_of(table, "03").split() == ["03", "(600-800)", "1.000", "2.000", "1.500", "30.000", "-", "-", "0"]
    assert row_of(table, "09").split() == ["09", "1.000", "2.000", "1.500", "30.000", "2.607", "0.288", "958"]

    by_height = {**long, "metric_scale": 28.0, "metric_t_rel_percent": 7.5}
    table = trajectory_table({"03": {**short, "metric_scale": 29.0, "metric_t_rel_percent": np.nan}, "09": by_height})
    assert row_of(table, "03").split()[-4:] == ["-", "0", "29.000", "-"]
    assert row_of(table, "09").split()[-3:] == ["958", "28.000", "7.500"]


def test_on_drawn_streets_there_are_no_rows_of_kitti():
    averages = {"all": {"epe": 2.0, "fl": 0.1}}
    zeros = {"1": np.zeros(4)}
    metrics = dict.fromkeys(evaluation.DEPTH_METRICS, 0.1) | {"scale_median": 1.0, "scale_std": 0.1}
    for table in (
        evaluation.depth_table({"dopi_jax": metrics}, 49, 697, {"constant": metrics}, data=evaluation.DRAWN_STREETS),
        evaluation.pose_table(zeros, zeros, data=evaluation.DRAWN_STREETS),
        evaluation.flow_table({"dopi_jax": averages}, 5, 200, data=evaluation.DRAWN_STREETS),
    ):
        assert "drawn streets" in table
        for word in ("KITTI", "Zhou", "697", "200 pairs", "paper"):
            assert word not in table
