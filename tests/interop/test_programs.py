"""Networks as programs: what is read back agrees with the networks."""

import jax
import numpy as np
import pytest

from dopi_jax.commands import export
from dopi_jax.config import Config
from dopi_jax.interop.programs import network_functions
from dopi_jax.model_file import read_model, write_model
from dopi_jax.networks import network_variables
from dopi_jax.training import create_state

SIZE = (64, 128)

pytestmark = pytest.mark.usefixtures("quick_compile")


def make(path, phase, flow):
    config = Config(phase=phase)
    config.data.height, config.data.width = SIZE
    config.model.depth = config.model.pose = "lite"
    config.model.flow = flow
    config.flow_loss.shown_rigid = float(flow == "lite")
    config.prediction.mirrored_pass = True
    config.model.pretrained = False
    state = create_state(config)
    write_model(path, config, network_variables(state.params, state.batch_stats), 3)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    kinds = {"depthpose": ("depthpose", "lite"), "flow": ("flow", "back2future"), "lite flow": ("flow", "lite")}
    return {name: make(folder / f"{name}.npz", *kind) for name, kind in kinds.items()}


def arguments(names, batch):
    rng = np.random.default_rng(0)
    shapes = {"image": (batch, *SIZE, 3), "target": (batch, *SIZE, 3), "sources": (batch, 2, *SIZE, 3)}
    shapes["rigid"] = batch, 2, *SIZE, 2
    return [rng.uniform(-1, 1, shapes[name]).astype(np.float32) for name in names]


@pytest.mark.parametrize(
    "phase", ["depthpose", *(pytest.param(name, marks=pytest.mark.slow) for name in ("flow", "lite flow"))]
)
def test_stablehlo_takes_any_number_of_images(models, tmp_path, capsys, phase):
    export.main([str(models[phase]), "--format", "stablehlo", "--out", str(tmp_path)])
    config, variables, _ = read_model(models[phase])
    functions = network_functions(config, variables)
    assert {path.stem for path in tmp_path.iterdir()} == set(functions)
    assert "of 64x128 in [-1, 1]" in capsys.readouterr().out
    for name, (function, names) in functions.items():
        program = jax.export.deserialize((tmp_path / f"{name}.stablehlo").read_bytes())
        assert set(program.platforms) == {"cpu", "cuda"}
        for batch in (1, 3):
            given = arguments(names, batch)
            differs = np.abs(program.call(*given) - function(*given)) > 1e-4
            # Where two candidates fit equally well, rounding decides which of them lite flow takes.
            assert differs.mean() <= (1e-3 if phase == "lite flow" else 0)


@pytest.mark.parametrize("phase", ["depthpose", "flow"])
def test_onnx_agrees_with_the_network(models, tmp_path, phase):
    pytest.importorskip("jax2onnx", reason="jax2onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    export.main([str(models[phase]), "--format", "onnx", "--out", str(tmp_path)])
    jax.clear_caches()  # jax2onnx leaves operations of its own in them
    config, variables, _ = read_model(models[phase])
    for name, (function, names) in network_functions(config, variables).items():
        session = runtime.InferenceSession(str(tmp_path / f"{name}.onnx"))
        given = arguments(names, 1)
        feed = {i.name: value for i, value in zip(session.get_inputs(), given, strict=True)}
        np.testing.assert_allclose(session.run(None, feed)[0], function(*given), atol=1e-4)


def test_lite_flow_has_no_onnx_program(models, tmp_path, capsys):
    export.main([str(models["lite flow"]), "--format", "onnx", "--out", str(tmp_path / "out")])
    assert "note: no ONNX program of the lite flow network" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_onnx_without_its_library_is_one_sentence(models, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jax2onnx", None)
    with pytest.raises(SystemExit):
        export.main([str(models["depthpose"]), "--format", "onnx", "--out", str(tmp_path)])
    assert "pip install --no-deps jax2onnx" in capsys.readouterr().err
