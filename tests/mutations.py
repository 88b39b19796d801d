"""Breaks one line of a formula at a time, and says whether a test notices: python tests/mutations.py (about ten minutes).

Each mutation is made in a copy of the checkout, where the tests that belong to the formula are run.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]


class Mutation(NamedTuple):
    """One line, what becomes of it, and the tests that should notice."""

    what: str
    file: str
    right: str
    wrong: str
    tests: str


MUTATIONS = [
    Mutation(
        "less-than-mean mask: the inequality turned round (eq. 6)",
        "losses.py",
        "(error < factor * mean)",
        "(error > factor * mean)",
        "tests/test_losses.py",
    ),
    Mutation(
        "masked mean: + 1 left out (D5)",
        "losses.py",
        "(jnp.sum(mask) + 1)",
        "jnp.sum(mask)",
        "tests/test_losses.py",
    ),
    Mutation(
        "depth of the sources gets a gradient (D21)",
        "objectives/depth_pose.py",
        "jax.lax.stop_gradient(1 / source_disparities)",
        "1 / source_disparities",
        "tests/test_objectives.py",
    ),
    Mutation(
        "flow to the sources: t-1 and t+1 exchanged",
        "objectives/snippet_flow.py",
        "SnippetFlow(_by_source(backward, forward)",
        "SnippetFlow(_by_source(forward, backward)",
        "tests/test_flow_objective.py",
    ),
    Mutation(
        "rigid flow carries a gradient to its teachers",
        "losses.py",
        "flow - jax.lax.stop_gradient(rigid_flow)",
        "flow - rigid_flow",
        "tests/test_losses.py",
    ),
    Mutation(
        "occlusion masks: the pose to the target is not inverted",
        "geometry/occlusion.py",
        "target_from_source = invert_pose(source_from_target)",
        "target_from_source = source_from_target",
        "tests/geometry/test_occlusion.py",
    ),
    Mutation(
        "overlap mask: the farther of two points stays",
        "geometry/occlusion.py",
        "(outgoing.z > (1 + tolerance + _ROUNDING) * nearest)",
        "(outgoing.z < (1 + tolerance + _ROUNDING) * nearest)",
        "tests/geometry/test_occlusion.py",
    ),
    Mutation(
        "mirrored image: the principal point is off by one pixel",
        "geometry/camera.py",
        "K.at[0, 2].set(width - 1 - K[0, 2])",
        "K.at[0, 2].set(width - K[0, 2])",
        "tests/geometry/test_camera.py",
    ),
    Mutation(
        "depth metrics: scale of the prediction upside down",
        "evaluation/depth.py",
        "scale = np.median(truth) / np.median(resized)",
        "scale = np.median(resized) / np.median(truth)",
        "tests/evaluation/test_depth_metrics.py",
    ),
    Mutation(
        "snippet ATE: scale normalised by the truth",
        "evaluation/pose.py",
        "np.sum(pred_centre**2, (-2, -1))",
        "np.sum(gt_centre**2, (-2, -1))",
        "tests/evaluation/test_pose_metrics.py",
    ),
    Mutation(
        "KITTI flow: offset off by one",
        "formats.py",
        "- 2**15) / 64",
        "- 2**15 + 1) / 64",
        "tests/test_formats.py",
    ),
    Mutation(
        "smoothness: edges of the image taken along the other axis (eq. 8)",
        "losses.py",
        "edge = jnp.mean(jnp.abs(jnp.diff(image, axis=axis)), axis=-1, keepdims=True)",
        "edge = jnp.mean(jnp.abs(jnp.diff(image.swapaxes(0, 1), axis=axis).swapaxes(0, 1)), axis=-1, keepdims=True)",
        "tests/test_losses.py",
    ),
    Mutation(
        "averaged gradients: a sum over the devices",
        "training/parallel.py",
        "jax.lax.pmean(tree, AXIS)",
        "jax.lax.psum(tree, AXIS)",
        "tests/training/test_parallel.py",
    ),
]


def noticed(mutation: Mutation, copy: pathlib.Path) -> bool:
    """Whether the tests fail on the mutated copy."""
    path = copy / "dopi_jax" / mutation.file
    text = path.read_text(encoding="utf-8")
    if mutation.right not in text:
        sys.exit(f"{mutation.file} has no line with {mutation.right!r}: the formula has moved, and the mutation with it")
    path.write_text(text.replace(mutation.right, mutation.wrong), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", mutation.tests]
    failed = subprocess.run(command, cwd=copy, capture_output=True).returncode == 1
    path.write_text(text, encoding="utf-8")
    return failed


def main() -> None:
    """Tries all mutations; ends with status 1 if one goes unnoticed."""
    chosen = [mutation for mutation in MUTATIONS if not sys.argv[1:] or any(word in mutation.what for word in sys.argv[1:])]
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv*", "runs", "site", "__pycache__"))
        results = []
        for mutation in chosen:
            results.append(noticed(mutation, copy))
            print(f"{'noticed' if results[-1] else 'NOT NOTICED'}: {mutation.what} ({mutation.file})", flush=True)
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
