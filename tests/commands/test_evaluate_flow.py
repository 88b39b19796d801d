import dataclasses
import json
import zipfile

import numpy as np
import pytest

from dopi_jax.config import Config
from dopi_jax.data import tracking
from dopi_jax.data.sources import kitti_flow
from dopi_jax.experiments import evaluate_flow
from dopi_jax.experiments.evaluation_run import EvaluationRun
from dopi_jax.formats import read_kitti_flow

HEIGHT, WIDTH = 64, 208


@pytest.fixture
def run(shared, tmp_path):
    config = Config()
    config.data.height, config.data.width = HEIGHT, WIDTH
    return EvaluationRun(config, (shared / "data",), tmp_path, {}, 7)


def to_the_right(target, sources, rigid):
    assert target.shape == (HEIGHT, WIDTH, 3) and sources.shape == (2, HEIGHT, WIDTH, 3)
    assert -1 <= target.min() and target.max() <= 1
    return np.tile([2.0, 0.0], (HEIGHT, WIDTH, 1))


def stands_still(target, sources, intrinsics, matches):
    return np.zeros((2, HEIGHT, WIDTH, 2)), np.zeros((2, HEIGHT, WIDTH), bool)


def nothing_moves(target, sources, intrinsics, matches):
    np.testing.assert_allclose(intrinsics[0, 0], 721.5377 * WIDTH / 1242)
    return stands_still(target, sources, intrinsics, matches)


def test_tables_details_and_pictures(run, capsys):
    evaluate_flow.evaluate_flows(run, to_the_right, nothing_moves)
    printed = capsys.readouterr().out
    assert "1 of 200 pairs" in printed and "The paper" in printed and "dopi_jax, composite" in printed
    results = json.loads((run.workdir / "evaluation/flow.json").read_text())
    still = results["baselines"]["no motion"]
    # 2 px of 208 are 12 px of 1242; the true motion of this scene is 9 px long on average.
    (scene,) = kitti_flow.training_scenes(run.roots)
    truth = scene.ground_truth()
    error = truth.flow[truth.valid] - [2 * 1242 / WIDTH, 0]
    assert results["dopi_jax, flow network"]["all"]["epe"] == pytest.approx(np.mean(np.hypot(*error.T)))
    assert results["dopi_jax, rigid flow"] == results["dopi_jax, composite"] == still
    assert still["all"]["pixels"] == still["noc"]["pixels"] + still["occ"]["pixels"]
    assert {path.name for path in (run.workdir / "evaluation").iterdir()} == {
        "flow.txt", "flow.json", "flow.csv", "flow_2015_000010.png"
    }  # fmt: skip
    assert len((run.workdir / "evaluation/flow.csv").read_text().splitlines()) == 1 + 4 * 3


def test_both_benchmarks_are_in_one_table_pair_by_pair_and_in_the_mean(run, shared, capsys):
    with_more = dataclasses.replace(run, roots=(shared / "data", shared / "more"))
    with pytest.warns(UserWarning, match="1 of 1 scenes .* have no frame 09"):
        evaluate_flow.evaluate_flows(with_more, None, stands_still)
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "no motion" in line]
    listed = {row[0]: float(row[3]) for row in rows if row[0].startswith(("2012", "2015", "mean"))}
    # As the data sets' own description has them.
    assert listed == {
        "2015_000010": 9.03, "2015_000003": 14.48, "2012_000074": 34.27, "2012_000151": 47.49, "mean": 26.32
    }  # fmt: skip
    results = json.loads((run.workdir / "evaluation/flow.json").read_text())
    assert results["evaluated"] == 2
    assert results["benchmarks"]["KITTI 2012"]["no motion"]["all"]["epe"] == pytest.approx(40.88, abs=0.01)


def test_rigid_flow_follows_corners_where_the_config_asks_for_it(run):
    seen = []

    def looks_at_matches(target, sources, intrinsics, matches):
        seen.append(matches)
        return nothing_moves(target, sources, intrinsics, matches)

    evaluate_flow.evaluate_flows(run, None, looks_at_matches)
    run.config.prediction.matched_motion = True
    evaluate_flow.evaluate_flows(run, None, looks_at_matches)
    without, matches = seen
    assert without is None and matches.shape == (2, tracking.CORNERS, 4)
    found = matches[1][np.isfinite(matches[1]).all(1)]
    assert len(found) > 100 and found[:, 0].max() <= WIDTH - 1 and found[:, 1].max() <= HEIGHT - 1


def test_the_flow_network_alone_is_enough(run, capsys):
    evaluate_flow.evaluate_flows(run, to_the_right, None)
    assert "composite" not in capsys.readouterr().out


def test_rigid_flow_alone_is_enough(run, capsys):
    evaluate_flow.evaluate_flows(run, None, nothing_moves)
    printed = capsys.readouterr().out
    assert "dopi_jax, rigid flow" in printed and "composite" not in printed and "flow network" not in printed


def test_a_submission_is_a_zip_with_flow_maps_of_native_size(run, tmp_path, capsys):
    root = tmp_path / "data"
    (root / "kitti_flow_2015").mkdir(parents=True)
    (root / "kitti_flow_2015/testing").symlink_to(run.roots[0] / "kitti_flow_2015/training")
    run = EvaluationRun(run.config, (root,), tmp_path, {}, 7)
    folder = evaluate_flow.write_submission(run, to_the_right, None)
    assert zipfile.ZipFile(folder.with_suffix(".zip")).namelist() == ["flow/", "flow/000010_10.png"]
    flow, valid = read_kitti_flow(folder / "flow/000010_10.png")
    assert valid.shape == (375, 1242) and valid.all()
    np.testing.assert_allclose(flow, np.tile([2 * 1242 / WIDTH, 0], (375, 1242, 1)), atol=1 / 128)
    assert "expects all 200 scenes" in capsys.readouterr().err
