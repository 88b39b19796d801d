import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry, losses
from dopi_jax.config import ABLATIONS, Config, LossConfig, apply_variant
from dopi_jax.models import DepthNet, PoseNet
from dopi_jax.objectives import depth_pose_loss, depth_pose_objective, mean_pool

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(params=["phase1_32x48", "phase1_40x72"])
def golden(request, shared):
    arrays = np.load(shared / "golden" / "losses.npz")
    prefix = request.param + "/"
    return {key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)}


def snippet(golden):
    sources = np.stack([golden["previous"], golden["next"]])
    source_disparities = 1 / np.stack([golden["source_depth_0"], golden["source_depth_1"]])
    return golden["disparity"], source_disparities, golden["pose_vectors"], golden["target"], sources, golden["K"]


def loss_of_vectors(disparity, source_disparities, vectors, target, sources, K, config):
    poses = jax.vmap(geometry.pose_from_vector)(vectors)
    return depth_pose_loss(disparity, source_disparities, poses, target, sources, K, config)


def assert_close(got, want):
    got, want = np.asarray(got, np.float64), np.asarray(want)
    assert np.linalg.norm(got - want) <= 1e-4 * np.linalg.norm(want)


def test_golden_phase_1(golden):
    (loss, diagnostics), gradients = jax.jit(
        jax.value_and_grad(loss_of_vectors, argnums=(0, 2), has_aux=True), static_argnums=6
    )(*snippet(golden), _Frozen(LossConfig()))
    assert_close(loss, golden["total"])
    assert_close(diagnostics["reconstruction"], golden["recon_0"] + golden["recon_1"])
    assert_close(diagnostics["smoothness"], golden["smooth"])
    assert_close(gradients[0], golden["grad_disparity"])
    assert_close(gradients[1], golden["grad_pose"])
    for name in ("edge", "overlap", "blank"):
        assert_close(diagnostics[name], (golden[f"{name}_0"].mean() + golden[f"{name}_1"].mean()) / 2)


def test_golden_masks_and_errors(golden):
    disparity, source_disparities, vectors, target, sources, K = snippet(golden)
    for i in range(2):
        pose = geometry.pose_from_vector(vectors[i])
        warped, _ = geometry.warp_by_depth(sources[i], 1 / disparity, K, pose)
        assert_close(warped, golden[f"warped_{i}"])
        error = losses.photometric_error(target, warped)
        assert_close(error, golden[f"error_{i}"])
        masks = geometry.occlusion_masks(1 / disparity, 1 / source_disparities[i], K, pose)
        ltm = losses.less_than_mean_mask(error, masks.visible)
        for name, mask in [*masks._asdict().items(), ("ltm", ltm)]:
            np.testing.assert_array_equal(mask, golden[f"{name}_{i}"] > 0, err_msg=name)


class _Frozen:
    """A config that jit can take as a static argument."""

    def __init__(self, config):
        self.__dict__.update(vars(config))


def random_snippet(height=24, width=40):
    keys = jax.random.split(jax.random.key(0), 4)
    smooth = jax.image.resize(jax.random.uniform(keys[0], (3, 6, 10, 3), minval=-1), (3, height, width, 3), "cubic")
    disparity = 0.2 + 0.2 * jax.random.uniform(keys[1], (3, height, width))
    vectors = 0.05 * jax.random.normal(keys[2], (2, 6))
    K = jnp.array([[30.0, 0, width / 2], [0, 30.0, height / 2], [0, 0, 1]])
    return disparity[0], disparity[1:], vectors, smooth[0], smooth[1:], K


jitted_loss = jax.jit(lambda config, *sample: loss_of_vectors(*sample, config), static_argnums=0)


def variant_loss(variant):
    loss, _ = jitted_loss(_Frozen(apply_variant(Config(), variant).loss), *random_snippet())
    return float(loss)


