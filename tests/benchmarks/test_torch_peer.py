"""The steps in PyTorch compute what ours do; a machine without PyTorch skips this."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.case import Case, on_device, random_batch, random_images, road_scene  # noqa: E402
from benchmarks.program import fresh_cache  # noqa: E402
from benchmarks.torch_peer import comparison, flow_step, losses  # noqa: E402
from benchmarks.torch_peer import geometry as torch_geometry  # noqa: E402
from benchmarks.torch_peer.flow_network import Back2Future  # noqa: E402
from benchmarks.torch_peer.masks import released_masks, vectorised_masks  # noqa: E402
from benchmarks.torch_peer.step import initialise  # noqa: E402
from dopi_jax import geometry  # noqa: E402
from dopi_jax import losses as our_losses  # noqa: E402
from dopi_jax.errors import UserError  # noqa: E402
from dopi_jax.interop.torch_weights import convert  # noqa: E402
from dopi_jax.models import FlowNet  # noqa: E402
from dopi_jax.objectives.flow import flow_loss, rigid_views  # noqa: E402
from dopi_jax.objectives.reconstruction import mean_pool  # noqa: E402
from dopi_jax.training import create_state, parallel  # noqa: E402
from dopi_jax.training.step import train_step  # noqa: E402

CASE = Case("1", "resnet6", 2, 64, 128)


def channels_first(images):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))


def channels_last(images):
    return np.moveaxis(images.numpy(), 1, -1)


def sources_first(sources):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(sources, -1, 2)))


def with_visible_mistakes(flow_network):
    """Draws weights under which every level's costs count: the usual ones let features fade, the coarsest to a millionth."""
    torch.manual_seed(1)
    initialise(flow_network)
    for name, parameter in flow_network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.uniform_(parameter)


@pytest.fixture(scope="module")
def scene():
    return road_scene(CASE)


@pytest.mark.parametrize("masks", [vectorised_masks, released_masks])
@pytest.mark.parametrize("source", [0, 1])
def test_masks(scene, masks, source):
    views = scene["depth"], scene["source_depths"][:, source], scene["intrinsics"], scene["poses"][:, source]
    ours = jax.vmap(geometry.occlusion_masks)(*views)
    theirs = masks(*map(torch.from_numpy, views))
    assert 0.3 < np.mean(ours.visible) < 1
    for name in ours._fields:
        assert np.mean(getattr(theirs, name).numpy() != getattr(ours, name)) <= comparison.AGREEMENT, name


def test_warping(scene):
    image = random_images(CASE)["target"]
    depth, K, pose = scene["depth"], scene["intrinsics"], scene["poses"][:, 1]
    ours, _ = jax.vmap(geometry.warp_by_depth)(image, depth, K, pose)
    theirs = torch_geometry.warp_by_depth(channels_first(image), *map(torch.from_numpy, (depth, K, pose)))
    differing = np.abs(np.moveaxis(np.asarray(ours), -1, 1) - theirs.numpy()) > 1e-3
    assert differing.mean() < 1e-3  # on the border rounding decides what is inside


@pytest.mark.parametrize("vector", [[0.1, -0.2, 0.3, 0.4, -0.5, 0.6], [0.0] * 6])
def test_poses(vector):
    pose = torch_geometry.poses_from_vectors(torch.tensor([vector]))
    np.testing.assert_allclose(pose[0], geometry.pose_from_vector(np.array(vector, np.float32)), atol=1e-6)
    np.testing.assert_allclose(torch_geometry.inverted(pose) @ pose, np.eye(4)[None], atol=1e-6)


def test_losses(scene):
    batch = random_images(CASE)
    target, source = batch["target"], batch["sources"][:, 0]
    ours = jax.vmap(our_losses.photometric_error)(target, source)
    np.testing.assert_allclose(losses.photometric_error(channels_first(target), channels_first(source)), ours, atol=1e-4)
    disparity = 1 / scene["depth"]
    smooth = jax.vmap(lambda d, i: our_losses.edge_aware_smoothness(our_losses.max_normalized_depth(d)[..., None], i))
    theirs = losses.edge_aware_smoothness(
        losses.max_normalized_depth(torch.from_numpy(disparity)[:, None]), channels_first(target)
    )
    np.testing.assert_allclose(theirs, smooth(disparity, target), rtol=1e-4)


