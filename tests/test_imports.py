"""Which module may import which, and what a machine without TensorFlow can do: everything but reading data sets."""

import ast
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


IMPORT_AS_A_LIBRARY = """
import importlib, importlib.util, sys

MISSING = {"tensorflow", "tensorboardX", "ml_collections"}


class Without:
    # Not sys.modules[name] = None, which libraries that look there for a module take for one that is installed.
    def __init__(self, finder):
        self._finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in MISSING else self._finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self._finder, name)


sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
assert not any(importlib.util.find_spec(name) for name in MISSING)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(sorted(MISSING & set(sys.modules)))
"""


def test_the_library_needs_none_of_what_the_commands_need():
    names = ["models", "objectives", "training.step", "predict", "data.pipeline", "interop", "visualization"]
    names = [f"dopi_jax.{name}" for name in names] + ["benchmarks.__main__"]
    done = subprocess.run([sys.executable, "-c", IMPORT_AS_A_LIBRARY, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_geometry_needs_only_jax():
    code = (
        "import sys, dopi_jax.geometry; "
        "print([name for name in ('tensorflow', 'flax', 'optax', 'orbax', 'tensorboardX', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


LAYERS = """
errors
opencv formats forms picture_files frame_chunks
geometry census cut_out splice strong_augment gaussian_window losses
config
command_line
models
motion_stereo
objectives
networks augment evaluation visualization
metric_scale prediction model_file
data synthetic output
predict
interop
training
trained_model
experiments
commands
"""


def imported_packages(path):
    """The modules and packages directly below dopi_jax that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "dopi_jax":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("dopi_jax."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dopi_jax."))


def test_no_import_runs_upwards():
    layer = {name: index for index, line in enumerate(LAYERS.strip().splitlines()) for name in line.split()}
    package = pathlib.Path(__file__).parents[1] / "dopi_jax"
    files = [path for path in package.rglob("*.py") if path.relative_to(package).parts[0] != "configs"]
    assert len(files) > 100
    upwards = []
    for path in files:
        importing = path.relative_to(package).with_suffix("").parts[0]
        if importing in ("__init__", "__main__"):
            continue
        assert importing in layer, f"dopi_jax/{importing} is new: give it a place in LAYERS"
        for imported in imported_packages(path):
            if imported in layer and layer[imported] > layer[importing]:
                upwards.append(f"{path.relative_to(package)} imports {imported}")
    assert upwards == []