def test_basic_is_the_plain_mean_of_eq_2():
    config = LossConfig(**ABLATIONS["basic"])
    disparity, others, vectors, target, sources, K = random_snippet()
    loss, diagnostics = loss_of_vectors(disparity, others, vectors, target, sources, K, config)
    want = 0.0
    for vector, source in zip(vectors, sources, strict=True):
        warped, _ = geometry.warp_by_depth(source, 1 / disparity, K, geometry.pose_from_vector(vector))
        want += losses.photometric_error(target, warped).sum() / (24 * 40 + 1)
    smoothness = losses.edge_aware_smoothness(losses.mean_normalized_disparity(disparity)[..., None], target)
    np.testing.assert_allclose(loss, want + 0.2 * smoothness, rtol=1e-5)
    assert diagnostics["kept"] == 1.0


def test_every_row_of_the_ablation_is_another_objective():
    values = [variant_loss(v) for v in ABLATIONS] + [variant_loss(f"{v},released") for v in ABLATIONS]
    assert len({round(v, 5) for v in values}) == len(values)
    assert np.isfinite(values).all()


def test_released_choices_have_their_stated_effects():
    sample = random_snippet()

    def reconstruction(**choices):
        config = _Frozen(LossConfig(less_than_mean=False, **choices))
        return float(jitted_loss(config, *sample)[1]["reconstruction"])

    plain = reconstruction()
    np.testing.assert_allclose(reconstruction(sum_channels=True), 3 * plain, rtol=1e-6)  # D6
    assert reconstruction(mask_inside_penalty=True) > plain  # D8 adds rho(0) for every masked pixel
    gradients = [
        jax.jit(jax.grad(lambda d, c=c: loss_of_vectors(d, *sample[1:], LossConfig(mask_inside_penalty=c))[0]))(sample[0])
        for c in (False, True)
    ]
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-9)  # ... and no gradient
    # D9: with every disparity divided by its maximum, their scale is free.
    scaled = [sample[0] * 3, sample[1] * 5, *sample[2:]]
    config = _Frozen(LossConfig(normalize_all_disparities=True))
    np.testing.assert_allclose(jitted_loss(config, *scaled)[0], jitted_loss(config, *sample)[0], rtol=1e-5)


def test_a_network_that_collapses_shows_it():
    _, others, *rest = random_snippet()
    _, diagnostics = loss_of_vectors(jnp.full((24, 40), 0.3), others, *rest, LossConfig())
    assert diagnostics["disparity_spread"] < 1e-4


@pytest.mark.parametrize("consistency", [0.0, 0.5])
def test_masks_and_source_depths_carry_no_gradient(consistency):
    sample, config = random_snippet(), LossConfig(consistency=consistency)
    gradient = jax.jit(jax.grad(lambda others: loss_of_vectors(sample[0], others, *sample[2:], config)[0]))(sample[1])
    np.testing.assert_array_equal(gradient, 0)


@pytest.fixture(scope="module")
def networks_and_batch():
    depth_net, pose_net = DepthNet("lite"), PoseNet(variant="lite")
    target, *others = (jax.random.uniform(k, (2, 32, 64, 3), minval=-1) for k in jax.random.split(jax.random.key(1), 3))
    key = jax.random.key(0, impl="rbg")  # compiles faster than the default generator
    depth_variables = jax.jit(lambda: depth_net.init(key, target, train=True))()
    pose_variables = jax.jit(lambda: pose_net.init(key, target, others))()
    params = {"depth": depth_variables["params"], "pose": pose_variables["params"]}
    stats = {}  # of a network without batch normalisation
    K = jnp.array([[40.0, 0, 32], [0, 40, 16], [0, 0, 1]])
    batch = {"target": target, "sources": jnp.stack(others, 1), "intrinsics": jnp.stack([K, K])}
    return depth_net, pose_net, params, stats, batch


def test_objective_of_the_networks(networks_and_batch):
    depth_net, pose_net, params, stats, batch = networks_and_batch

    @jax.jit
    def value_and_grad(params, stats):
        return jax.value_and_grad(depth_pose_objective, has_aux=True)(
            params, stats, batch, depth_net=depth_net, pose_net=pose_net, rotation="euler", config=LossConfig()
        )

    (loss, (new_stats, diagnostics)), gradients = value_and_grad(params, stats)
    assert np.isfinite(loss) and all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
    for network in ("depth", "pose"):
        assert sum(float(jnp.abs(g).sum()) for g in jax.tree.leaves(gradients[network])) > 0
    assert set(diagnostics) >= {"reconstruction", "smoothness", "edge", "overlap", "blank", "kept", "disparity_spread"}
    assert new_stats == {}