@pytest.mark.parametrize("source", [0, 1])
def test_rigid_flow_and_intrinsics_of_a_smaller_image(scene, source):
    depth, K, pose = (scene[name] for name in ("depth", "intrinsics", "poses"))
    half = jax.vmap(lambda K: geometry.scale_intrinsics(K, 0.5, 0.5))(K)
    ours = jax.vmap(geometry.rigid_flow)(depth, half, pose[:, source])
    torch_half = torch_geometry.shrunk_intrinsics(torch.from_numpy(K), 2)
    theirs = torch_geometry.rigid_flow(*map(torch.as_tensor, (depth, torch_half, pose[:, source])))
    np.testing.assert_allclose(channels_last(theirs), ours, atol=1e-3)


def test_rigid_flow_is_zero_behind_the_camera():
    """The second of three cameras has driven past the wall, one unit away; the third stands a little to the left."""
    poses = torch.eye(4).repeat(3, 1, 1)
    poses[1, 2, 3], poses[2, 0, 3] = -2.0, 0.5
    flow = torch_geometry.rigid_flow(torch.ones(3, 4, 6), torch.eye(3).repeat(3, 1, 1), poses)
    assert not flow[:2].any()
    torch.testing.assert_close(flow[2], torch.tensor([0.5, 0.0]).reshape(2, 1, 1).expand(2, 4, 6))


@pytest.mark.parametrize("source, scale", [(0, 0), (1, 0), (1, 2)])
def test_the_flow_loss(scene, source, scale):
    batch, rng = random_images(CASE), np.random.default_rng(0)
    size = CASE.height >> scale, CASE.width >> scale
    flow = rng.normal(0, 1, (CASE.batch, *size, 2)).astype(np.float32)
    disparities, source_disparities = 1 / scene["depth"], 1 / scene["source_depths"][:, [source]]
    poses, K, config = scene["poses"][:, [source]], scene["intrinsics"], CASE.config().flow_loss
    images = [mean_pool(image, 2**scale) for image in (batch["target"], batch["sources"][:, [source]])]

    def of_snippet(disparity, source_disparities, poses, K, flow, target, sources):
        rigid = rigid_views(disparity, source_disparities, poses, K, 1 + scale, config)[scale]
        return flow_loss(flow[None], target, sources, rigid, config)

    ours, diagnostics = jax.vmap(of_snippet)(disparities, source_disparities, poses, K, flow, *images)
    views = disparities, source_disparities[:, 0], poses[:, 0], K
    rigid = flow_step.rigid_view(*map(torch.from_numpy, views), scale, vectorised_masks)
    target, source = (channels_first(np.asarray(image)) for image in (images[0], images[1][:, 0]))
    theirs = flow_step.flow_loss(channels_first(flow), target, source, rigid)
    np.testing.assert_allclose(theirs, ours, rtol=1e-4)
    assert np.all(diagnostics["taught"] > 0)
    assert np.all(diagnostics["visible"] < 0.99)


def test_the_flow_network(quick_compile):
    network, batch = Back2Future(), random_images(CASE)
    with_visible_mistakes(network)
    with torch.no_grad():
        theirs = network(channels_first(batch["target"]), sources_first(batch["sources"]))
    variables = convert({name: tensor.numpy() for name, tensor in network.state_dict().items()}, "flow")
    sources = [batch["sources"][:, 0], batch["sources"][:, 1]]
    ours = jax.jit(functools.partial(FlowNet().apply, train=True))(variables, batch["target"], sources)
    for direction, of_scales in zip(ours, theirs, strict=True):
        assert len(direction) == 6
        for expected, flow in zip(direction, of_scales, strict=True):
            assert np.std(expected) > 0.05 * np.abs(expected).max()
            np.testing.assert_allclose(channels_last(flow), expected, atol=1e-4 * np.abs(expected).max())


