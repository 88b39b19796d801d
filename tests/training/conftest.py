"""Two things to train: a weight vector, which compiles at once, and the lite networks on waves."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dopi_jax.config import Config
from dopi_jax.training import TrainState, loop, parallel
from dopi_jax.training.bad_steps import update_if_finite

HEIGHT, WIDTH = 64, 96


def weight_state(_config=None, _frozen=None, _initial=None, size=3, pretrained=False):
    weights = jnp.zeros(size)
    return TrainState(jnp.zeros((), jnp.int32), {"w": weights}, {"mean": jnp.zeros(())}, {"momentum": weights})


def weight_step(_config=None):
    """Least squares by gradient descent with momentum, data parallel as the step of the networks is."""

    def step(state, batch):
        def loss_of(params):
            return jnp.mean((batch["x"] @ params["w"] - batch["y"]) ** 2)

        loss, gradient = jax.value_and_grad(loss_of)(state.params)
        loss, gradient, mean = parallel.mean_across_devices((loss, gradient, jnp.mean(batch["y"])))
        metrics = {"loss": loss, "grad_norm": optax.tree.norm(gradient)}
        return update_if_finite(metrics, state, update, gradient, mean), metrics

    def update(state, gradient, mean):
        momentum = 0.5 * state.opt_state["momentum"] + gradient["w"]
        params = {"w": state.params["w"] - 0.1 * momentum}
        return state.replace(params=params, batch_stats={"mean": mean}, opt_state={"momentum": momentum})

    return step


def weight_batch(step, size=4):
    x = np.random.default_rng(step).standard_normal((size, 3)).astype(np.float32)
    return {"x": x, "y": x @ np.array([1, 2, 3], np.float32)}


def weight_batches(first):
    """As `training_batches`: without end, and a function of the step alone."""
    while True:
        first += 1
        yield weight_batch(first)


@pytest.fixture
def weights(monkeypatch):
    """The training loop with the weight vector in place of the networks, and its batches."""
    monkeypatch.setattr(loop, "create_state", weight_state)
    monkeypatch.setattr(loop, "train_step", weight_step)
    return SimpleNamespace(state=weight_state, step=weight_step, batch=weight_batch, batches=weight_batches)


@pytest.fixture
def state_at(weights):
    """A function of a step that makes a replicated state whose weights are that number."""

    def state(step, devices=None):
        value = jnp.full(3, float(step))
        state = weights.state().replace(params={"w": value}, opt_state={"momentum": value})
        return parallel.replicate(state.replace(step=jnp.asarray(step, jnp.int32)), devices)

    return state


@pytest.fixture
def small_config():
    config = Config()
    config.model.depth = config.model.pose = "lite"
    config.data.height, config.data.width = HEIGHT, WIDTH
    config.data.augment = False
    config.train.steps = 2  # the same in all tests, for the schedule of the rate is part of the program
    return config


@pytest.fixture
def wave_batch():
    """A function of the step that makes a batch for the networks: waves that move to the left.

    Smooth, so that rounding moves the gradient as little as itself: that of warped noise jumps from pixel to pixel.
    """

    def batch(step, size=4, width=WIDTH):
        rng = np.random.default_rng(step)
        rows, columns = np.mgrid[:HEIGHT, :width]
        x, y, phase = rng.uniform(0.1, 0.5, (3, size, 3, 4))

        def frame(time):
            angle = (columns[..., None, None] + 2 * time) * x[:, None, None] + rows[..., None, None] * y[:, None, None]
            return np.sin(angle + 20 * phase[:, None, None]).mean(-1)

        K = np.array([[80, 0, width / 2], [0, 80, HEIGHT / 2], [0, 0, 1]], np.float32)
        images = np.stack([frame(-1), frame(0), frame(1)], axis=1)
        return {
            "frames": np.round(127.5 * (images + 1)).astype(np.uint8),
            "intrinsics": np.tile(K, (size, 1, 1)),
            "index": np.arange(size * step, size * (step + 1), dtype=np.uint32),
        }

    return batch


@pytest.fixture
def four_devices():
    if jax.local_device_count() < 4:
        pytest.skip(f"needs 4 devices, found {jax.local_device_count()} of {jax.devices()[0].platform}")
    return jax.local_devices()[:4]
