"""The weights that come with the package."""

import numpy as np
import pytest

import dopi_jax
from dopi_jax import evaluation
from dopi_jax.data.images import read_image
from dopi_jax.data.velodyne import eigen_test_images
from dopi_jax.model_file import shipped_models

pytestmark = pytest.mark.usefixtures("quick_compile")


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
    depths = driving(np.stack([read_image(image.image) for image in some])).depth
    metrics = [evaluation.depth_metrics(i.ground_truth(), d) for i, d in zip(some, depths, strict=True)]
    assert np.mean([m["abs_rel"] for m in metrics]) < 0.28  # a depth per row, fitted on them, has 0.33


def test_motion_goes_forward(driving, shared):
    frames = sorted((shared / "data/kitti_odometry/sequences/03").glob("image_*/*"))[640:646]
    K = np.array([[721.5, 0, 609.6], [0, 721.5, 172.9], [0, 0, 1]])
    poses = driving(np.stack([read_image(frame) for frame in frames]), K).poses
    steps = np.diff(poses[:, :3, 3], axis=0)
    assert (steps[:, 2] > 0).all()
    assert np.abs(steps[:, :2]).max() < 0.3 * steps[:, 2].min()

