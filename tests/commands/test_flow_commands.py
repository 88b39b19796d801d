"""Phase 2 from the command line: train.py, taught by a run of phase 1, and evaluate.py --task flow."""

import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from dopi_jax import config as config_lib
from dopi_jax.training import restore_variables

pytestmark = pytest.mark.usefixtures("quick_compile")


def metrics(workdir, group):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if f"{group}/loss" in line}


def stored_config(workdir):
    return config_lib.from_json((workdir / "config.json").read_text())


def test_a_config_trains(trained_flow):
    assert trained_flow.said.status == 0, trained_flow.said.err
    assert "Traceback" not in trained_flow.said.err
    training = metrics(trained_flow.workdir, "train")
    assert list(training) == [1, 2]
    assert {"train/reconstruction", "train/consistency", "train/smoothness", "train/taught"} <= set(training[2])
    validation = metrics(trained_flow.workdir, "validation")[2]
    assert {"validation/photometric", "validation/rigid_distance", "validation/epe", "validation/fl"} <= set(validation)
    panel = np.asarray(Image.open(trained_flow.workdir / "images/snippet_0000002.png"))
    assert panel.shape == (3 * 64 + 8, 4 * 128 + 12, 3)


def test_a_run_of_phase_2_holds_the_best_networks_that_taught_it_unchanged(trained, trained_flow):
    variables, step = restore_variables(trained_flow.workdir, stored_config(trained_flow.workdir))
    assert step == 2 and set(variables) == {"flow", "depth", "pose"}
    teachers, _ = restore_variables(trained.workdir, stored_config(trained.workdir), "best")
    jax.tree.map(np.testing.assert_array_equal, {name: variables[name] for name in ("depth", "pose")}, teachers)


@pytest.mark.slow
def test_it_goes_on_though_the_run_that_taught_it_is_gone(command, trained, trained_flow, tmp_path):
    workdir, gone = tmp_path / "flow", tmp_path / "gone"
    shutil.copytree(trained_flow.workdir, workdir)
    config = stored_config(workdir)
    config.depthpose = str(gone)
    (workdir / "config.json").write_text(config_lib.to_json(config))
    again = (*trained_flow.arguments, f"--workdir={workdir}", f"--config.depthpose={gone}", "--config.train.steps=3")
    said = command("train", *again)
    assert said.status == 0, said.err
    assert "resumed from step 2" in said.err


def test_evaluation_prints_the_network_alone_first_and_then_rigid_and_composite(command, trained_flow):
    said = command("evaluate", "--task=flow", f"--workdir={trained_flow.workdir}")
    assert said.status == 0, said.err
    rows = [line for line in said.out.splitlines() if line.startswith("dopi_jax")]
    assert [row.split("  ")[0] for row in rows[:3]] == [
        "dopi_jax, flow network", "dopi_jax, rigid flow", "dopi_jax, composite"
    ]  # fmt: skip
    summary = json.loads((trained_flow.workdir / "evaluation/flow.json").read_text())
    assert (summary["evaluated"], summary["expected"], summary["step"]) == (1, 200, 2)
    assert summary["baselines"]["no motion"]["all"]["epe"] == pytest.approx(1.0)
    validated = metrics(trained_flow.workdir, "validation")[2]["validation/epe"]
    assert summary["dopi_jax, flow network"]["all"]["epe"] == pytest.approx(validated, rel=1e-4)


def test_the_task_flow_means_the_run_of_phase_2_unless_another_is_named(command):
    said = command("evaluate", "--task=flow")
    assert said.status == 1 and "no run in runs/kitti_flow: expected runs/kitti_flow/config.json" in said.err
    said = command("evaluate", "--task=flow", "--config=configs/demo_depthpose.py:occ")
    assert said.status == 1 and "no run in runs/demo_depthpose_occ: expected" in said.err


def test_depth_and_motion_of_a_run_of_phase_2_are_those_of_its_teachers(command, trained_flow):
    said = command("evaluate", "--task=depth", f"--workdir={trained_flow.workdir}")
    assert said.status == 0, said.err
    assert "3 of 697" in said.out


