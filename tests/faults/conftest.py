"""Short runs that something happens to, in processes of their own and in this one."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).parents[1]
_SPEC = importlib.util.spec_from_file_location("weight_vector", TESTS / "training" / "conftest.py")
_weight_vector = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_weight_vector)
weights, state_at = _weight_vector.weights, _weight_vector.state_at


@pytest.fixture(scope="module")
def start():
    """A function that trains a run in a process of its own, as run_server.py takes orders, and returns how it ended."""
    path = os.pathsep.join(filter(None, [str(TESTS / "training"), str(TESTS.parent), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "-P", str(pathlib.Path(__file__).with_name("run_server.py"))],
        env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},  # threads before a fork are lost in it
        cwd=TESTS.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout.readline() == "ready\n"

        def order(workdir, **what) -> int:
            server.stdin.write(json.dumps({"workdir": str(workdir), **what}) + "\n")
            server.stdin.flush()
            return int(server.stdout.readline())

        yield order
        server.stdin.close()