@pytest.mark.slow
def test_running_statistics_follow_the_target_alone(networks_and_batch):
    _, pose_net, params, _, batch = networks_and_batch
    depth_net = DepthNet("resnet6")
    variables = jax.jit(lambda: depth_net.init(jax.random.key(0, impl="rbg"), batch["target"], train=True))()
    params = {"depth": variables["params"], "pose": params["pose"]}
    _, (stats, _) = jax.jit(
        lambda p, s: depth_pose_objective(
            p, s, batch, depth_net=depth_net, pose_net=pose_net, rotation="euler", config=LossConfig()
        )
    )(params, {"depth": variables["batch_stats"]})
    _, alone = depth_net.apply(variables, batch["target"], train=True, mutable=["batch_stats"])
    # Rounding grows through so many layers; statistics that saw the sources too would differ in the second digit.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), stats["depth"], alone["batch_stats"])


@pytest.mark.slow
def test_several_scales_add_up_each_with_images_and_intrinsics_of_its_size(networks_and_batch):
    depth_net, pose_net, params, stats, batch = networks_and_batch

    @functools.partial(jax.jit, static_argnums=0)
    def objective(scales):
        return depth_pose_objective(
            params, stats, batch, depth_net=depth_net, pose_net=pose_net, rotation="euler", config=LossConfig(scales=scales)
        )[0]

    @jax.jit
    def second_scale():
        sources = batch["sources"]

        def disparities(images):
            return depth_net.apply({"params": params["depth"]}, images, train=True)[1]

        of_sources = disparities(sources.reshape(4, 32, 64, 3)).reshape(2, 2, 16, 32)
        vectors = pose_net.apply({"params": params["pose"]}, batch["target"], [sources[:, 0], sources[:, 1]])
        poses = jax.vmap(jax.vmap(geometry.pose_from_vector))(vectors)
        half = jnp.diag(jnp.array([0.5, 0.5, 1.0]))
        targets = mean_pool(batch["target"], 2)
        pooled_sources = jnp.stack([mean_pool(sources[:, i], 2) for i in range(2)], axis=1)
        values, _ = jax.vmap(lambda *sample: depth_pose_loss(*sample, LossConfig(smoothness=0.1)))(
            disparities(batch["target"]), of_sources, poses, targets, pooled_sources, half @ batch["intrinsics"]
        )
        return values.mean()

    np.testing.assert_allclose(objective(2) - objective(1), second_scale(), rtol=1e-4)


def test_mean_pool_worked_example():
    image = jnp.array([[1.0, 3.0, 0.0, 0.0], [5.0, 7.0, 0.0, 8.0]])[None, ..., None]
    np.testing.assert_array_equal(mean_pool(image, 2)[0, ..., 0], [[4.0, 2.0]])


@pytest.mark.slow
def test_at_full_size_every_scale_is_compared_with_the_images_as_they_are(networks_and_batch):
    depth_net, pose_net, params, stats, batch = networks_and_batch

    @functools.partial(jax.jit, static_argnums=0)
    def objective(scales):
        config = LossConfig(scales=scales, full_size=True)
        return depth_pose_objective(
            params, stats, batch, depth_net=depth_net, pose_net=pose_net, rotation="euler", config=config
        )[0]

    @jax.jit
    def second_scale():
        def disparities(images):
            coarse = depth_net.apply({"params": params["depth"]}, images, train=True)[1]
            return jax.image.resize(coarse, images.shape[:3], "bilinear")

        sources = batch["sources"]
        of_sources = disparities(sources.reshape(4, 32, 64, 3)).reshape(2, 2, 32, 64)
        vectors = pose_net.apply({"params": params["pose"]}, batch["target"], [sources[:, 0], sources[:, 1]])
        poses = jax.vmap(jax.vmap(geometry.pose_from_vector))(vectors)
        values, _ = jax.vmap(lambda *sample: depth_pose_loss(*sample, LossConfig()))(
            disparities(batch["target"]), of_sources, poses, batch["target"], sources, batch["intrinsics"]
        )
        return values.mean()

    np.testing.assert_allclose(objective(2) - objective(1), second_scale(), rtol=1e-4)


