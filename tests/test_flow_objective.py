"""The objective of phase 2, against reference numbers and what it is meant to do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry, losses
from dopi_jax.config import FLOW_ABLATIONS, Config, FlowLossConfig, apply_flow_variant
from dopi_jax.models import FlowNet
from dopi_jax.objectives import (
    SnippetGeometry,
    depth_pose_loss,
    flow_loss,
    flow_objective,
    mean_pool,
    rigid_views,
    view_by_flow,
)

HEIGHT, WIDTH = 24, 40

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(scope="module")
def golden(shared):
    arrays = np.load(shared / "golden" / "losses.npz")
    prefix = "phase2_64x96/"
    return {key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)}


def assert_close(got, want):
    got, want = np.asarray(got, np.float64), np.asarray(want)
    assert np.linalg.norm(got - want) <= 1e-4 * np.linalg.norm(want)


def golden_scale(golden, scale):
    """What the reference was given for one scale: flows, target, sources, rigid view."""
    poses = jax.vmap(geometry.pose_from_vector)(golden["pose_vectors"])
    source_depths = np.stack([golden[f"source_depth_{scale}_{s}"] for s in range(2)])
    K = geometry.scale_intrinsics(golden["K"], 2.0**-scale, 2.0**-scale)
    (rigid,) = rigid_views(1 / golden[f"depth_{scale}"], 1 / source_depths, poses, K, 1, FlowLossConfig())
    sources = np.stack([golden["previous"], golden["next"]])
    flows = np.stack([golden[f"flow_{scale}_{s}"] for s in range(2)])
    return flows, mean_pool(golden["target"], 2**scale), mean_pool(sources, 2**scale), rigid


def test_golden_phase_2(golden):
    total = 0.0
    for scale in range(6):
        flows, *rest = golden_scale(golden, scale)
        config = FlowLossConfig(consistency_ltm="photometric")
        value_and_grad = jax.value_and_grad(lambda f, rest=rest, c=config: flow_loss(f, *rest, c), has_aux=True)
        (loss, diagnostics), gradient = jax.jit(value_and_grad)(flows)
        total += loss
        assert_close(diagnostics["reconstruction"], golden[f"recon_{scale}"])
        assert_close(diagnostics["consistency"], golden[f"consistency_{scale}"])
        assert_close(diagnostics["smoothness"], golden[f"smooth_{scale}"])
        assert_close(gradient, np.stack([golden[f"grad_flow_{scale}_{s}"] for s in range(2)]))
    assert_close(total, golden["total"])


@pytest.mark.parametrize("scale", range(6))
def test_golden_masks(golden, scale):
    flows, target, sources, rigid = golden_scale(golden, scale)
    for s in range(2):
        of_source = jax.tree.map(lambda leaf, s=s: leaf[s], rigid)
        view, taught = view_by_flow(flows[s], target, sources[s], of_source, FlowLossConfig(consistency_ltm="photometric"))
        for name, mask in rigid.masks._asdict().items():
            np.testing.assert_array_equal(mask[s], golden[f"{name}_{scale}_{s}"], err_msg=name)
        edge, blank, ltm = (golden[f"{name}_{scale}_{s}"] > 0 for name in ("edge", "blank", "ltm"))
        np.testing.assert_array_equal(view.kept, view.visible & ltm)
        np.testing.assert_array_equal(taught, ~(edge & blank) & ltm)


def street_geometry(motion):
    """A near box before a far wall, seen three times; the motion to t+1, and reversed to t-1; intrinsics."""
    disparity = np.full((3, HEIGHT, WIDTH), 0.1, np.float32)
    disparity[:, 8:16, 14:24] = 0.3
    vectors = np.array([[-m for m in motion], motion], np.float32)
    K = jnp.array([[30.0, 0, WIDTH / 2], [0, 30.0, HEIGHT / 2], [0, 0, 1]])
    return disparity[0], disparity[1:], jax.vmap(geometry.pose_from_vector)(vectors), K


FORWARD = (0.3, 0.0, -1.0, 0.0, 0.0, 0.0)


def street(motion=FORWARD):
    """A snippet of it, with flows that are 1 px off in x and in y."""
    (rigid,) = rigid_views(*street_geometry(motion), 1, FlowLossConfig())
    coarse = jax.random.uniform(jax.random.key(0), (3, 6, 10, 3), minval=-1)
    images = jax.image.resize(coarse, (3, HEIGHT, WIDTH, 3), "cubic")
    return rigid.flow + 1.0, images[0], images[1:], rigid


ONLY_CONSISTENCY = {"reconstruction": 0.0, "smoothness": 0.0, "consistency": 1.0}


@pytest.mark.parametrize("consistency_ltm", ["none", "photometric", "residual"])
def test_consistency_pulls_towards_the_rigid_flow_where_edge_and_blank_hide_and_nowhere_else(consistency_ltm):
    flows, target, sources, rigid = street()
    flows = flows + 0.5 * jax.random.normal(jax.random.key(1), flows.shape)
    config = FlowLossConfig(**ONLY_CONSISTENCY, consistency_ltm=consistency_ltm)
    gradient = jax.jit(jax.grad(lambda f: flow_loss(f, target, sources, rigid, config)[0]))(flows)
    hidden = ~(rigid.masks.edge & rigid.masks.blank)
    assert hidden.any() and not hidden.all()
    moved = np.any(gradient != 0, axis=-1)
    assert not (moved & ~hidden).any()
    if consistency_ltm == "none":
        assert moved[hidden].all()
    else:
        assert moved.any() and moved.sum() < hidden.sum()
    towards = np.sum(-gradient * (rigid.flow - flows), axis=-1)
    assert (towards[moved] > 0).all()


def test_pixels_behind_a_nearer_thing_are_not_taught():
    """They are masked by overlap, and lie where two things land: the consistency mask leaves them out (eq. 12)."""
    flows, target, sources, rigid = street()
    overlapped = ~rigid.masks.overlap & rigid.masks.edge & rigid.masks.blank
    assert overlapped.any()
    config = FlowLossConfig(**ONLY_CONSISTENCY, consistency_ltm="none")
    gradient = jax.grad(lambda f: flow_loss(f, target, sources, rigid, config)[0])(flows)
    np.testing.assert_array_equal(gradient[overlapped], 0)


@pytest.mark.parametrize("consistency_ltm", ["none", "photometric", "residual"])
def test_without_a_hidden_pixel_consistency_is_exactly_0_and_gradients_are_finite(consistency_ltm):
    flows, target, sources, rigid = street(motion=(0.0,) * 6)
    assert rigid.masks.visible.all()
    config = FlowLossConfig(consistency_ltm=consistency_ltm)
    (_, diagnostics), gradient = jax.value_and_grad(flow_loss, has_aux=True)(flows, target, sources, rigid, config)
    assert diagnostics["consistency"] == 0.0
    assert np.isfinite(gradient).all()


def test_every_row_of_table_5_is_another_objective():
    snippet = street()
    values = {}
    for row in FLOW_ABLATIONS:
        for preset in ("", ",released"):
            config = apply_flow_variant(Config(), row + preset).flow_loss
            values[row + preset] = float(flow_loss(*snippet, config)[0])
    assert len({round(value, 5) for value in values.values()}) == len(values)
    assert np.isfinite(list(values.values())).all()


def test_basic_compares_every_pixel_and_needs_no_geometry():
    flows, target, sources, _ = street()
    config = apply_flow_variant(Config(), "basic").flow_loss
    assert not config.needs_depthpose and FlowLossConfig().needs_depthpose
    loss, diagnostics = flow_loss(flows, target, sources, None, config)
    want = 0.0
    for flow, source in zip(flows, sources, strict=True):
        warped, _ = geometry.warp_by_flow(source, flow)
        want += losses.photometric_error(target, warped).sum() / (HEIGHT * WIDTH + 1)
        want += 0.005 * losses.edge_aware_smoothness(flow, target)
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    assert diagnostics["kept"] == 1.0 and "rigid_distance" not in diagnostics
    # The rows with masks call the same flow worse or better by the same measure, so that runs can be compared.
    assert diagnostics["photometric"] > 0


def test_rigid_distance_is_the_distance_in_pixels():
    _, diagnostics = flow_loss(*street(), FlowLossConfig())
    np.testing.assert_allclose(diagnostics["rigid_distance"], np.sqrt(2), rtol=1e-4)


def test_rigid_flow_of_a_wall_halves_from_scale_to_scale():
    disparity = np.full((3, HEIGHT, WIDTH), 0.25, np.float32)
    sideways = geometry.pose_from_vector(jnp.array([0.4, 0.0, 0.0, 0.0, 0.0, 0.0]))
    K = jnp.array([[30.0, 0, WIDTH / 2], [0, 30.0, HEIGHT / 2], [0, 0, 1]])
    views = rigid_views(disparity[0], disparity[1:], jnp.stack([sideways, sideways]), K, 3, FlowLossConfig())
    for scale, view in enumerate(views):
        # fx tx / depth = 30 * 0.4 / 4 = 3 px to the right.
        want = np.broadcast_to([3.0 / 2**scale, 0.0], (2, HEIGHT // 2**scale, WIDTH // 2**scale, 2))
        np.testing.assert_allclose(view.flow, want, atol=1e-4)
        # What leaves the image on the right is hidden by the edge: the last 3, 1.5 -> 2 and 0.75 -> 1 columns.
        hidden = (~view.masks.edge[0]).sum(axis=1)
        np.testing.assert_array_equal(hidden, np.full(HEIGHT // 2**scale, (3, 2, 1)[scale]))


def make_network_and_batch(variant, width):
    net = FlowNet(variant)
    frames = jax.random.uniform(jax.random.key(3), (2, 3, 64, width, 3), minval=-1)
    batch = {
        "target": frames[:, 1],
        "sources": frames[:, [0, 2]],
        "intrinsics": jnp.tile(jnp.array([[60.0, 0, width / 2], [0, 60.0, 32], [0, 0, 1]]), (2, 1, 1)),
    }
    variables = jax.jit(lambda: net.init(jax.random.key(0, impl="rbg"), frames[:, 1], [frames[:, 0], frames[:, 2]]))()
    disparity = 0.2 + 0.1 * jax.random.uniform(jax.random.key(4), (2, 3, 64, width))
    poses = jax.vmap(jax.vmap(geometry.pose_from_vector))(0.1 * jax.random.normal(jax.random.key(5), (2, 2, 6)))
    return net, {"flow": variables["params"]}, batch, SnippetGeometry(disparity[:, 0], disparity[:, 1:], poses)


@pytest.fixture(scope="module")
def network_and_batch():
    return make_network_and_batch("back2future", 64)


def test_objective_of_the_network(network_and_batch):
    net, params, batch, snippet_geometry = network_and_batch

    @jax.jit
    def value_and_grads(params, snippet_geometry):
        def loss(params, snippet_geometry):
            return flow_objective(params, batch, snippet_geometry, flow_net=net, config=FlowLossConfig())

        return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, snippet_geometry)

    (loss, diagnostics), (gradient, of_geometry) = value_and_grads(params, snippet_geometry)
    assert np.isfinite(loss) and all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    assert all(float(jnp.abs(g).sum()) > 0 for g in jax.tree.leaves(gradient))
    assert all(not np.any(g) for g in jax.tree.leaves(of_geometry)), "the teachers are not trained"
    weighted = diagnostics["reconstruction"] + 0.1 * diagnostics["consistency"] + 0.005 * diagnostics["smoothness"]
    np.testing.assert_allclose(loss, weighted, rtol=1e-5)
    assert diagnostics["consistency"] > 0


@pytest.mark.slow
def test_the_objective_adds_up_six_scales_and_gives_each_source_its_own_flow(network_and_batch):
    net, params, batch, snippet_geometry = network_and_batch
    config = FlowLossConfig(consistency_ltm="photometric")

    @jax.jit
    def by_hand(params):
        neighbours = [batch["sources"][:, 0], batch["sources"][:, 1]]
        forward, backward = net.apply({"params": params["flow"]}, batch["target"], neighbours, all_scales=True)
        total = 0.0
        for sample in range(2):
            rigid = rigid_views(*(leaf[sample] for leaf in snippet_geometry), batch["intrinsics"][sample], 6, config)
            for scale in range(6):
                flows = jnp.stack([backward[scale][sample], forward[scale][sample]])
                target, sources = (mean_pool(batch[name][sample], 2**scale) for name in ("target", "sources"))
                total += flow_loss(flows, target, sources, rigid[scale], config)[0] / 2
        return total

    objective = jax.jit(lambda p: flow_objective(p, batch, snippet_geometry, flow_net=net, config=config)[0])
    np.testing.assert_allclose(objective(params), by_hand(params), rtol=1e-4)


@pytest.mark.slow
def test_finest_only_leaves_the_coarser_scales_their_reconstruction(network_and_batch):
    net, params, batch, snippet_geometry = network_and_batch

    @jax.jit  # of arguments: what is constant, the compiler would compute by itself, slowly
    def objectives(params, batch, snippet_geometry):
        def objective(snippet_geometry, **choices):
            config = FlowLossConfig(reconstruction=0.0, consistency_ltm="none", **choices)
            return flow_objective(params, batch, snippet_geometry, flow_net=net, config=config)

        everything = objective(snippet_geometry), objective(snippet_geometry, finest_only=True)
        return *everything, objective(None, consistency=0.0, smoothness=0.0)

    every, finest, (nothing, _) = objectives(params, batch, snippet_geometry)
    assert 0 < finest[0] < every[0]
    np.testing.assert_allclose(every[1]["reconstruction"], finest[1]["reconstruction"])
    assert nothing == 0.0


def test_both_phases_see_the_same_masks():
    """Phase 2 is taught where phase 1 was masked: one rule, one code path."""
    _, target, sources, rigid = street()
    disparity, source_disparities, poses, K = street_geometry(FORWARD)
    _, phase_1 = depth_pose_loss(disparity, source_disparities, poses, target, sources, K, Config().loss)
    _, phase_2 = flow_loss(rigid.flow, target, sources, rigid, FlowLossConfig())
    for name in ("edge", "overlap", "blank", "visible", "photometric"):
        np.testing.assert_allclose(phase_1[name], phase_2[name], rtol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def lite_network_and_batch():
    net, params, batch, snippet_geometry = make_network_and_batch("lite", 96)
    params["flow"]["refine"]["output"]["kernel"] += 0.01  # untrained, nothing before it has a gradient
    matches = jnp.tile(jnp.array([[10.0, 12, 14, 13], [40, 30, 38, 30]]), (2, 2, 1, 1))
    return net, params, batch | {"matches": matches, "corner": jnp.array([3, 7])}, snippet_geometry


def lite_objective(lite_network_and_batch, **choices):
    net, params, batch, snippet_geometry = lite_network_and_batch
    config = FlowLossConfig(less_than_mean=False, **choices)

    @jax.jit
    def value_and_gradient(params, batch, snippet_geometry):
        def loss(params):
            return flow_objective(params, batch, snippet_geometry, flow_net=net, config=config)

        return jax.value_and_grad(loss, has_aux=True)(params)

    return value_and_gradient(params, batch, snippet_geometry)


@pytest.mark.slow
def test_the_modern_terms_add_up_and_train_the_network(lite_network_and_batch):
    weights = {"smoothness": 0.4, "consistency": 0.1, "students": 0.3, "matched_flow": 0.1}
    (loss, diagnostics), gradient = lite_objective(
        lite_network_and_batch,
        **weights,
        census=True,
        smoothness_order=2,
        smoothness_sharpness=75.0,
        occlusion_rule="forward_backward",
    )
    names = {"smoothness": "smoothness", "consistency": "consistency", "students": "student", "matched_flow": "matched"}
    weighted = sum(weights[field] * diagnostics[name] for field, name in names.items())
    np.testing.assert_allclose(loss, diagnostics["reconstruction"] + weighted, rtol=1e-5)
    assert all(diagnostics[name] > 0 for name in names.values()) and diagnostics["visible"] < 1
    of_features = gradient["flow"].pop("encoder")
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient)) and not np.any(jax.tree.leaves(of_features)[0])
    assert all(np.any(g) for g in jax.tree.leaves(gradient))


def test_flows_that_do_not_undo_each_other_hide_and_teach():
    _, target, sources, rigid = street()
    config = FlowLossConfig(occlusion_rule="forward_backward", less_than_mean=False)
    there = jnp.zeros_like(rigid.flow[0])
    back = there.at[2:4].set(3.0)
    view, taught = view_by_flow(there, target, sources[0], jax.tree.map(lambda x: x[0], rigid), config, back)
    want = np.ones(target.shape[:2], bool)
    want[2:4] = False
    np.testing.assert_array_equal(view.visible, want)
    np.testing.assert_array_equal(taught, ~want)
