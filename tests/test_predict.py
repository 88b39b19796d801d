"""Trained networks applied, in evaluation mode."""

import copy

import jax
import numpy as np
import pytest

from dopi_jax import geometry, predict
from dopi_jax.config import Config, apply_flow_variant, apply_variant
from dopi_jax.networks import build_geometry, build_networks, network_variables
from dopi_jax.training import create_state
from dopi_jax.visualization import flow_snippet_panel, snippet_panel

HEIGHT, WIDTH = 64, 128

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(scope="module")
def config():
    config = Config()
    config.model.depth = config.model.pose = "lite"
    return config


@pytest.fixture(scope="module")
def variables(config):
    state = create_state(config)
    return network_variables(state.params, state.batch_stats)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    coarse = rng.uniform(-1, 1, (2, 3, HEIGHT // 8, WIDTH // 8, 3)).astype(np.float32)
    frames = np.asarray(jax.image.resize(coarse, (2, 3, HEIGHT, WIDTH, 3), "linear"))
    K = np.array([[80, 0, WIDTH / 2], [0, 80, HEIGHT / 2], [0, 0, 1]], np.float32)
    return {"target": frames[:, 1], "sources": frames[:, [0, 2]], "intrinsics": np.stack([K, K])}


@pytest.mark.parametrize("refinements", [0, 1])
def test_poses_are_those_of_the_snippets_geometry(config, variables, batch, refinements):
    config = copy.deepcopy(config)
    config.model.pose_refinements = refinements
    config.loss.normalize_all_disparities = True
    seen = batch["target"], batch["sources"], batch["intrinsics"]
    expected = jax.jit(build_geometry(config))(variables, *seen).source_from_target
    np.testing.assert_allclose(predict.make_predict_poses(config)(variables, *seen), expected, atol=1e-5)


def test_a_function_of_a_batch_is_applied_to_all():
    batches = []

    def squares(places):
        batches.append(places.tolist())
        return places**2

    shown = []
    found = predict.in_batches(squares, 5, 2, lambda batches: (shown.append(b) or b for b in batches))
    np.testing.assert_array_equal(found, [0, 1, 4, 9, 16])
    assert batches == [[0, 1], [2, 3], [4, 4]] and len(shown) == 3


def test_disparity_of_an_image_does_not_depend_on_its_batch(config, variables, batch):
    disparity = predict.make_predict_disparity(config)
    together = disparity(variables, batch["target"])
    assert together.shape == (2, HEIGHT, WIDTH)
    assert (together > 0).all()
    np.testing.assert_allclose(disparity(variables, batch["target"][1:])[0], together[1], rtol=1e-4)


def test_poses_are_what_the_networks_vectors_stand_for(config, variables, batch):
    config = copy.deepcopy(config)
    config.model.rotation = rotation = "so3"
    poses = predict.make_predict_poses(config)(variables, batch["target"], batch["sources"], batch["intrinsics"])
    assert poses.shape == (2, 2, 4, 4)
    net = build_networks(config.model).pose
    vectors = jax.jit(net.apply)(variables["pose"], batch["target"], [batch["sources"][:, 0], batch["sources"][:, 1]])
    for sample in range(2):
        for source in range(2):
            pose = geometry.pose_from_vector(vectors[sample, source], rotation)
            np.testing.assert_allclose(poses[sample, source], pose, atol=1e-5)


def paper_loss(config):
    return config


def released_loss(config):
    """The published code's loss with the lite networks."""
    config = apply_variant(config, "full,released")
    config.model.depth = "lite"
    return config


@pytest.mark.parametrize("change", [paper_loss, released_loss])
def test_a_view_shows_what_the_objective_sees(change, config, variables, batch):
    config = change(copy.deepcopy(config))
    view = jax.device_get(predict.make_view_snippets(config)(variables, batch))
    assert {"loss", "photometric", "kept", "visible"} <= set(view["scalars"])
    assert all(values.shape == (2,) and np.isfinite(values).all() for values in view["scalars"].values())
    np.testing.assert_array_equal(view["target"], batch["target"])
    assert view["warped"].shape == (2, 2, HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(view["kept"].mean((1, 2, 3)), view["scalars"]["kept"], rtol=1e-5)
    assert not (view["kept"] & ~view["visible"]).any()
    disparity = np.asarray(predict.make_predict_disparity(config)(variables, batch["target"]))
    if config.loss.normalize_all_disparities:
        disparity = disparity / disparity.max((1, 2), keepdims=True)
    np.testing.assert_allclose(view["disparity"], disparity, rtol=1e-4)
    picture = snippet_panel({name: view[name][0] for name in ("target", "disparity", "warped", "visible", "kept")})
    assert picture.shape == (3 * HEIGHT + 8, 3 * WIDTH + 8, 3)


@pytest.fixture(scope="module")
def flow_variables(config, variables):
    config = copy.deepcopy(config)
    config.phase = "flow"
    return {"flow": {"params": create_state(config).params["flow"]}, **variables}


def test_flows_are_in_the_order_of_the_sources(config, flow_variables, batch):
    flows = predict.make_predict_flow(config)(flow_variables, batch["target"], batch["sources"])
    assert flows.shape == (2, 2, HEIGHT, WIDTH, 2)
    net = build_networks(config.model).flow
    sources = [batch["sources"][:, 0], batch["sources"][:, 1]]
    (forward,), (backward,) = jax.jit(net.apply)(flow_variables["flow"], batch["target"], sources)
    np.testing.assert_allclose(flows[:, 0], backward, atol=1e-4)
    np.testing.assert_allclose(flows[:, 1], forward, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["full", "basic"])
def test_a_view_shows_what_the_objective_of_flow_sees(variant, config, flow_variables, batch):
    config = apply_flow_variant(copy.deepcopy(config), variant)
    if variant == "basic":
        flow_variables = {"flow": flow_variables["flow"]}
    view = jax.device_get(predict.make_view_flow_snippets(config)(flow_variables, batch))
    assert {"loss", "photometric", "reconstruction", "consistency", "smoothness", "kept"} <= set(view["scalars"])
    assert all(values.shape == (2,) and np.isfinite(values).all() for values in view["scalars"].values())
    np.testing.assert_allclose(view["kept"].mean((1, 2, 3)), view["scalars"]["kept"], rtol=1e-5)
    assert ("taught" in view) == (variant == "full")
    picture = flow_snippet_panel({name: value[0] for name, value in view.items() if name != "scalars"})
    columns = 4 if variant == "full" else 3
    assert picture.shape == (3 * HEIGHT + 8, columns * (WIDTH + 4) - 4, 3)
    if variant == "full":
        rigid, visible = predict.make_predict_rigid_flow(config)(
            flow_variables, batch["target"], batch["sources"], batch["intrinsics"]
        )
        np.testing.assert_allclose(view["rigid_flows"], rigid, atol=1e-4)
        np.testing.assert_array_equal(view["visible"], visible)
