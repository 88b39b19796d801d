"""What every public function of the geometry library promises, whichever it is."""

import inspect
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry

H, W = 6, 8
K = jnp.array([[9.0, 0.0, 3.4], [0.0, 9.0, 2.6], [0.0, 0.0, 1.0]])
DEPTH = jnp.full((H, W), 3.0)
IMAGE = jax.random.normal(jax.random.key(0), (H, W, 3))
EYE = jnp.eye(4)
GRID = geometry.pixel_grid(H, W)

# One call of every function at its most delicate input: the identity pose, pixel centres, zero flow.
CALLS = {
    "backproject": (geometry.backproject, (DEPTH, K)),
    "bilinear_sample": (geometry.bilinear_sample, (IMAGE, GRID)),
    "compose_poses": (geometry.compose_poses, (EYE, EYE)),
    "crop_intrinsics": (geometry.crop_intrinsics, (K, 1.0, 2.0)),
    "depth_comparison_masks": (geometry.depth_comparison_masks, (DEPTH, DEPTH, K, EYE)),
    "depth_inconsistency": (geometry.depth_inconsistency, (DEPTH, DEPTH, K, EYE)),
    "flip_intrinsics": (lambda K: geometry.flip_intrinsics(K, W), (K,)),
    "forward_backward_mask": (geometry.forward_backward_mask, (GRID, -GRID)),
    "invert_pose": (geometry.invert_pose, (EYE,)),
    "occlusion_masks": (geometry.occlusion_masks, (DEPTH, DEPTH, K, EYE)),
    "pixel_grid": (lambda: geometry.pixel_grid(H, W), ()),
    "pose_from_flow": (geometry.pose_from_flow, (DEPTH, 0.01 * GRID, K, jnp.ones((H, W)), EYE)),
    "pose_from_matches": (geometry.pose_from_matches, (GRID.reshape(-1, 2), 0.9 * GRID.reshape(-1, 2), K)),
    "pose_from_vector": (geometry.pose_from_vector, (jnp.zeros(6),)),
    "project": (geometry.project, (geometry.backproject(DEPTH, K), K)),
    "range_map_mask": (geometry.range_map_mask, (0.3 * GRID,)),
    "rigid_flow": (geometry.rigid_flow, (DEPTH, K, EYE)),
    "scale_focal_length": (geometry.scale_focal_length, (K, 1.5)),
    "scale_intrinsics": (geometry.scale_intrinsics, (K, 0.5, 0.5)),
    "transform_points": (geometry.transform_points, (EYE, geometry.backproject(DEPTH, K))),
    "vector_from_pose": (geometry.vector_from_pose, (EYE,)),
    "warp_by_depth": (geometry.warp_by_depth, (IMAGE, DEPTH, K, EYE)),
    "warp_by_flow": (geometry.warp_by_flow, (IMAGE, jnp.zeros((H, W, 2)))),
    "z_buffer": (lambda p, z: geometry.z_buffer(p, z, z > 0, H, W), (GRID, DEPTH)),
}


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def public_functions():
    return {name for name in geometry.__all__ if inspect.isfunction(getattr(geometry, name))}


def test_every_function_is_listed_here():
    assert public_functions() == set(CALLS)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_jit_and_vmap_change_nothing(name):
    function, arguments = CALLS[name]
    plain = leaves(function(*arguments))
    for got, want in zip(leaves(jax.jit(function)(*arguments)), plain, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
    if arguments:
        stacked = jax.tree.map(lambda a: jnp.stack([jnp.asarray(a)] * 2), arguments)
        for got, want in zip(leaves(jax.vmap(function)(*stacked)), plain, strict=True):
            np.testing.assert_allclose(got[1], want, atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"pixel_grid"}))
def test_gradients_are_finite_at_the_identity(name):
    function, arguments = CALLS[name]

    def total(*args):
        return sum(jnp.sum(jnp.where(jnp.isfinite(leaf), leaf, 0.0)) for leaf in jax.tree.leaves(function(*args)))

    for gradient in jax.grad(total, argnums=tuple(range(len(arguments))))(*arguments):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", sorted(CALLS))
def test_numpy_arrays_are_welcome(name):
    function, arguments = CALLS[name]
    for got, want in zip(leaves(function(*map(np.asarray, arguments))), leaves(function(*arguments)), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("name", sorted(public_functions()))
def test_docstrings_say_shapes_and_returns(name):
    text = inspect.getdoc(getattr(geometry, name))
    assert text.split("\n")[0].endswith((".", ":")) or "\n\n" in text
    assert "Args:" in text and "Returns:" in text and "[" in text


def test_import_brings_nothing_but_jax_and_chex():
    code = (
        "import sys, dopi_jax.geometry; "
        "print([m for m in ('flax', 'optax', 'orbax', 'tensorflow', 'PIL', 'dopi_jax.models') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