def test_what_does_not_agree_is_not_timed():
    mask = np.ones((2, 10, 10), bool)
    comparison._demand_same_mask("vectorised", mask, mask)
    with pytest.raises(UserError, match=r"differ from ours in 100.00% of the pixels.*not compared"):
        comparison._demand_same_mask("vectorised", mask, ~mask)
    comparison._demand_same_loss("vectorised", 1.0, 1.0005, comparison.AGREEMENT)
    for loss in (1.01, float("nan")):
        with pytest.raises(UserError, match=r"the loss is .* in PyTorch.*not compared"):
            comparison._demand_same_loss("vectorised", 1.0, loss, comparison.AGREEMENT)


def test_a_single_cell_cannot_be_normalised():
    with pytest.raises(UserError, match="more than one cell at stride 128"):
        next(comparison.step_rows(Case("1", "lite", 1, 64, 128), 1, jax.devices()[0], "float32"))
    comparison._check_normalisable(Case("2", "resnet6", 1, 64, 128))


def test_a_step_of_phase_2_trains_the_flow_network_alone():
    step = flow_step.FlowStep(random_batch(dataclasses.replace(CASE, batch=1)), 1e-6, torch.device("cpu"))
    teachers = [tensor.clone() for network in step.frozen.values() for tensor in network.state_dict().values()]
    first, second, third = (step.take(vectorised_masks) for _ in range(3))
    assert third < second < first
    assert step.loss(released_masks).item() == pytest.approx(step.loss(vectorised_masks).item(), rel=1e-6)
    after = [tensor for network in step.frozen.values() for tensor in network.state_dict().values()]
    assert all(torch.equal(*pair) for pair in zip(teachers, after, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("phase", comparison.STEPS)
def test_the_step_has_the_same_loss_and_gradient(quick_compile, phase):
    case = dataclasses.replace(CASE, phase=phase)
    device, batch, config = jax.local_devices()[0], random_batch(case), case.config()
    torch_step = comparison.STEPS[phase](batch, config.optimizer.learning_rate, torch.device("cpu"))
    if phase == "2":
        with_visible_mistakes(torch_step.trained["flow"])
    state = parallel.replicate(comparison.with_weights_of(torch_step, create_state(config)), [device])
    with jax.default_matmul_precision("float32"):
        _, metrics = parallel.data_parallel(train_step(config), [device])(state, on_device(batch, device))

    loss = torch_step.loss(vectorised_masks)
    loss.backward()
    squares = [(parameter.grad**2).sum() for parameter in torch_step.parameters() if parameter.grad is not None]
    assert loss.item() == pytest.approx(float(metrics["loss"]), rel=comparison.AGREEMENT)
    assert torch.stack(squares).sum().sqrt().item() == pytest.approx(float(metrics["grad_norm"]), rel=1e-2)
    if phase == "2":
        assert metrics["taught"] > 0.01
        assert metrics["visible"] < 0.9


@pytest.mark.slow
def test_the_rows(quick_compile):
    cases = [dataclasses.replace(CASE, phase=phase, networks="lite") for phase in ("1", "2")]
    with fresh_cache():
        device = jax.local_devices()[0]
        rows = list(comparison.mask_rows(CASE, 1, device))
        for case in comparison.compared(cases):
            rows += comparison.step_rows(case, 1, device, "float32")
    size, ways = "2 x 64 x 128", ("PyTorch vectorised", "PyTorch released way")
    steps = [(f"phase {phase}, resnet6, {size}", "step full") for phase in ("1", "2")]
    for label, what in [(size, "masks"), *steps]:
        of_label = [row for row in rows if row.case == f"beside PyTorch {torch.__version__}, {label}"]
        assert {row.what for row in of_label} == {f"{what}, {who}" for who in ("ours", *ways)}
        ratios = {row.reference: row.ratio for row in of_label if row.ratio and row.what == f"{what}, ours"}
        assert set(ratios) == {f"{what}, {way}" for way in ways}
        assert all(ratio > 0 for ratio in ratios.values())
