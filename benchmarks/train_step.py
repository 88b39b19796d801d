"""Time and memory of a config's train step, on random images of its size: no data set needed.

    python benchmarks/train_step.py --config configs/kitti_depthpose.py

Prints one table and writes it as JSON with --json FILE. Times are the median of --repeats steps after the first.
"""

import dataclasses
import json
import pathlib
import resource
import time

import jax
import numpy as np
from absl import flags

from dopi_jax.commands import flags as command_flags
from dopi_jax.config import Config
from dopi_jax.evaluation import render_table
from dopi_jax.training import create_state, network_variables, parallel
from dopi_jax.training.step import train_step

_REPEATS = flags.DEFINE_integer("repeats", 5, "Steps that are timed.", lower_bound=1)
_JSON = flags.DEFINE_string("json", None, "File to write the numbers to.")
_GIB = 2**30


def random_batch(config: Config) -> dict[str, np.ndarray]:
    """Returns a batch of smooth random images: neighbours agree as in photographs, and frames resemble each other."""
    rng = np.random.default_rng(0)
    batch, height, width = config.train.batch_size, config.data.height, config.data.width
    coarse = rng.uniform(-1, 1, (batch, 3, height // 8, width // 8, 3)).astype(np.float32)
    frames = np.repeat(np.repeat(coarse, 8, axis=2), 8, axis=3)
    K = np.array([[0.58 * width, 0, width / 2], [0, 1.92 * height, height / 2], [0, 0, 1]], np.float32)
    return {"target": frames[:, 1], "sources": frames[:, [0, 2]], "intrinsics": np.tile(K, (batch, 1, 1))}


def _teachers(config: Config) -> dict:
    """The depth and pose networks of a run of phase 2, untrained: that changes no time."""
    if config.phase != "flow" or not config.flow_loss.needs_depthpose:
        return {}
    phase_1 = create_state(dataclasses.replace(config, phase="depthpose"))
    return network_variables(phase_1.params, phase_1.batch_stats)


def main() -> None:
    """Measures what the flags say."""
    config = command_flags.config()
    state = parallel.replicate(create_state(config, _teachers(config)))
    step = parallel.data_parallel(train_step(config))
    batch = next(parallel.prefetched([random_batch(config)]))

    start = time.perf_counter()
    compiled = step.lower(state, batch).compile()
    compile_seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    seconds = []
    for _ in range(_REPEATS.value + 1):
        start = time.perf_counter()
        state, metrics = compiled(state, batch)
        jax.block_until_ready(metrics)
        seconds.append(time.perf_counter() - start)

    device = jax.local_devices()[0]
    numbers = {
        "device": f"{jax.local_device_count()} x {device.device_kind}",
        "jax": jax.__version__,
        "config": config.name,
        "depth network": config.model.depth,
        "flow network": config.model.flow if config.phase == "flow" else "-",
        "batch x height x width": f"{config.train.batch_size} x {config.data.height} x {config.data.width}",
        "compile seconds": compile_seconds,
        "step seconds, median": float(np.median(seconds[1:])),
        "step seconds, least": min(seconds[1:]),
        "parameters and moments, GiB": memory.argument_size_in_bytes / _GIB,
        "temporary memory of the step, GiB": memory.temp_size_in_bytes / _GIB,
        "peak resident memory, GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIB,
    }
    print(render_table("Train step", ["what", "value"], [[name, _text(value)] for name, value in numbers.items()]))
    if _JSON.value:
        pathlib.Path(_JSON.value).write_text(json.dumps(numbers, indent=2) + "\n")


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


if __name__ == "__main__":
    command_flags.run(main)
