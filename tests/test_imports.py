"""What a machine without TensorFlow can do: everything but reading data sets."""

import os
import pathlib
import subprocess
import sys

TRAIN_WITHOUT_TENSORFLOW = """
import pathlib, sys
for name in ("tensorflow", "tensorflow_datasets"):
    sys.modules[name] = None  # importing it fails from here on
import dopi_jax.evaluation, dopi_jax.geometry, dopi_jax.losses, dopi_jax.models, dopi_jax.objectives, dopi_jax.predict
import dopi_jax.visualization
from conftest import weight_batches, weight_state, weight_step
from dopi_jax.config import Config
from dopi_jax.training import loop

loop.create_state, loop.train_step = weight_state, weight_step
config = Config()
config.train.steps = 3
state = loop.train(config, pathlib.Path(sys.argv[1]), weight_batches)
print("trained to step", state.step)
"""


def test_training_from_an_iterator_of_numpy_arrays_needs_no_tensorflow(tmp_path):
    tests = pathlib.Path(__file__).parent / "training"
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_WITHOUT_TENSORFLOW, tmp_path],
        env=os.environ | {"PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "trained to step 3\n"
    assert (tmp_path / "metrics.jsonl").exists()


def test_geometry_needs_only_jax():
    code = (
        "import sys, dopi_jax.geometry; "
        "print([name for name in ('tensorflow', 'flax', 'optax', 'orbax', 'tensorboardX', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
