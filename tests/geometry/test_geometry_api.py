"""What every public function of the geometry library promises, whichever it is."""

import inspect
import subprocess
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry

H, W = 6, 8
EYE = jnp.eye(4)


def calls(height, width):
    """One call of every function at its most delicate input: the identity pose, pixel centres, zero flow."""
    K = jnp.array([[9.0, 0.0, 3.4], [0.0, 9.0, 2.6], [0.0, 0.0, 1.0]])
    depth = jnp.full((height, width), 3.0)
    image = jax.random.normal(jax.random.key(0), (height, width, 3))
    grid = geometry.pixel_grid(height, width)
    points = geometry.backproject(depth, K)
    lens = jnp.array([-0.1, 0.02, 0.001, -0.002])
    return {
        "backproject": (geometry.backproject, (depth, K)),
        "bilinear_sample": (geometry.bilinear_sample, (image, grid)),
        "compose_poses": (geometry.compose_poses, (EYE, EYE)),
        "crop_intrinsics": (geometry.crop_intrinsics, (K, 1.0, 2.0)),
        "depth_comparison_masks": (geometry.depth_comparison_masks, (depth, depth, K, EYE)),
        "depth_from_points": (lambda p, K: geometry.depth_from_points(p, K, height, width), (points, K)),
        "depth_inconsistency": (geometry.depth_inconsistency, (depth, depth, K, EYE)),
        "depth_normals": (geometry.depth_normals, (depth, K)),
        "distort_pixels": (geometry.distort_pixels, (grid, K, lens)),
        "flip_intrinsics": (lambda K: geometry.flip_intrinsics(K, width), (K,)),
        "forward_backward_mask": (geometry.forward_backward_mask, (grid, -grid)),
        "invert_pose": (geometry.invert_pose, (EYE,)),
        "occlusion_masks": (geometry.occlusion_masks, (depth, depth, K, EYE)),
        "pixel_grid": (lambda: geometry.pixel_grid(height, width), ()),
        "point_cloud": (geometry.point_cloud, (depth, K, EYE)),
        "pose_from_convention": (lambda p: geometry.pose_from_convention(p, "nerf"), (EYE,)),
        "pose_from_flow": (geometry.pose_from_flow, (depth, 0.01 * grid, K, jnp.ones((height, width)), EYE)),
        "pose_from_matches": (geometry.pose_from_matches, (grid.reshape(-1, 2), 0.9 * grid.reshape(-1, 2), K)),
        "pose_from_vector": (geometry.pose_from_vector, (jnp.zeros(6),)),
        "pose_to_convention": (lambda p: geometry.pose_to_convention(p, "colmap"), (EYE,)),
        "project": (geometry.project, (points, K)),
        "range_map_mask": (geometry.range_map_mask, (0.3 * grid,)),
        "rigid_flow": (geometry.rigid_flow, (depth, K, EYE)),
        "scale_focal_length": (geometry.scale_focal_length, (K, 1.5)),
        "scale_intrinsics": (geometry.scale_intrinsics, (K, 0.5, 0.5)),
        "splat_by_depth": (geometry.splat_by_depth, (image, depth, K, EYE)),
        "transform_points": (geometry.transform_points, (EYE, points)),
        "undistort_pixels": (geometry.undistort_pixels, (grid, K, lens)),
        "vector_from_pose": (geometry.vector_from_pose, (EYE,)),
        "warp_by_depth": (geometry.warp_by_depth, (image, depth, K, EYE)),
        "warp_by_flow": (geometry.warp_by_flow, (image, jnp.zeros((height, width, 2)))),
        "z_buffer": (lambda p, z: geometry.z_buffer(p, z, jnp.asarray(z) > 0, height, width), (grid, depth)),
    }


CALLS = calls(H, W)


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
def test_numpy_arrays_and_lists_are_welcome(name):
    function, arguments = CALLS[name]
    wanted = leaves(function(*arguments))
    for kind in (np.asarray, lambda array: np.asarray(array).tolist()):
        for got, want in zip(leaves(function(*map(kind, arguments))), wanted, strict=True):
            np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"pixel_grid"}))
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "int32"])
def test_other_kinds_of_numbers_are_computed_with_in_float32(name, kind):
    """Rounded to such a kind once, where they come in, and never again."""
    function, arguments = CALLS[name]
    rounded = [jnp.asarray(argument).astype(kind) for argument in arguments]
    wanted = leaves(function(*(argument.astype(jnp.float32) for argument in rounded)))
    for got, want in zip(leaves(function(*rounded)), wanted, strict=True):
        assert got.dtype == want.dtype and got.dtype in ("float32", "bool")
        np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_types_are_those_of_the_arrays_whatever_the_mode(name):
    """With 64 bits float32 stays float32 and float64 is kept; with strict promotion no two types meet."""
    function, arguments = CALLS[name]

    def types(*kinds):
        arrays = [jnp.asarray(argument).astype(kinds[i % len(kinds)]) for i, argument in enumerate(arguments)]
        return {str(leaf.dtype) for leaf in jax.tree.leaves(jax.eval_shape(function, *arrays))} - {"bool"}

    with jax.numpy_dtype_promotion("strict"):
        assert types("float32") <= {"float32"}
        if arguments:
            assert types("bfloat16", "float32") <= {"float32"} and types("float32", "int32") <= {"float32"}
    with jax.enable_x64(True):
        assert types("float32") <= {"float32"}
        if arguments:
            assert types("float64") <= {"float64"}


@pytest.mark.parametrize("size", [(1, 5), (4, 1)])
def test_images_of_one_row_or_column(size):
    for name, (function, arguments) in calls(*size).items():
        if name != "pose_from_matches":  # its points are of no image
            assert not any(np.isnan(leaf).any() for leaf in leaves(function(*arguments))), name


@pytest.mark.parametrize("name", ["pose_from_matches", "occlusion_masks", "warp_by_depth", "splat_by_depth"])
def test_programs_for_images_of_any_size_are_exported(name):
    function, arguments = CALLS[name]
    sizes = dict(zip((H, W, H * W), jax.export.symbolic_shape("h, w, n"), strict=True))
    shapes = [
        jax.ShapeDtypeStruct(a.shape if a.shape in [(3, 3), (4, 4)] else [sizes.get(s, s) for s in a.shape], a.dtype)
        for a in arguments
    ]
    stored = jax.export.export(jax.jit(function))(*shapes).serialize()
    results = jax.export.deserialize(bytearray(stored)).call(*arguments)
    assert jax.tree.structure(results) == jax.tree.structure(function(*arguments))
    for got, want in zip(leaves(results), leaves(function(*arguments)), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4)


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
