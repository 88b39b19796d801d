"""A trained model in a program: `dopi_jax.load`, the file of a model, and what comes out."""

import copy
import dataclasses
import json
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dopi_jax
from dopi_jax import evaluation, geometry, predict
from dopi_jax.config import Config, PredictionConfig
from dopi_jax.data import tracking
from dopi_jax.data.images import network_input
from dopi_jax.errors import UserError
from dopi_jax.model_file import read_model, shipped_models, write_model
from dopi_jax.networks import network_variables
from dopi_jax.trained_model import Model
from dopi_jax.training import create_state
from dopi_jax.training.trained import initial_variables

HEIGHT, WIDTH = 64, 128
K = np.array([[100.0, 0, 63.5], [0, 100.0, 31.5], [0, 0, 1]])

pytestmark = pytest.mark.usefixtures("quick_compile")


def make(phase):
    config = Config(phase=phase)
    config.data.height, config.data.width = HEIGHT, WIDTH
    config.data.root, config.data.train = "/somewhere", ("images:mine",)
    config.model.depth = config.model.pose = config.model.flow = "lite"
    return config, network_variables(*(lambda s: (s.params, s.batch_stats))(create_state(config)))


@pytest.fixture(scope="module")
def trained():
    return make("depthpose")


@pytest.fixture(scope="module")
def model(trained):
    return Model(*trained, 7)


@pytest.fixture(scope="module")
def frames():
    coarse = np.random.default_rng(0).uniform(0, 255, (5, 8, 16, 3)).astype(np.float32)
    return np.asarray(jax.image.resize(coarse, (5, HEIGHT, WIDTH, 3), "linear")).astype(np.uint8)


def test_depth_and_motion_are_those_of_the_networks(trained, model, frames):
    config, variables = trained
    found = model(frames, K)
    images = network_input(frames)
    disparity = predict.make_predict_disparity(config)(variables, images)
    np.testing.assert_allclose(found.disparity, disparity, rtol=1e-4)
    np.testing.assert_allclose(found.depth, 1 / disparity, rtol=1e-4)
    sources = np.stack([images[:-2], images[2:]], axis=1)
    motions = predict.make_predict_poses(config)(variables, images[1:-1], sources, np.tile(K, (3, 1, 1)))
    np.testing.assert_allclose(found.poses, evaluation.trajectory_from_predictions(np.asarray(motions)), atol=1e-5)
    assert found.visible.shape == (4, HEIGHT, WIDTH)
    assert found.visible.dtype == bool
    assert found.flow is None and found.flow_back is None


def test_depth_is_in_the_unit_of_motion(trained, model, frames):
    """D9: where motion is learnt from disparities that are divided by their maximum, so is depth given."""
    config, variables = trained
    normalised = dataclasses.replace(config, loss=dataclasses.replace(config.loss, normalize_all_disparities=True))
    found, plain = Model(normalised, variables, 7)(frames, K), model(frames, K)
    largest = plain.disparity.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found.disparity, plain.disparity / largest, rtol=1e-4)
    np.testing.assert_allclose(found.depth, 1 / found.disparity, rtol=1e-6)


def test_results_have_the_size_of_the_frames(model, frames):
    large = frames.repeat(2, axis=1).repeat(2, axis=2)[:, 3:, 5:]
    found = model(large, np.diag([2.0, 2.0, 1.0]) @ K)
    assert found.depth.shape == large.shape[:3]
    assert found.visible.shape == (4, *large.shape[1:3])
    assert found.disparity.dtype == found.depth.dtype == found.poses.dtype == np.float32


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 128), (64, 128)),
        ((375, 1242), (64, 160)),
        ((1080, 1920), (64, 128)),
        ((1920, 1080), (128, 64)),
        ((9, 999), (32, 960)),
    ],
)
def test_frames_of_any_shape_may_keep_it(trained, size, expected):
    config, variables = trained
    keeping = dataclasses.replace(config, prediction=PredictionConfig(keep_aspect=True))
    assert Model(keeping, variables, 0).network_size(size) == expected
    assert Model(config, variables, 0).network_size(size) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("count", [1, 2, 20, 21, 40])
def test_a_stream_gives_frame_by_frame_what_the_whole_gives(model, frames, count):
    video = np.concatenate([np.roll(frames, shift, axis=2) for shift in range(8)])[:count]
    whole, stream = model(video, K), list(model.stream(iter(video), K))
    assert len(stream) == count
    np.testing.assert_allclose([f.depth for f in stream], whole.depth, rtol=1e-3)
    if count == 1:
        assert stream[0].pose is None and stream[0].visible is None
        return
    np.testing.assert_allclose([f.pose for f in stream], whole.poses, atol=1e-4)
    assert np.mean([f.visible for f in stream[:-1]] == whole.visible) > 0.999
    assert stream[-1].visible is None


