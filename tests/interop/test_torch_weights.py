"""Converted PyTorch weights give the PyTorch networks' outputs, and wrong files are refused in one sentence."""

import ast
import functools
import zlib

import jax
import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.interop.torch_weights import convert
from dopi_jax.models import DepthNet, PoseNet

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


def gain(name):
    if name.startswith("predict_disp"):
        return 0.35
    if name.endswith("conv2.weight"):
        return 0.5
    return 0.7 if "downsample.0" in name else 1.0


@pytest.fixture(params=["depth_resnet6", "depth_resnet_s6", "pose_b6"])
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
                assert relative_error(disparity, recorded[f"disp{scale}"]) < 1e-4
        else:
            target, previous, following = (image(recorded[name]) for name in ("target", "previous", "next"))
            poses = quick_jit(PoseNet(2).apply)(variables, target, [previous, following])
            assert relative_error(poses, recorded["pose"]) < 1e-4


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
    with pytest.raises(UserError, match="'mask', expected one of: depth, pose"):
        convert({}, network="mask")


def test_empty_state_dict_is_refused():
    with pytest.raises(UserError, match="18 of 18 tensors"):
        convert({}, network="pose")
