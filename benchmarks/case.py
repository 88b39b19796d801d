"""What is measured: a phase with its networks at one size, as configs, states and batches."""

import dataclasses
from typing import Any

import jax
import numpy as np

from dopi_jax.augment import network_batch
from dopi_jax.config import Config, apply_flow_variant, apply_variant, check
from dopi_jax.networks import network_variables
from dopi_jax.training import create_state, parallel

PHASES = {"1": "depthpose", "2": "flow"}
PRESETS = ("paper", "released")
NETWORKS = {
    "resnet6": {"depth": "resnet6", "pose": "b6", "flow": "back2future"},
    "resnet_s6": {"depth": "resnet_s6", "pose": "b6", "flow": "back2future"},
    "lite": {"depth": "lite", "pose": "lite", "flow": "lite"},
}
"""The depth network names each: it goes with the pose and flow networks that are trained beside it."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One phase, its networks and the shape of its batch.

    Attributes:
      phase: "1" (depth and pose) or "2" (flow).
      networks: A name of `NETWORKS`.
      batch: Snippets.
      height: Rows of an image.
      width: Columns of an image.
      precision: Of the networks, as `config.train.precision`.
      preset: "paper", or "released" for the published code's choices in the objective.
    """

    phase: str
    networks: str
    batch: int
    height: int
    width: int
    precision: str = "float32"
    preset: str = "paper"

    def __str__(self) -> str:
        networks = self.networks if self.preset == "paper" else f"{self.networks}, {self.preset}"
        return f"phase {self.phase}, {networks}, {self.batch} x {self.height} x {self.width}"

    def config(self, variant: str = "full") -> Config:
        """Returns the config of a row of the ablation tables.

        Args:
          variant: "basic", "occ", "occ_ltm" or "full".

        Returns:
          The config.

        Raises:
          UserError: The size does not suit the networks.
        """
        config = Config(phase=PHASES[self.phase])
        config.train.batch_size, config.train.precision = self.batch, self.precision
        config.data.augment = False  # the peer does not
        config.data.height, config.data.width = self.height, self.width
        apply = apply_variant if self.phase == "1" else apply_flow_variant
        apply(config, variant if self.preset == "paper" else f"{variant},{self.preset}")
        for name, value in NETWORKS[self.networks].items():
            setattr(config.model, name, value)
        check(config)
        return config


def initial_state(case: Case) -> Any:
    """Returns the state that every variant's step starts from; untrained teachers in phase 2 change no time."""
    frozen = {}
    if case.phase == "2":
        phase_1 = create_state(dataclasses.replace(case, phase="1").config())
        frozen = network_variables(phase_1.params, phase_1.batch_stats)
    return create_state(case.config(), frozen)


def random_batch(case: Case) -> dict[str, np.ndarray]:
    """Returns a batch of random frames in which, as in photographs, neighbours mostly agree; the same in every run."""
    rng = np.random.default_rng(0)
    rows, columns = -(-case.height // 8), -(-case.width // 8)
    blocks = rng.uniform(-1, 1, (case.batch, 3, rows, columns, 3)).repeat(8, axis=2).repeat(8, axis=3)
    frames = blocks[:, :, : case.height, : case.width] * 0.9
    frames = np.round(127.5 * (frames + rng.uniform(-0.1, 0.1, frames.shape) + 1)).astype(np.uint8)
    return {"frames": frames, "intrinsics": _intrinsics(case), "index": np.arange(case.batch, dtype=np.uint32)}


def random_images(case: Case) -> dict[str, np.ndarray]:
    """Returns the same batch as the networks and the objectives take it: `target`, `sources` and `intrinsics`."""
    return jax.device_get(network_batch(random_batch(case)))


def road_scene(case: Case) -> dict[str, np.ndarray]:
    """Returns depth and motion as on a road: what geometry is measured with, since untrained networks see a flat wall.

    Args:
      case: Its batch and size.

    Returns:
      `depth` [B, H, W] and `source_depths` [B, 2, H, W] in metres, of a road 1.5 m below the camera, a wall 40 m ahead and a
      pole; `poses` [B, 2, 4, 4], 0.8 m backwards and forwards with a slight turn; `intrinsics` [B, 3, 3].
    """
    K = _intrinsics(case)
    y, x = np.mgrid[: case.height, : case.width].astype(np.float32)
    below = np.maximum(y - K[0, 1, 2], 1e-3)
    road = np.minimum(1.5 * K[0, 1, 1] / below, 40.0)

    def depth_at(forward: float) -> np.ndarray:
        is_pole = np.abs(x - (0.7 + 0.01 * forward) * case.width) < case.width / 32
        return np.where(is_pole, 8.0 - forward, np.where(road < 40, road, 40 - forward)).astype(np.float32)

    def pose(forward: float) -> np.ndarray:
        turn = 0.01 * forward
        rotation = [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
        return np.block([[np.array(rotation), np.array([[0.02], [0.01], [-forward]])], [np.zeros((1, 3)), np.ones((1, 1))]])

    def tiled(array: np.ndarray) -> np.ndarray:
        return np.tile(array[None], (case.batch, *[1] * array.ndim)).astype(np.float32)

    motions = (-0.8, 0.8)
    return {
        "depth": tiled(depth_at(0.0)),
        "source_depths": tiled(np.stack([depth_at(forward) for forward in motions])),
        "poses": tiled(np.stack([pose(forward) for forward in motions])),
        "intrinsics": K,
    }


def on_device(batch: dict[str, np.ndarray], device: jax.Device) -> dict[str, jax.Array]:
    """Returns a batch as the train step on one device takes it."""
    mesh = jax.sharding.Mesh(np.asarray([device]), (parallel.AXIS,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(parallel.AXIS))
    return jax.device_put(parallel.split(batch, [device]), sharding)


def _intrinsics(case: Case) -> np.ndarray:
    """Those of KITTI, at this size."""
    K = [[0.58 * case.width, 0, (case.width - 1) / 2], [0, 1.92 * case.height, (case.height - 1) / 2], [0, 0, 1]]
    return np.tile(np.array(K, np.float32), (case.batch, 1, 1))