@pytest.mark.slow
def test_basic_needs_no_phase_1_and_is_chosen_by_true_flow(command, trained_flow, toy_flow, tmp_path):
    here = (f"--config.data.root={trained_flow.root}", f"--workdir={tmp_path}")
    basic = ("--config=configs/kitti_flow.py:basic,released", *toy_flow, *here, "--config.train.batch_size=4")
    said = command("train", *basic, "--config.train.steps=1")
    assert said.status == 0, said.err
    best = json.loads((tmp_path / "best.json").read_text())
    assert best == {"step": 1, "score": metrics(tmp_path, "validation")[1]["validation/epe"], "by": "epe"}
    said = command("evaluate", "--task=flow", *here)
    assert said.status == 0 and "rigid flow" not in said.out, said.err
    said = command("evaluate", "--task=depth", *here)
    assert said.status == 1
    assert "has no depth network, only flow: name another run with --workdir" in said.err


def wrong(*more):
    return pytest.param(more[:-1], more[-1], id=more[0].partition("=")[0].removeprefix("--config."))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        wrong("--config.depthpose=", "config.depthpose is empty: phase 2 is taught by"),
        wrong("--config.depthpose=nowhere", "config.depthpose is 'nowhere': expected the folder of a run of phase 1"),
        wrong("--config.model.depth=resnet6", "has model.depth = 'lite', but the config asks for 'resnet6': name"),
        wrong("--config.loss.normalize_all_disparities", "has loss.normalize_all_disparities = False, but"),
        wrong("--config.data.width=100", "config.data.width is 100: expected a multiple of 32"),
        wrong(
            "--config.data.width=416",
            "--config.model.flow=back2future",
            "--config.flow_loss.shown_rigid=0",
            "config.data.width is 416: expected a multiple of 64",
        ),
        wrong("--config.model.flow=back2future", 'are for the flow network \'lite\' alone'),
        wrong("--config.train.best_by=abs_rel", "best_by is 'abs_rel': expected one of photometric, latest, epe"),
        wrong("--config.phase=3", "config.phase is '3': expected one of depthpose, flow"),
    ],
)
def test_what_is_wrong_is_one_sentence(command, trained_flow, tmp_path, arguments, message):
    said = command("train", *trained_flow.arguments, f"--workdir={tmp_path / 'run'}", *arguments)
    assert said.status == 1
    assert message in said.err.splitlines()[-1] and "Traceback" not in said.err
    assert not (tmp_path / "run").exists()


def test_a_run_of_phase_2_cannot_teach(command, trained_flow, tmp_path):
    said = command(
        "train", *trained_flow.arguments, f"--workdir={tmp_path}", f"--config.depthpose={trained_flow.workdir}"
    )
    assert said.status == 1 and "a run of phase 'flow': name one of phase 1" in said.err


def test_a_folder_belongs_to_one_phase_and_one_teacher(command, trained, trained_flow):
    said = command("train", *trained_flow.arguments, f"--workdir={trained.workdir}")
    assert said.status == 1 and "holds a run with phase = 'depthpose', but the config asks for 'flow'" in said.err
    said = command("train", *trained_flow.arguments, "--config.depthpose=another")
    assert said.status == 1 and "but the config asks for 'another'" in said.err


@pytest.mark.slow
def test_the_flow_network_of_the_shipped_model_trains_beside_its_depth_and_motion(command, tiny_kitti, tmp_path):
    """configs/driving_flow.py as it is, but for size and data; then its flow is evaluated beside its rigid flow."""
    run = f"--workdir={tmp_path / 'run'}", f"--config.data.root={tiny_kitti}"
    said = command(
        "train",
        "--config=configs/driving_flow.py",
        *run,
        "--config.data.height=64",
        "--config.data.width=96",
        "--config.data.train=kitti_odometry:03",
        "--config.data.validation=kitti_raw:eigen_val",
        "--config.train.validation_batches=1",
        "--config.train.batch_size=4",
        "--config.train.steps=2",
    )
    assert said.status == 0, said.err
    said = command("evaluate", "--task=flow", *run)
    assert said.status == 0, said.err
    assert "dopi_jax, flow network" in said.out and "dopi_jax, rigid flow" in said.out
    said = command("train", "--config=configs/demo_flow.py", *run, "--config.depthpose=nowhere.npz")
    assert said.status == 1
