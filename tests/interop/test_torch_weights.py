"""Converted PyTorch weights give the PyTorch networks' outputs, and wrong files are refused in one sentence."""

import ast
import functools
import zlib

import jax
import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.interop.torch_weights import convert
from dopi_jax.models import DepthNet, FlowNet, PoseNet

# These tests run each program once or twice: compiling is what takes the time.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def reference_tensor(name, shape, seed):
    """The reference state dicts are made by rule from their tensors' names, so no weight file is needed."""
    if name.endswith("num_batches_tracked"):
        return np.zeros((), np.int64)
    draws = np.random.default_rng(zlib.crc32(name.encode("ascii")) ^ seed).standard_normal(shape)
    if name.endswith("running_mean"):
        draws *= 0.1
    elif name.endswith("running_var"):
        draws = np.exp(0.2 * draws)
    elif name.endswith("bias"):
        draws *= 0.05
    elif len(shape) == 1:
        draws = 1 + 0.1 * draws
    else:
        fan_in = shape[0] * 9 / 4 if name.startswith("upconv") else shape[1] * shape[2] * shape[3]
        draws *= gain(name) * np.sqrt(2 / fan_in)
    return draws.astype(np.float32)


FLOW_OUTPUT_GAINS = {"6": 20.0, "5": 4.0, "4": 1.0, "3": 0.5, "2": 0.3}


def gain(name):
    if name.startswith("predict_disp"):
        return 0.35
    if name.endswith("conv2.weight"):
        return 0.5
    if "downsample.0" in name:
        return 0.7
    if name.startswith("decoder") and name.endswith(".10.weight"):
        return FLOW_OUTPUT_GAINS[name.removesuffix(".10.weight")[-1]]
    return 1.0


@pytest.fixture(params=["depth_resnet6", "depth_resnet_s6", "pose_b6", "flow_back2future"])
def reference(request, shared):
    """The recorded outputs of a PyTorch network and the state dict that they belong to."""
    arrays = np.load(shared / "golden" / f"net_{request.param}.npz")
    layout = zip(arrays["names"].tolist(), arrays["shapes"].tolist(), strict=True)
    state_dict = {n: reference_tensor(n, ast.literal_eval(s), int(arrays["seed"])) for n, s in layout}
    return arrays, state_dict


def image(pixels):
    return (pixels.astype(np.float32) / 255 - 0.5) / 0.5


def relative_error(got, want):
    return np.linalg.norm(got - want) / np.linalg.norm(want)


