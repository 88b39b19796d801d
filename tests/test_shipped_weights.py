"""The weights that come with the package."""

import numpy as np
import pytest

import dopi_jax
from dopi_jax import evaluation, formats
from dopi_jax.data.images import read_image
from dopi_jax.data.selection import select_sequences
from dopi_jax.data.sources import kitti_flow
from dopi_jax.data.velodyne import eigen_test_images
from dopi_jax.model_file import shipped_models


@pytest.fixture(scope="module")
def driving():
    return dopi_jax.load("driving")


def test_they_are_small_and_have_a_model_card():
    path = shipped_models()["driving"]
    assert path.stat().st_size < 16 * 2**20
    card = path.with_suffix(".md").read_text()
    for part in ("CC BY-NC-SA", "AbsRel", "steps"):
        assert part in card


def test_depth_of_unseen_frames(driving, shared):
    images, _ = eigen_test_images(shared / "data")
    some = images[::5]
    depths = driving(np.stack([read_image(image.image) for image in some]), flow=False).depth
    metrics = [evaluation.depth_metrics(i.ground_truth(), d) for i, d in zip(some, depths, strict=True)]
    assert np.mean([m["abs_rel"] for m in metrics]) < 0.28  # a depth per row, fitted on them, has 0.33


def test_motion_of_unseen_frames(driving, shared):
    (sequence,) = select_sequences(shared / "data", "kitti_odometry:03[750:762]")  # a turn
    truth = formats.read_kitti_poses(shared / "data/kitti_odometry/poses/03.txt")[list(sequence.numbers)]
    frames = np.stack([read_image(frame) for frame in sequence.frames])
    poses = driving(frames, sequence.intrinsics_at(frames.shape[1:3]), flow=False).poses
    ate, rotation = evaluation.sliding_snippet_ate(truth, poses, 3)
    straight, turning = evaluation.snippet_ate(
        evaluation.trajectory_snippets(truth, 3), evaluation.straight_ahead_baseline(3)
    )
    assert np.mean(ate) < 0.75 * np.mean(straight)
    assert np.degrees(np.mean(rotation)) < 0.06 < 0.1 * np.degrees(np.mean(turning))


def test_flow_of_a_pair_that_trained_nothing(driving, shared):
    (scene,) = kitti_flow.training_scenes([shared / "data"])
    truth = scene.ground_truth()
    pair = np.stack([read_image(frame) for frame in scene.snippet.frames[1:]])
    found = driving(pair, scene.snippet.intrinsics)
    metrics = evaluation.flow_metrics(truth.flow, found.flow[0], truth.valid)
    assert metrics["epe"] < 3 and metrics["fl"] < 0.12  # no motion: 9.03 px, 75 %
    # What stays inside the next image can mostly be seen there, and of what leaves it little.
    visible = found.visible[0]
    assert np.mean(visible[truth.valid_noc]) > 0.8
    assert np.mean(visible[truth.valid & ~truth.valid_noc]) < 0.4
