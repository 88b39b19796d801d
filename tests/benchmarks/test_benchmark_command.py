"""The benchmark's command at a size of toys: what it prints and writes, not how long anything takes."""

import contextlib
import importlib.util
import io
import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from benchmarks import __main__ as benchmark
from benchmarks import inputs, measure, memory, options
from benchmarks.case import NETWORKS, Case, initial_state, random_images, road_scene
from benchmarks.drawn_frames import drawn_frame
from benchmarks.functions import functions
from benchmarks.parts import parts
from benchmarks.program import count_operations, cuda_operations
from benchmarks.row import Record, Row, table
from benchmarks.steps import masks_of_ones
from dopi_jax.data.images import read_image
from dopi_jax.data.prepare import Encoding
from dopi_jax.data.sources import prepared
from dopi_jax.objectives import depth_pose_loss

TOY = Case("1", "lite", 1, 64, 64)
FUNCTIONS = ["rigid_flow", "warp_by_depth", "occlusion_masks", "depth_comparison_masks", "ssim", "photometric_error"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What the command printed and wrote, with two of the steps and phase 1 alone."""
    file = tmp_path_factory.mktemp("benchmark") / "numbers.json"
    arguments = "--phases 1 --variants full --networks lite --batch 1 --size 64x64 --device cpu --repeats 1 --cached"
    jax.config.update("jax_disable_most_optimizations", True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        benchmark.main([*arguments.split(), "--json", str(file)])
    jax.config.update("jax_disable_most_optimizations", False)
    return printed.getvalue(), json.loads(file.read_text())


def by_name(numbers):
    return {(row["what"], row["reference"]): row for row in numbers["rows"]}


@pytest.mark.slow
def test_it_prints_one_table_with_every_row(measured):
    output, numbers = measured
    for row in numbers["rows"]:
        assert row["case"] in output
        assert re.search(rf"^  {re.escape(row['what'])} ", output, re.MULTILINE)
    assert output.splitlines()[0] == f"{numbers['device']}, JAX {jax.__version__}, float32, medians of 1 rounds"


@pytest.mark.slow
def test_the_steps_and_what_masks_cost(measured):
    rows = by_name(measured[1])
    for name in ("step full", "step full, masks of ones"):
        row = rows[name, None]
        of_the_program = "operations", "compile_seconds", "cached_seconds", "peak_bytes", "flops"
        for number in ("seconds", "back_to_back_seconds", *of_the_program, "flops_per_second"):
            assert row[number] > 0, number
    ratio = rows["step full", "step full, masks of ones"]
    both = [rows[name, None]["seconds"] for name in ("step full", "step full, masks of ones")]
    assert ratio["ratio"] == pytest.approx(both[0] / both[1])  # of a single round


@pytest.mark.slow
def test_the_parts_of_the_step(measured):
    rows = by_name(measured[1])
    for part in ("networks forward", "networks forward and backward", "masks", "warping", "losses", "optimiser"):
        row = rows[part, "step full"]
        assert row["ratio"] > 0  # to steps taken in turn with the parts
        assert row["seconds"] > 0
        assert row["operations"] > 0


@pytest.mark.slow
def test_functions_with_the_least_traffic(measured):
    rows = by_name(measured[1])
    for name in FUNCTIONS:
        row = rows[name, None]
        assert row["seconds"] > 0
        assert row["traffic_over_floor"] == pytest.approx(row["moved_bytes"] / row["floor_bytes"])
    # depth, K, pose -> flow, all float32
    assert rows["rigid_flow", None]["floor_bytes"] == 4 * (64 * 64 + 9 + 16 + 2 * 64 * 64)


@pytest.mark.slow
def test_prediction_and_input(measured):
    rows = by_name(measured[1])
    row, exported = rows["predict disparity", None], rows["predict disparity, exported", "predict disparity"]
    assert row["frames_per_second"] == pytest.approx(1 / row["seconds"])
    assert exported["file_bytes"] > 4 * 1e6  # of a million float32 numbers and more
    assert exported["ratio"] > 0
    assert rows["folder of PNG", None]["frames"] == 3
    row = rows["prepared", "bare decoding"]
    assert row["snippets_per_second"] == pytest.approx(1 / row["seconds"])
    assert row["cores_for_30_a_second"] == pytest.approx(30 * row["processor_seconds"])


@pytest.mark.parametrize(
    "arguments, pattern",
    [
        (["--variant"], r"unrecognized arguments: --variant|ambiguous|expected at least one"),
        (["--phases", "3"], r"--phases: invalid choice: '3'"),
        (["--networks", "vgg"], r"--networks: invalid choice: 'vgg'.*resnet6.*--help"),
        (["--size", "64"], r"'64' is not a size: expected rows and columns, such as 128x448"),
        (["--size", "0x64"], r"'0x64' is not a size"),
        (["--size", "100x128"], r"height is 100: expected a multiple of 32"),
        (["--size", "100x128", "--networks", "resnet6"], r"height is 100: expected a multiple of 64"),
        (["--batch", "0"], r"'0' is not a whole number of at least 1"),
        (["--repeats", "-1"], r"--repeats"),
        (["--precision", "fp8"], r"--precision: invalid choice: 'fp8'"),
        (["--only", "speed"], r"--only: invalid choice: 'speed'"),
        (["--presets", "authors"], r"--presets: invalid choice: 'authors'"),
        (["--precision", "tf32", "--device", "cpu"], r"--precision is tf32: only a GPU has it"),
        (["--json", "/nowhere/numbers.json"], r"--json is /nowhere/numbers.json: its folder does not exist"),
        (["--sise", "64x64"], r"unrecognized arguments: --sise"),
    ],
)
def test_wrong_options_end_with_one_error_line(capsys, arguments, pattern):
    with pytest.raises(SystemExit) as ended:
        benchmark.main(arguments)
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert said.out == ""
    assert re.fullmatch(rf"error: .*({pattern}).*\n", said.err), said.err


def test_the_peer_needs_pytorch(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        benchmark.main(["--peer"])
    assert capsys.readouterr().err == "error: --peer needs PyTorch, which is not installed: pip install -e '.[bench]'\n"


def test_the_defaults_can_be_measured():
    chosen = options.parse([])
    assert [case.phase for case in chosen.cases] == ["1", "2"]
    assert chosen.only == ("steps", "parts", "functions", "input")
    assert options.parse(["--only", "parts"]).only == ("parts",)


def test_precision_and_preset_reach_the_config():
    chosen = options.parse("--phases 1 --presets paper released --precision bf16 --device cpu".split())
    paper, released = (case.config("occ") for case in chosen.cases)
    assert paper.train.precision == released.train.precision == "bfloat16"
    assert (paper.loss.penalty, released.loss.penalty) == ("charbonnier", "power")
    assert paper.model == released.model  # the networks are those that --networks names
    assert [str(case).split(", ")[1:-1] for case in chosen.cases] == [["lite"], ["lite", "released"]]


@pytest.mark.parametrize("phase", ["1", "2"])
@pytest.mark.parametrize(
    "networks", ["lite", *(pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS if name != "lite")]
)
def test_parts_fit_together_for_all_networks(monkeypatch, phase, networks):
    """Only shapes are followed: the large networks take a minute to compile."""
    case = Case(phase, networks, 1, 64, 128, preset="released" if networks == "resnet_s6" else "paper")
    monkeypatch.setattr("benchmarks.parts.initial_state", lambda case: jax.eval_shape(lambda: initial_state(case)))
    pieces = parts(case)
    assert list(pieces)[-1] == "optimiser"
    for function, arguments in pieces.values():
        jax.eval_shape(function, *arguments)


@pytest.mark.slow
def test_masks_of_ones_show_everything_and_need_the_sources_depth():
    scene, batch = road_scene(TOY), random_images(TOY)

    def visible(source_depths):
        sample = (1 / scene["depth"][0], 1 / source_depths, scene["poses"][0], batch["target"][0], batch["sources"][0])
        _, diagnostics = depth_pose_loss(*sample, scene["intrinsics"][0], TOY.config().loss)
        return diagnostics["visible"]

    source_depths = jnp.asarray(scene["source_depths"][0])
    assert visible(source_depths) < 1
    with masks_of_ones():
        assert visible(source_depths) == 1
        assert visible(source_depths.at[0].set(jnp.inf)) == 0.5
    assert visible(source_depths) < 1


@pytest.mark.slow
def test_the_road_is_seen_as_a_car_sees_it():
    """Ahead the scene grows and leaves the image, behind it shrinks and stays inside."""
    function, views = functions(Case("1", "lite", 1, 64, 192))["occlusion_masks"]
    ahead = function(*(view[0] for view in views))
    assert 0.5 < jnp.mean(ahead.visible) < 0.99
    assert jnp.mean(ahead.edge) < 0.99
    assert np.isfinite(road_scene(TOY)["depth"]).all()


def test_input_without_tensorflow_has_the_same_rows(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else find_spec(name))
    monkeypatch.setattr(measure, "_SNIPPETS", 2)
    monkeypatch.setattr(measure, "_SECONDS", 0)
    rows = {row.what: row for row in measure.input_rows(TOY, 1)}
    folders = ["folder of PNG", "folder of JPEG"]
    assert list(rows) == ["bare decoding", *folders, "prepared", "prepared, kept in memory", "prepared, on the device"]
    assert all(row.seconds > 0 and row.snippets == 1 and row.frames == 3 for row in rows.values())
    bare, prepared = rows["bare decoding"], rows["prepared"]
    assert prepared.ratio == pytest.approx(prepared.seconds / bare.seconds)


def test_every_way_in_gives_the_batches_of_the_case(tmp_path):
    """Bare decoding does as much as a batch of the prepared set needs, on the same images."""
    case = Case("1", "lite", 2, 64, 128)
    given = {}
    for name, opened in inputs.openers(case, tmp_path).items():
        with contextlib.closing(opened()) as batches:
            given[name] = next(batches)
    bare = given.pop("bare decoding")
    assert [image.shape for image in bare] == [(64, 128, 3)] * 6
    for batch in given.values():
        assert batch["frames"].shape == (2, 3, 64, 128, 3)
    frames = np.asarray(given["prepared"]["frames"])
    for name in ("prepared, kept in memory", "prepared, on the device"):
        np.testing.assert_array_equal(given[name]["frames"], frames)
    (packed,) = prepared.read(tmp_path / "prepared", "drawn", "drawn")
    np.testing.assert_array_equal(bare[0], read_image(packed.frames[0]))
    difference = np.abs(frames.astype(int) - given["folder of PNG"]["frames"])
    assert 0 < difference.mean() < 6, "coded once more"


def test_drawn_frames_take_as_many_bytes_as_those_of_kitti(tmp_path):
    """Those of drive 0095 take 19 kB as JPEG at 128x416, and 690 kB as PNG."""
    pixels = drawn_frame(0)
    assert pixels.shape == (375, 1242, 3)
    Image.fromarray(pixels).save(tmp_path / "full.png")
    small = Image.fromarray(pixels).resize((416, 128), Image.Resampling.BILINEAR)
    assert len(Encoding().encode(np.asarray(small))) == pytest.approx(19_000, rel=0.15)
    assert (tmp_path / "full.png").stat().st_size == pytest.approx(690_000, rel=0.15)


@pytest.fixture
def measurements(monkeypatch):
    """The names of what is begun, each of which gives one row; functions break after theirs."""
    begun = []

    def rows_of(name):
        def rows(*given, **options):
            begun.append(name)
            yield Row(f"case of {name}", name, 0.5)
            if name == "function_rows":
                raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")

        return rows

    for name in ("step_rows", "part_rows", "prediction_rows", "function_rows", "input_rows"):
        monkeypatch.setattr(measure, name, rows_of(name))
    return begun


def test_only_what_is_asked_for_is_measured(measurements):
    for words, expected in [
        ("--only input", ["input_rows"]),
        ("--phases 1 --only functions steps", ["step_rows", "prediction_rows", "function_rows"]),
        ("--phases 1 2 --only parts", ["part_rows", "part_rows"]),
    ]:
        measurements.clear()
        benchmark.run(options.parse(words.split()), Record({}))
        assert measurements == expected


def test_what_fails_loses_its_own_rows_only(measurements, tmp_path, capsys):
    file = tmp_path / "numbers.json"
    with pytest.raises(SystemExit) as ended:
        benchmark.main(f"--phases 1 --only functions input --json {file}".split())
    assert ended.value.code == 1
    assert measurements == ["function_rows", "input_rows"]
    assert [row["what"] for row in json.loads(file.read_text())["rows"]] == measurements
    said = capsys.readouterr()
    expected = "functions, 2 x 128 x 448 is not measured to the end: RuntimeError: RESOURCE_EXHAUSTED: out of memory"
    assert said.err.splitlines()[-1] == f"error: {expected}"
    assert re.search(r"^  input_rows  +500$", said.out, re.MULTILINE)


def test_a_row_is_told_and_written_when_it_is_known(tmp_path, capsys):
    file = tmp_path / "numbers.json"
    record = Record({"device": "toy"}, file)
    record.add(Row("case", "step", operations=1200, compile_seconds=2.5))
    assert capsys.readouterr().out == "case: step: operations 1200, compile s 2.5\n"
    assert [row["operations"] for row in json.loads(file.read_text())["rows"]] == [1200]
    record.add(Row("case", "part", 0.25))
    record.add(Row("case", "step", 0.5, back_to_back_seconds=0.4))
    record.add(Row("case", "step", ratio=2.0, reference="part"))
    written = json.loads(file.read_text())
    assert written["device"] == "toy"
    numbers = [(r["what"], r["operations"], r["seconds"], r["back_to_back_seconds"], r["ratio"]) for r in written["rows"]]
    assert numbers == [("step", 1200, 0.5, 0.4, None), ("part", None, 0.25, None, None), ("step", None, None, None, 2.0)]
    assert capsys.readouterr().out.splitlines()[-1] == "case: step: ratio 2 (ratio to part)"


def test_operations_are_counted_without_constants():
    def function(x):
        return jnp.sin(x) + 2 * jnp.sin(2 * x)

    # Two products with a constant made an array, two sines, one sum.
    assert count_operations(jax.jit(function).lower(jnp.ones(3)).as_text()) == 7
    assert cuda_operations(jax.jit(function), jax.ShapeDtypeStruct((3,), jnp.float32)) == 8  # a call besides


def test_the_largest_batch_follows_from_two():
    """3 GB for the networks and 0.5 GB a snippet."""
    held = {2: 4 * 10**9, 4: 5 * 10**9}
    assert [memory.largest_batch(held, gigabytes * 10**9) for gigabytes in (2, 3.4, 16, 24)] == [0, 0, 26, 42]


def test_a_table_shows_three_digits_and_leaves_out_what_does_not_apply():
    lines = table("title", [Row("case", "thing", 0.0123456, flops=1e9), Row("other", "wide", 12.0)]).splitlines()
    (thing,) = [line.split() for line in lines if line.startswith("  thing")]
    assert thing == ["thing", "12.3", "1", "81"]
    assert lines[2].split() == ["what", "to", "ms", "GFLOP", "GFLOP/s"]
    (wide,) = [line.split() for line in lines if line.startswith("  wide")]
    assert wide == ["wide", "12000"]
    assert math.isclose(Row("case", "thing", 2.0, frames=3).frames_per_second, 1.5)