@pytest.mark.slow
def test_networks_see_what_the_batch_has_for_them(networks_and_batch):
    depth_net, pose_net, params, stats, batch = networks_and_batch

    @jax.jit
    def objective(batch):
        return depth_pose_objective(
            params, stats, batch, depth_net=depth_net, pose_net=pose_net, rotation="euler", config=LossConfig()
        )[0]

    plain = objective(batch)
    same = objective(batch | {"seen_target": batch["target"], "seen_sources": batch["sources"]})
    np.testing.assert_allclose(same, plain, rtol=1e-6)
    assert abs(objective(batch | {"seen_target": -batch["target"], "seen_sources": -batch["sources"]}) - plain) > 1e-5


def test_consistency_is_part_of_the_loss_where_it_has_a_weight():
    sample = random_snippet()
    without, _ = loss_of_vectors(*sample, LossConfig())
    loss, diagnostics = loss_of_vectors(*sample, LossConfig(consistency=0.5))
    np.testing.assert_allclose(loss - without, 0.5 * diagnostics["consistency"], rtol=1e-4)
    disparity, others, vectors, _, _, K = sample
    poses = jax.vmap(geometry.pose_from_vector)(vectors)
    want = 0.0
    for other, pose in zip(others, poses, strict=True):
        visible = geometry.occlusion_masks(1 / disparity, 1 / other, K, pose).visible
        want += losses.masked_mean(geometry.depth_inconsistency(1 / disparity, 1 / other, K, pose), visible)
    np.testing.assert_allclose(diagnostics["consistency"], want, rtol=1e-5)


class PointwiseDepth:
    """Stands for a depth network: says of every pixel what depends on that pixel alone, at two scales."""

    def apply(self, _variables, images, *, train, mutable):
        finest = 0.3 + 0.1 * jnp.mean(images, axis=-1)
        return [finest, finest[:, ::2, ::2]], {"batch_stats": {}}


@pytest.mark.parametrize("refinements", [0, 1])
def test_what_is_said_of_spliced_images_comes_back_to_its_place(networks_and_batch, refinements):
    _, pose_net, params, stats, batch = networks_and_batch
    batch = jax.tree.map(lambda x: jnp.concatenate([x, x[:, ::-1] if x.ndim > 3 else x]), batch)

    @jax.jit
    def objective(batch):
        return depth_pose_objective(
            params,
            stats,
            batch,
            depth_net=PointwiseDepth(),
            pose_net=pose_net,
            rotation="euler",
            config=LossConfig(scales=2, occlusion=False),
            refinements=refinements,
        )[0]

    np.testing.assert_allclose(objective(batch | {"cut": 32}), objective(batch), rtol=1e-5)


def test_depth_is_held_near_what_is_known_where_that_has_a_weight(networks_and_batch):
    depth_net, pose_net, params, stats, batch = networks_and_batch
    batch = batch | {"target": 0.05 * batch["target"]}  # plain
    known = 0.1 + jax.random.uniform(jax.random.key(5), batch["target"].shape[:3])

    @functools.partial(jax.jit, static_argnums=0)
    def objective(weight, known):
        config = LossConfig(occlusion=False, distillation=weight)
        loss, (_, diagnostics) = depth_pose_objective(
            params,
            stats,
            batch | {"known_disparity": known},
            depth_net=depth_net,
            pose_net=pose_net,
            rotation="euler",
            config=config,
        )
        return loss, diagnostics

    (without, _), (loss, diagnostics) = objective(0.0, known), objective(2.0, known)
    np.testing.assert_allclose(loss - without, 2 * diagnostics["departure"], rtol=1e-4)
    np.testing.assert_allclose(objective(2.0, 3 * known)[0], loss, rtol=1e-5)


