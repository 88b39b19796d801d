"""The Python that README shows, as it stands there."""

import pathlib
import re

import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.trained_model import Model

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

pytestmark = pytest.mark.usefixtures("quick_compile")


def block(word):
    (found,) = [text for text in BLOCKS if word in text]
    return found


def test_every_block_is_run_here():
    assert len(BLOCKS) == 2


def test_the_model_in_a_program(monkeypatch):
    monkeypatch.setattr(Model, "network_size", lambda model, size: size)  # a tenth of what it is made for
    texture = np.random.default_rng(0).integers(0, 255, (6, 12, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    frames = np.stack([np.roll(texture, -2 * shift, axis=1)[:64, :160] for shift in range(3)])
    names = {"frames": frames, "video": frames, "K": np.array([[120.0, 0, 80], [0, 120.0, 32], [0, 0, 1]])}
    exec(block('load("driving")'), names)
    out, frame = names["out"], names["frame"]
    assert out.depth.shape == (3, 64, 160) and out.poses.shape == (3, 4, 4) and out.visible.shape == (2, 64, 160)
    np.testing.assert_allclose(frame.depth, out.depth[-1], rtol=1e-3)


def test_the_geometry_library():
    depth = jnp.full((16, 24), 5.0)
    points = jnp.asarray(np.random.default_rng(0).uniform(0, 16, (20, 2)), jnp.float32)
    names = {
        "vector": jnp.array([0.1, 0, -0.5, 0, 0.02, 0]),
        "K": jnp.array([[20.0, 0, 12], [0, 20.0, 8], [0, 0, 1]]),
        "depth": depth,
        "source_depth": depth,
        "source_image": jnp.zeros((16, 24, 3)),
        "points": points,
        "source_points": points + 0.3,
    }
    exec(block("pose_from_matches"), names)
    assert names["flow"].shape == (16, 24, 2) and names["masks"].visible.shape == (16, 24)
    assert names["motion"].source_from_target.shape == (4, 4)
