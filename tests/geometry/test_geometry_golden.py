"""Every public geometry function against float64 reference results on 24 scenes, bad depths and turned cameras included."""

import jax
import numpy as np
import pytest

from dopi_jax import geometry

SCENES = [
    f"{name}_{size}"
    for size in ("24x40", "48x96")
    for name in (
        "identity", "forward", "backward", "sideways", "vertical_forward", "rotation", "generic", "generic_back",
        "through_block", "turned_away", "bad_depth", "plane_integer",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "golden" / "geometry.npz")


@pytest.fixture(params=SCENES)
def scene(request, golden):
    prefix = request.param + "/"
    return {key.removeprefix(prefix): golden[key] for key in golden.files if key.startswith(prefix)}


def assert_close(got, want, care=None):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if care is not None:
        got, want = got[care], want[care]
    assert np.linalg.norm(got - want) <= 1e-4 * np.linalg.norm(want) + 1e-6 * np.sqrt(want.size)


def test_rigid_flow(scene):
    flow = jax.jit(geometry.rigid_flow)(scene["target_depth"], scene["K"], scene["pose"])
    assert np.isfinite(flow).all()
    assert_close(flow, scene["rigid_flow"], scene["pixels_care"])


def test_points(scene):
    if "points_target" not in scene:
        return
    usable = np.isfinite(scene["target_depth"])
    points = geometry.backproject(scene["target_depth"], scene["K"])
    assert_close(points, scene["points_target"], usable)
    assert_close(geometry.transform_points(scene["pose"], points), scene["points_source"], usable)


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_warp_by_depth(scene, padding):
    warped, inside = jax.jit(geometry.warp_by_depth, static_argnums=4)(
        scene["source_image"], scene["target_depth"], scene["K"], scene["pose"], padding
    )
    assert_close(warped, scene[f"warp_{padding}"], scene[f"warp_{padding}_care"])
    np.testing.assert_array_equal(
        np.asarray(inside)[scene["warp_inside_care"]], scene["warp_inside"][scene["warp_inside_care"]]
    )


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_warp_by_flow(scene, padding):
    warped, inside = jax.jit(geometry.warp_by_flow, static_argnums=2)(scene["source_image"], scene["flow"], padding)
    assert_close(warped, scene[f"flow_warp_{padding}"], scene.get(f"flow_warp_{padding}_care"))
    np.testing.assert_array_equal(
        np.asarray(inside)[scene["flow_inside_care"]], scene["flow_inside"][scene["flow_inside_care"]]
    )


@pytest.mark.parametrize("tolerance", [0, 0.05])
def test_occlusion_masks(scene, tolerance):
    masks = jax.jit(geometry.occlusion_masks, static_argnames="tolerance")(
        scene["target_depth"], scene["source_depth"], scene["K"], scene["pose"], tolerance=tolerance
    )
    for name, key in [("edge", "edge"), ("overlap", f"overlap_tol{tolerance}"), ("blank", "blank")]:
        care = scene[f"{key}_care"]
        np.testing.assert_array_equal(np.asarray(getattr(masks, name))[care], scene[key][care], err_msg=name)


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_bilinear_sample(golden, padding):
    values, inside = geometry.bilinear_sample(golden["sample/image"], golden["sample/pixels"], padding)
    assert_close(values, golden[f"sample/{padding}"], golden[f"sample/{padding}_care"])
    care = golden["sample/inside_care"]
    np.testing.assert_array_equal(np.asarray(inside)[care], golden["sample/inside"][care])


def test_poses(golden):
    matrices = jax.vmap(geometry.pose_from_vector)(golden["pose/vectors"])
    assert_close(matrices, golden["pose/matrices"])
    assert_close(jax.vmap(geometry.invert_pose)(matrices), golden["pose/inverses"])