def test_outputs_equal_the_pytorch_networks(reference):
    arrays, state_dict = reference
    sums = [tensor.sum(dtype=np.float64) for tensor in state_dict.values()]
    magnitudes = [np.abs(tensor).sum(dtype=np.float64) for tensor in state_dict.values()]
    np.testing.assert_allclose(sums, arrays["fingerprint_sum"], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(magnitudes, arrays["fingerprint_abs"], rtol=1e-9)

    kind = str(arrays["kind"])
    variables = convert(state_dict, network=kind)
    for case in range(int(arrays["n_cases"])):
        recorded = {name.removeprefix(f"case{case}_"): arrays[name] for name in arrays if name.startswith(f"case{case}_")}
        if kind == "depth":
            net = DepthNet(str(arrays["variant"]))
            disparities = quick_jit(functools.partial(net.apply, all_scales=True))(variables, image(recorded["target"]))
            assert len(disparities) == 6
            for scale, disparity in enumerate(disparities, 1):
                assert relative_error(disparity[..., None], recorded[f"disp{scale}"]) < 1e-4
            continue
        target, previous, following = (image(recorded[name]) for name in ("target", "previous", "next"))
        if kind == "pose":
            poses = quick_jit(PoseNet(2).apply)(variables, target, [previous, following])
            assert relative_error(poses, recorded["pose"]) < 1e-4
        else:
            apply = quick_jit(functools.partial(FlowNet().apply, train=True))
            forward, backward = apply(variables, target, [previous, following])
            assert len(forward) == len(backward) == 6
            for scale in range(6):
                assert relative_error(forward[scale], recorded[f"fwd{scale + 1}"]) < 1e-4
                assert relative_error(backward[scale], recorded[f"bwd{scale + 1}"]) < 1e-4


@pytest.fixture
def pose_state_dict():
    return make_pose_state_dict(num_refs=2)


def make_pose_state_dict(num_refs):
    rng = np.random.default_rng(0)
    tensors, channels = {}, 3 * (1 + num_refs)
    widths, kernels = (16, 32, 64, 128, 256, 256, 256, 256), (7, 5, 3, 3, 3, 3, 3, 3)
    for layer, (width, kernel) in enumerate(zip(widths, kernels, strict=True), 1):
        tensors[f"conv{layer}.0.weight"] = rng.standard_normal((width, channels, kernel, kernel))
        tensors[f"conv{layer}.0.bias"] = rng.standard_normal(width)
        channels = width
    tensors["pose_pred.weight"] = rng.standard_normal((6 * num_refs, channels, 1, 1))
    tensors["pose_pred.bias"] = rng.standard_normal(6 * num_refs)
    return tensors


def make_flow_state_dict(decoders):
    tensors = {}

    def add(name, inputs, outputs):
        tensors[f"{name}.weight"] = np.zeros((outputs, inputs, 3, 3), np.float32)
        tensors[f"{name}.bias"] = np.zeros(outputs, np.float32)

    widths = (3, 16, 32, 64, 96, 128, 192)
    for level in range(1, 7):
        for pyramid in "abc":
            add(f"conv{level}{pyramid}.0", widths[level - 1], widths[level])
            add(f"conv{level}{pyramid}.2", widths[level], widths[level])
    for level, decoder in [(level, decoder) for level in range(2, 7) for decoder in decoders]:
        context = widths[level] + 2 if level < 6 else widths[level] if decoder == "occ" else 0
        channels = (162 + context, 128, 128, 96, 64, 32, 2)
        for layer in range(6):
            add(f"decoder_{decoder}{level}.{2 * layer}", channels[layer], channels[layer + 1])
    return tensors


@pytest.mark.parametrize("decoders, parameters", [(("fwd", "bwd"), 9_016_452), (("fwd", "bwd", "occ"), 12_212_622)])
def test_flow_keeps_its_occlusion_decoders_where_there_are_any(decoders, parameters):
    variables = convert(make_flow_state_dict(decoders), network="flow")
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == parameters
    assert ("occlusion" in variables["params"]["level4"]) == ("occ" in decoders)


def test_flow_decoders_find_every_displacement():
    state_dict = make_flow_state_dict(("fwd", "bwd"))
    # PyTorch's channels: the forward volume from (dx, dy) = (4, 4) down, then the backward one with opposite displacements.
    velocities = [(dx, dy) for dx in range(4, -5, -1) for dy in range(4, -5, -1)]
    numbers = np.arange(1.0, 163.0, dtype=np.float32)
    for decoder in ("fwd", "bwd"):
        state_dict[f"decoder_{decoder}3.0.weight"][5, :162, 1, 2] = numbers
        state_dict[f"decoder_{decoder}3.0.weight"][5, 162:, 1, 2] = np.arange(66)
    level = convert(state_dict, network="flow")["params"]["level3"]
    forward, backward = (level[direction]["conv1"]["kernel"][1, 2, :, 5] for direction in ("forward", "backward"))
    for number, (dx, dy) in zip(numbers[:81], velocities, strict=True):
        channel = (dy + 4) * 9 + dx + 4
        assert forward[channel] == backward[81 + channel] == number
        assert forward[81 + channel] == backward[channel] == number + 81
    np.testing.assert_array_equal(forward[162:], np.arange(66))
    np.testing.assert_array_equal(backward[162:], np.arange(66))


@pytest.mark.parametrize("num_refs", [1, 2, 4])
def test_number_of_sources_is_found_from_the_tensors(num_refs):
    variables = convert(make_pose_state_dict(num_refs), network="pose")
    x = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    assert jax.eval_shape(PoseNet(num_refs).apply, variables, x, [x] * num_refs).shape == (1, num_refs, 6)


def test_result_is_plain_float32_arrays(pose_state_dict):
    variables = convert(pose_state_dict, network="pose")
    assert set(variables) == {"params"}
    assert all(type(leaf) is np.ndarray and leaf.dtype == np.float32 for leaf in jax.tree.leaves(variables))
    kernel = variables["params"]["conv2"]["kernel"]
    assert kernel[3, 1, 5, 7] == np.float32(pose_state_dict["conv2.0.weight"][7, 5, 3, 1])


class TorchLike:
    """Has of a tensor only what numpy needs."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def test_checkpoints_prefixes_and_tensors_are_unwrapped(pose_state_dict):
    plain = convert(pose_state_dict, network="pose")
    wrapped = {"module." + name: TorchLike(array) for name, array in pose_state_dict.items()}
    converted = convert({"epoch": 7, "state_dict": wrapped}, network="pose")
    jax.tree.map(np.testing.assert_array_equal, plain, converted)


def test_missing_tensors_are_counted_and_the_first_named(pose_state_dict):
    del pose_state_dict["conv3.0.bias"], pose_state_dict["pose_pred.bias"]
    with pytest.raises(UserError, match="2 of 18 tensors of PoseNetB6 are missing, .* 'params/conv3/bias'"):
        convert(pose_state_dict, network="pose")


@pytest.mark.parametrize("name", ["conv9.0.weight", "conv1.0.running_mean", "fc.weight", "epoch"])
def test_unexpected_tensor_is_named(pose_state_dict, name):
    with pytest.raises(UserError, match=f"'{name}' is not part of PoseNetB6"):
        convert(pose_state_dict | {name: np.zeros(3)}, network="pose")


@pytest.mark.parametrize("shape", [(32, 16, 3, 3), (16, 32, 5, 5), (32, 16, 5), (12800,)])
def test_wrong_shape_is_told_in_the_order_of_the_file(pose_state_dict, shape):
    pose_state_dict["conv2.0.weight"] = np.zeros(shape)
    with pytest.raises(UserError, match=r"'conv2.0.weight' has shape \(.*\), but PoseNetB6 has \(32, 16, 5, 5\)"):
        convert(pose_state_dict, network="pose")


def test_weights_of_another_network_are_refused(pose_state_dict):
    with pytest.raises(UserError, match="not part of|has shape"):
        convert(pose_state_dict, network="depth")


def test_unknown_network_is_named():
    with pytest.raises(UserError, match="'mask', expected one of: depth, pose, flow"):
        convert({}, network="mask")


def test_empty_state_dict_is_refused():
    with pytest.raises(UserError, match="18 of 18 tensors"):
        convert({}, network="pose")