def test_a_stream_checks_its_frames(model, frames):
    with pytest.raises(UserError, match="there is no frame"):
        next(model.stream(iter([]), K))
    with pytest.raises(UserError, match="frames of a video are 128x32 and 128x64 pixels"):
        list(model.stream([frames[0], frames[1, :32]], K))
    with pytest.raises(UserError, match="expected uint8"):
        next(model.stream([frames[0] / 255], K))


@pytest.mark.slow
def test_flow_is_streamed_both_ways(frames):
    flow_model = Model(*make("flow"), 0)
    video = np.concatenate([frames] * 4)[:19].repeat(2, axis=1)
    whole, stream = flow_model(video), list(flow_model.stream(video))
    np.testing.assert_allclose([f.flow for f in stream[:-1]], whole.flow, atol=1e-2)
    np.testing.assert_allclose([f.flow_back for f in stream[1:]], whole.flow_back, atol=1e-2)
    assert stream[0].flow_back is None and stream[-1].flow is None


def test_motion_may_follow_corners(trained, frames, monkeypatch):
    config, variables = trained
    motion = geometry.pose_from_vector(jnp.array([0.1, 0.0, -1.0, 0.0, 0.02, 0.01]))
    depth = 4 + 10 * jax.random.uniform(jax.random.key(1), (HEIGHT, WIDTH))
    pixels = geometry.pixel_grid(HEIGHT, WIDTH)
    ends = pixels + geometry.rigid_flow(depth, jnp.asarray(K, jnp.float32), motion)
    to_next = np.asarray(jnp.concatenate([pixels, ends], axis=-1)[3::6, 3::6].reshape(-1, 4))
    of_target = tracking.matches_around(to_next, to_next)
    monkeypatch.setattr(tracking, "match_snippets", lambda frames, size: np.stack([of_target] * (len(frames) - 2)))
    following = dataclasses.replace(config, prediction=PredictionConfig(matched_motion=True))
    poses = Model(following, variables, 0)(frames, K).poses
    steps = np.linalg.inv(poses[1:]) @ poses[:-1]
    np.testing.assert_allclose(steps[:, :3, :3], np.tile(motion[:3, :3], (4, 1, 1)), atol=2e-3)
    directions = steps[:, :3, 3] / np.linalg.norm(steps[:, :3, 3], axis=1, keepdims=True)
    np.testing.assert_allclose(directions, np.tile(motion[:3, 3] / np.linalg.norm(motion[:3, 3]), (4, 1)), atol=0.01)


def test_one_frame_has_depth_alone_and_two_have_motion(model, frames):
    one = model(frames[0])
    assert one.depth.shape == (1, HEIGHT, WIDTH)
    assert one.poses is None and one.visible is None
    two = model(frames[:2], K)
    assert two.poses.shape == (2, 4, 4) and two.visible.shape == (1, HEIGHT, WIDTH)
    np.testing.assert_allclose(two.poses[1], model(frames[:3], K).poses[1], atol=2e-3)


@pytest.mark.slow
def test_flow_goes_to_the_next_frame_and_back(frames):
    config, variables = make("flow")
    found = Model(config, variables, 0)(frames[:3].repeat(2, axis=1))
    assert found.depth is None and found.poses is None
    images = network_input(frames)
    of_middle = np.asarray(predict.make_predict_flow(config)(variables, images[1:2], images[None, [0, 2]]))[0]
    # Twice the height: the same motion has twice the pixels, downwards.
    np.testing.assert_allclose(found.flow[1, ::2], of_middle[1] * [1, 2], atol=0.3)
    np.testing.assert_allclose(found.flow_back[0, ::2], of_middle[0] * [1, 2], atol=0.3)


@pytest.fixture(scope="module")
def model_of_both_phases(trained):
    """A flow network that is shown the rigid flow of the depth and pose networks beside it."""
    config, variables = copy.deepcopy(trained[0]), dict(trained[1])
    config.model.flow, config.flow_loss.shown_rigid, config.phase = "lite", 1.0, "flow"
    state = create_state(config)
    return Model(config, variables | network_variables(state.params, state.batch_stats), 0)


def test_flow_sees_the_rigid_flow_of_depth_and_motion(model_of_both_phases, frames):
    found = model_of_both_phases(frames[:3], K)
    rigid = [
        geometry.rigid_flow(found.depth[1], K, np.linalg.inv(found.poses[other]) @ found.poses[1]) for other in (0, 2)
    ]
    images = network_input(frames[:3])
    predict_flow = predict.make_predict_flow(model_of_both_phases.config)
    seen = images[1:2], images[None, [0, 2]], np.stack(rigid)[None]
    back, ahead = np.asarray(predict_flow(model_of_both_phases.variables, *seen))[0]
    # At single pixels the choice between flows turns on rounding.
    for got, want in ((found.flow[1], ahead), (found.flow_back[0], back)):
        assert np.mean(np.abs(got - want).max(-1) < 0.05) > 0.98