def test_motion_stereo_teaches_depth_alone(networks_and_batch):
    depth_net, pose_net, params, stats, batch = networks_and_batch
    motion = geometry.pose_from_vector(jnp.array([-0.2, 0.0, -0.2, 0.0, 0.0, 0.0]))
    flow = geometry.rigid_flow(jnp.full((32, 64), 3.0), batch["intrinsics"][0], motion)
    pixels = geometry.pixel_grid(32, 64)
    matches = jnp.concatenate([pixels, pixels + flow], axis=-1)[2:-2:4, 2:-2:4].reshape(-1, 4)
    known = 0.3 * jnp.ones(batch["target"].shape[:3])
    batch = batch | {"matches": jnp.tile(matches, (2, 2, 1, 1)), "known_disparity": known}

    @functools.partial(jax.jit, static_argnums=1)
    @functools.partial(jax.value_and_grad, has_aux=True)
    def objective(params, weight):
        config = LossConfig(occlusion=False, reconstruction=0.0, smoothness=0.0, motion_stereo=weight)
        nets = {"depth_net": depth_net, "pose_net": pose_net, "rotation": "euler"}
        return depth_pose_objective(params, stats, batch, config=config, **nets)

    (loss, (_, diagnostics)), slope = objective(params, 0.5)
    assert diagnostics["taught"] > 0.1
    np.testing.assert_allclose(loss, 0.5 * diagnostics["stereo_difference"], rtol=1e-5)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(slope["depth"])) > 1e-4
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(slope["pose"]))


@pytest.mark.slow
def test_motion_and_depth_follow_matches_where_they_have_a_weight(networks_and_batch):
    depth_net, pose_net, params, stats, batch = networks_and_batch
    motion = geometry.pose_from_vector(jnp.array([0.0, 0.0, -0.4, 0.0, 0.02, 0.0]))
    depth = 2 + jax.random.uniform(jax.random.key(4), (32, 64))
    flow = geometry.rigid_flow(depth, batch["intrinsics"][0], motion)
    pixels = geometry.pixel_grid(32, 64)
    matches = jnp.concatenate([pixels, pixels + flow], axis=-1)[2:-2:4, 2:-2:4].reshape(-1, 4)
    batch = batch | {"matches": jnp.tile(matches, (2, 2, 1, 1))}

    def objective(params, of_motion, of_depth):
        config = LossConfig(occlusion=False, matched_motion=of_motion, matched_depth=of_depth)
        nets = {"depth_net": depth_net, "pose_net": pose_net, "rotation": "euler"}
        return depth_pose_objective(params, stats, batch, config=config, **nets)

    value, with_slope = (jax.jit(f, static_argnums=(1, 2)) for f in (objective, jax.value_and_grad(objective, has_aux=True)))
    (loss, (_, diagnostics)), slope = with_slope(params, 1.0, 0.0)
    (with_depth, _), of_both = with_slope(params, 1.0, 0.5)
    assert diagnostics["matched"] == 1.0
    np.testing.assert_allclose(with_depth - loss, 0.5 * diagnostics["matched_depth_error"], rtol=1e-4)
    twice, _ = value(params, 2.0, 0.0)
    np.testing.assert_allclose(twice - loss, diagnostics["motion_difference"], rtol=1e-4)
    # What the points tell of depth is no matter of the pose network's.
    for one, same in zip(*(jax.tree.leaves(s["pose"]) for s in (slope, of_both)), strict=True):
        np.testing.assert_allclose(one, same, rtol=1e-3, atol=1e-6)
    of_depth = (jax.tree.leaves(s["depth"]) for s in (slope, of_both))
    assert any(np.abs(a - b).max() > 1e-6 for a, b in zip(*of_depth, strict=True))


def test_one_unit_for_all_disparities_in_a_batch(networks_and_batch):
    """D9: depth and motion do not change when a sample's disparities are scaled, also where motion is refined by depth."""
    _, pose_net, params, stats, batch = networks_and_batch

    @functools.partial(jax.jit, static_argnums=1)
    def objective(scale, refinements):
        class Scaled(PointwiseDepth):
            def apply(self, *given, **options):
                disparities, updates = super().apply(*given, **options)
                return [scale * d for d in disparities], updates

        return depth_pose_objective(
            params,
            stats,
            batch,
            depth_net=Scaled(),
            pose_net=pose_net,
            rotation="euler",
            config=LossConfig(normalize_all_disparities=True),
            refinements=refinements,
        )[0]

    for refinements in (0, 1):
        np.testing.assert_allclose(objective(3.0, refinements), objective(1.0, refinements), rtol=1e-4)
