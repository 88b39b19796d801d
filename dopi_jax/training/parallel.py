"""Data parallelism: the one place that knows of several devices.

A step is written for one device and its share of the batch; `data_parallel` runs it on all of them, and inside it
`mean_across_devices` is the only communication. State is the same on every device.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from flax import jax_utils

from dopi_jax.errors import UserError

AXIS = "devices"


def replicate(tree: Any, devices: Sequence[jax.Device] | None = None) -> Any:
    """Returns the tree with a copy of every array on every device.

    Args:
      tree: Arrays of the host or of one device.
      devices: Where to; all of this process if None.

    Returns:
      The same tree, placed as `data_parallel` places its results: another placement would compile the step twice.
    """
    mesh = jax.sharding.Mesh(np.asarray(devices or jax.local_devices()), (AXIS,))
    # Through the host: a device's own copy would be shared, and the step, which gives its input's memory away, would delete
    # the caller's array with it.
    return jax.device_put(jax.device_get(tree), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def divisible(batch_size: int) -> int:
    """Returns the batch size, or the next larger one that the devices of this process can share evenly."""
    devices = jax.local_device_count()
    return -(-batch_size // devices) * devices


def split(batch: dict[str, np.ndarray], devices: Sequence[jax.Device] | None = None) -> dict[str, np.ndarray]:
    """Returns the batch in one part a device: [B, ...] -> [devices, B / devices, ...].

    Args:
      batch: Arrays with a common leading axis.
      devices: Those to share it; all of this process if None.

    Returns:
      The same arrays, reshaped.

    Raises:
      UserError: The batch cannot be divided evenly.
    """
    parts = len(devices or jax.local_devices())
    size = len(next(iter(batch.values())))
    if size % parts:
        raise UserError(
            f"config.train.batch_size gives each process {size} snippets for {parts} devices: choose a multiple of {parts}"
        )
    return {name: array.reshape(parts, size // parts, *array.shape[1:]) for name, array in batch.items()}


def merge_devices(batch: dict[str, jax.Array]) -> dict[str, np.ndarray]:
    """Undoes `split`, on the host."""
    return {name: array.reshape(-1, *array.shape[2:]) for name, array in jax.device_get(batch).items()}


def prefetched(batches: Iterable[dict[str, np.ndarray]]) -> Iterator[dict[str, jax.Array]]:
    """Yields split batches that are already on their way to the devices while the step before them runs."""
    return jax_utils.prefetch_to_device(map(split, batches), 2, axis_name=AXIS)


def gathered(
    batches: Iterable[dict[str, jax.Array]], resident: dict[str, np.ndarray]
) -> Iterator[dict[str, jax.Array]]:
    """Yields batches made on the devices, of frames that are in their memory.

    Args:
      batches: `snippet` and `index`, split.
      resident: `frames` uint8 [N, H, W, 3], `snippets` int32 [S, 3], `intrinsics` [S, 3, 3] and maybe `matches`
        [S, 2, N, 4], as `dopi_jax.data.reader.ResidentFrames` has them.
    """
    resident = replicate(resident)
    on_all = jax.pmap(gather_snippets, axis_name=AXIS, in_axes=(None, 0))
    return (on_all(resident, batch) for batch in batches)


def gather_snippets(resident: dict[str, jax.Array], batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns the batch that indices name.

    Args:
      resident: As `gathered` takes it.
      batch: `snippet` and `index` [B].

    Returns:
      `frames` [B, 3, H, W, 3], `intrinsics` [B, 3, 3], `index` [B], and `matches` [B, 2, N, 4] where there are some.
    """
    return {
        "frames": resident["frames"][resident["snippets"][batch["snippet"]]],
        "intrinsics": resident["intrinsics"][batch["snippet"]],
        "index": batch["index"],
        **({} if resident.get("matches") is None else {"matches": resident["matches"][batch["snippet"]]}),
    }


def mean_across_devices(tree: Any) -> Any:
    """Returns the mean over the devices; only inside of a step. On a single device it is what is given."""
    return tree if shared_axis() is None else jax.lax.pmean(tree, AXIS)


def shared_axis() -> str | None:
    """Returns the axis over which devices average, None where there is one device; only inside of a step."""
    return AXIS if jax.lax.axis_size(AXIS) > 1 else None


def data_parallel(
    step: Callable[[Any, Any], tuple[Any, Any]], devices: Sequence[jax.Device] | None = None
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Returns the step run on all devices.

    Args:
      step: (state, batch) -> (state, metrics), which must make both results equal on all devices by `mean_across_devices`.
      devices: Where to run; all there are, those of other processes too, if None.

    Returns:
      The same function of a replicated state, whose memory is reused for the result, and a `split` batch.
    """
    return jax.pmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=(None, None), donate_argnums=(0,), devices=devices)
