"""`dopi-jax import-torch`: checkpoints of the reference networks give the reference outputs through `load`."""

import ast
import os
import pickle

import numpy as np
import pytest
from test_torch_file import Files, mapping, plain, storage, tensor
from test_torch_weights import reference_tensor

import dopi_jax
from dopi_jax.commands import import_torch
from dopi_jax.interop.torch_file import read_torch_file
from dopi_jax.training.trained import initial_variables, read_run

FILES = {"disp_model": "depth_resnet6", "posenet": "pose_b6", "flownet": "flow_back2future"}


def golden_state_dict(shared, network):
    arrays = np.load(shared / "golden" / f"net_{network}.npz")
    layout = zip(arrays["names"].tolist(), arrays["shapes"].tolist(), strict=True)
    return {name: reference_tensor(name, ast.literal_eval(shape), int(arrays["seed"])) for name, shape in layout}


def write_checkpoint(folder, kind, name, state_dict, prefix="module."):
    """A file as `torch.save({"state_dict": ..., "optimizer": ..., "epoch": 7})` writes it."""
    kinds = {"float32": "FloatStorage", "int64": "LongStorage"}
    state_dict = {n: np.require(array, requirements="C") for n, array in state_dict.items()}
    storages = {str(i): array for i, array in enumerate(state_dict.values())}
    tensors = {}
    for key, (tensor_name, array) in zip(storages, state_dict.items(), strict=True):
        strides = tuple(s // array.itemsize for s in array.strides)
        of = storage(kinds[str(array.dtype)], key, array.size)
        tensors[f"{prefix}{tensor_name}"] = tensor(of, 0, array.shape, strides)
    content = mapping(epoch=plain(7), optimizer=plain({"state": {}, "lr": 1e-4}), state_dict=mapping(**tensors))
    written = getattr(Files(folder), kind)(content, storages)
    return written.rename(folder / f"{name}.pth.tar")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, shared):
    """The three files, in both of PyTorch's formats, with and without the names of DataParallel."""
    folder = tmp_path_factory.mktemp("torch")
    options = {"disp_model": ("zip", "module."), "posenet": ("legacy", ""), "flownet": ("zip", "")}
    found = {}
    for name, network in FILES.items():
        kind, prefix = options[name]
        found[name] = write_checkpoint(folder, kind, name, golden_state_dict(shared, network), prefix)
    return found


def run(*arguments):
    import_torch.main([str(argument) for argument in arguments])


def told(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 1
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def imported(checkpoints, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "imported"
    run(*checkpoints.values(), "--out", out, "--size", "128x192", "--trained-by", "cc")
    return out


def close(got, want):
    return np.linalg.norm(got - want) <= 1e-4 * np.linalg.norm(want)


@pytest.mark.slow
def test_the_runs_give_the_reference_outputs(imported, shared):
    model = dopi_jax.load(imported / "flow")
    arrays = {name: np.load(shared / f"golden/net_{name}.npz") for name in FILES.values()}
    depth = arrays["depth_resnet6"]
    assert close(model(depth["case0_target"][0]).disparity[0], np.squeeze(depth["case0_disp1"]))
    flow = arrays["flow_back2future"]
    frames = np.stack([flow[f"case0_{name}"][0] for name in ("previous", "target", "next")])
    K = np.array([[150.0, 0, 96], [0, 150.0, 64], [0, 0, 1]])
    found = model(frames, K)
    assert close(found.flow[1], flow["case0_fwd1"][0]) and close(found.flow_back[0], flow["case0_bwd1"][0])
    assert found.poses is not None


def test_they_train_on_and_are_evaluated_as_any_run(imported):
    config, variables, step = read_run(imported / "depthpose")
    assert (config.model.depth, config.phase, step) == ("resnet6", "depthpose", 0) and set(variables) == {"depth", "pose"}
    config.init_from = str(imported / "depthpose")
    assert set(initial_variables(imported / "new", config)) == {"depth", "pose"}


def test_one_network_alone_becomes_a_model_file(checkpoints, shared, tmp_path):
    run(checkpoints["disp_model"], "--out", tmp_path / "depth.npz", "--size", "128x192", "--trained-by", "cc")
    depth = np.load(shared / "golden/net_depth_resnet6.npz")
    found = dopi_jax.load(tmp_path / "depth.npz")(depth["case0_target"][0])
    np.testing.assert_allclose(found.disparity[0], np.squeeze(depth["case0_disp1"]), rtol=0.1)  # half precision
    assert found.poses is None


def test_what_is_wrong_is_named(checkpoints, tmp_path, capsys):
    out = ("--out", tmp_path / "out")
    assert "a run of phase 1 has depth and pose networks, give both" in told(capsys, checkpoints["posenet"], *out)
    twice = [checkpoints["posenet"]] * 2
    assert "posenet.pth.tar holds a pose network, and so does a file before it" in told(capsys, *twice, *out)
    assert "no file " in told(capsys, tmp_path / "nothing.pth.tar", *out)
    assert "--size is '5'" in told(capsys, checkpoints["posenet"], *out, "--size", "5")
    state = dict(read_torch_file(checkpoints["posenet"])["state_dict"])
    del state["conv3.0.bias"]
    less = write_checkpoint(tmp_path, "zip", "less", state, "")
    assert "less.pth.tar: 1 of 18 tensors of PoseNetB6 are missing" in told(capsys, less, *out)
    other = write_checkpoint(tmp_path, "zip", "other", {"layer.weight": np.zeros(3, np.float32)})
    assert "holds module.layer.weight...: expected the tensors of" in told(capsys, other, *out)
    assert not (tmp_path / "out").exists()


def test_code_in_a_file_does_not_run(tmp_path, capsys):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harmed"),)

    (tmp_path / "harm.pth.tar").write_bytes(pickle.dumps({"state_dict": Harm()}))
    assert "harm.pth.tar" in told(capsys, tmp_path / "harm.pth.tar", "--out", tmp_path / "out")
    assert not (tmp_path / "harmed").exists()