def test_flow_can_be_left_out(model_of_both_phases, frames):
    model = model_of_both_phases
    without = model(frames[:2], K, flow=False)
    assert without.flow is None and without.depth is not None


def test_flow_is_in_pixels_of_the_frames(model_of_both_phases, frames):
    wide = np.repeat(frames[0], 2, axis=1)
    moved = np.stack([wide, np.roll(wide, 12, axis=1)])
    found = model_of_both_phases(moved, K)
    assert found.flow.shape == found.flow_back.shape == (1, HEIGHT, 2 * WIDTH, 2)
    np.testing.assert_allclose(np.median(found.flow, axis=(0, 1, 2)), [12, 0], atol=2.5)


def test_the_rigid_flow_may_be_of_refined_depth(model_of_both_phases, frames):
    config = copy.deepcopy(model_of_both_phases.config)
    config.prediction.motion_stereo = True
    moved = np.stack([frames[0], np.roll(frames[0], 6, axis=1)])
    found = Model(config, model_of_both_phases.variables, 0)(moved, K)
    np.testing.assert_allclose(np.median(found.flow, axis=(0, 1, 2)), [6, 0], atol=1.5)


def test_unknown_intrinsics_are_guessed_aloud(model, frames):
    with pytest.warns(UserWarning, match="guessed, 65 degrees"):
        model(frames[:2])


@pytest.mark.parametrize(
    ("bad", "camera", "told"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), K, "frames are float32"),
        (np.zeros((8, 8), np.uint8), K, r"of the shape \(8, 8\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), K, r"\(0, 8, 8, 3\)"),
        (np.zeros((2, 64, 128, 3), np.uint8), np.eye(4), r"K has the shape \(4, 4\)"),
        (np.zeros((2, 64, 128, 3), np.uint8), -K, "K"),
    ],
)
def test_wrong_input_is_told(model, bad, camera, told):
    with pytest.raises(UserError, match=told):
        model(bad, camera)


def test_a_file_holds_the_model_in_half_precision(trained, frames, tmp_path):
    config, variables = trained
    write_model(tmp_path / "mine.npz", config, variables, 7)
    loaded = dopi_jax.load(str(tmp_path / "mine.npz"))
    assert loaded.step == 7
    assert loaded.config == config
    rounded = jax.tree.map(lambda x: np.asarray(x).astype(np.float16).astype(np.float32), dict(variables))
    np.testing.assert_allclose(loaded(frames[:1]).depth, Model(config, rounded, 7)(frames[:1]).depth, rtol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]


def test_a_training_starts_from_a_model_file(trained, tmp_path):
    config, variables = trained
    write_model(tmp_path / "mine.npz", config, variables, 7)
    new = Config(init_from=str(tmp_path / "mine.npz"))
    new.model.depth = new.model.pose = "lite"
    found = initial_variables(tmp_path / "run", new)
    assert set(found) == {"depth", "pose"}
    new.model.depth = "resnet6"
    with pytest.raises(UserError, match="model.depth is 'lite', but the config asks for 'resnet6'"):
        initial_variables(tmp_path / "run", new)


def test_what_is_no_model_is_told(tmp_path):
    with pytest.raises(UserError, match="'nowhere' is no model: expected a run's folder"):
        dopi_jax.load("nowhere")
    with pytest.raises(UserError, match=r"missing.npz does not exist"):
        dopi_jax.load(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("no zip file")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    whole = bytearray(shipped_models()["driving"].read_bytes())
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    whole[len(whole) // 2 : len(whole) // 2 + 2000] = bytes(2000)
    (tmp_path / "damaged.npz").write_bytes(whole)
    for name in ("text", "other", "empty", "array", "cut", "damaged"):
        with pytest.raises(UserError, match=rf"{name}.npz cannot be read as a model"):
            read_model(tmp_path / f"{name}.npz")


def test_values_beyond_half_precision_are_refused(trained, tmp_path):
    config, _ = trained
    with pytest.raises(UserError, match="depth/params/kernel has values that 16 bits cannot hold"):
        write_model(tmp_path / "mine.npz", config, {"depth": {"params": {"kernel": np.array([1e6])}}}, 0)
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_imports_no_networks():
    code = "import sys, dopi_jax; import json; print(json.dumps(sorted(m for m in sys.modules if m in ('jax', 'flax'))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
