"""Optical flow on KITTI 2015 and 2012, beside the paper's Tables IV and V, and flow maps for the KITTI server.

A run of phase 1 has no flow network: the rigid flow of its depth and pose networks is measured instead. A run of phase 2
also holds the depth and pose networks that taught it, except for `:basic`.
"""

import pathlib
import shutil
import sys
from collections.abc import Callable

import numpy as np
from PIL import Image
from tqdm import tqdm

from dopi_jax import evaluation, formats, predict, visualization
from dopi_jax.data import tracking
from dopi_jax.data.images import network_input, read_image
from dopi_jax.data.sources import kitti_flow
from dopi_jax.data.sources.kitti_flow import FlowScene, FlowTruth
from dopi_jax.experiments.evaluation_run import EvaluationRun
from dopi_jax.experiments.skipped import Skipped

FlowPredictor = Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]
"""(target [H, W, 3], sources [2, H, W, 3] in [-1, 1], maybe rigid flows [2, H, W, 2] to them) -> flow [H, W, 2] to t+1 in
pixels of these images."""
RigidPredictor = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]]
"""(target, sources, intrinsics [3, 3], maybe matches [2, N, 4]) -> rigid flows [2, H, W, 2], and the occlusion masks of
eq. 5, [2, H, W], True = visible."""

_FLOW = "dopi_jax, flow network"
_RIGID = "dopi_jax, rigid flow"
_COMPOSITE = "dopi_jax, composite"
_BASELINE = "no motion"
_PICTURES = 6
_LISTED = 20  # up to so many pairs, a table lists each


def evaluate(run: EvaluationRun) -> None:
    """Prints and writes the flow metrics of a run, see `evaluate_flows`."""
    evaluate_flows(run, _flow_predictor(run), _rigid_predictor(run))


def submit(run: EvaluationRun) -> None:
    """Writes the flow maps of a run for the KITTI server, see `write_submission`."""
    print(f"Wrote {write_submission(run, _flow_predictor(run), _rigid_predictor(run)).with_suffix('.zip')}")


def evaluate_flows(run: EvaluationRun, predict_flow: FlowPredictor | None, predict_rigid: RigidPredictor | None) -> None:
    """Prints and writes flow metrics of a run (paper Tables IV and V; D27: the flow network alone is what they report).

    Args:
      run: The run.
      predict_flow: The flow network; None if the run has none.
      predict_rigid: Depth and pose networks; None if the run has none.

    Raises:
      UserError: There is no scene, a frame or a calibration is missing or wrong, or no true flow can be read.
    """
    scenes = kitti_flow.training_scenes(run.roots)
    skipped = Skipped()
    per_scene: dict[str, dict[str, dict]] = {}
    rows = []

    def read(scene: FlowScene) -> tuple[FlowTruth, np.ndarray]:
        return scene.ground_truth(), _read_frames(run, scene)

    readable = skipped.readable(tqdm(scenes, unit="pair"), read)
    for evaluated, (scene, (truth, frames)) in enumerate(readable, start=1):
        flows = _predict(run, scene, frames, truth.valid.shape, predict_flow, predict_rigid)
        regions = evaluation.flow_regions(truth.valid, truth.valid_noc, truth.moving)
        for label, flow in {_BASELINE: evaluation.zero_flow_baseline(truth.valid.shape), **flows}.items():
            metrics = evaluation.regional_flow_metrics(truth.flow, flow, regions)
            per_scene.setdefault(scene.label, {})[label] = metrics
            names = {"benchmark": scene.benchmark.name, "scene": scene.name, "method": label}
            rows += [{**names, "region": name, **values} for name, values in metrics.items()]
        if run.saves_predictions:
            folder = run.results_folder() / "flow_predictions"
            folder.mkdir(exist_ok=True)
            formats.write_kitti_flow(folder / f"{scene.label}.png", next(iter(flows.values())))
        if (evaluated - 1) % max(1, len(scenes) // _PICTURES) == 0:
            picture = _picture(scene, truth, next(iter(flows.values())))
            Image.fromarray(picture).save(run.results_folder() / f"flow_{scene.label}.png")

    if not per_scene:
        raise skipped.none_left("pairs at hand")
    skipped.print_notes()
    of_benchmark = {
        benchmark.name: [per_scene[s.label] for s in scenes if s.benchmark is benchmark and s.label in per_scene]
        for benchmark in kitti_flow.BENCHMARKS
    }
    averages = {name: _averaged(images) for name, images in of_benchmark.items() if images}
    tables, summary = [], {"left_out": skipped.reasons}
    if run.data_name == evaluation.KITTI and len(per_scene) <= _LISTED:
        everything = {"mean": _averaged(list(per_scene.values()))} if len(per_scene) > 1 else {}
        tables.append(evaluation.flow_pair_table(per_scene | everything))
    if kitti_flow.KITTI_2015.name in averages:
        name, expected = kitti_flow.KITTI_2015.name, kitti_flow.KITTI_2015.training_count
        of_2015, counts = averages[name], {"evaluated": len(of_benchmark[name]), "expected": expected}
        baselines, ours = {_BASELINE: of_2015[_BASELINE]}, {k: v for k, v in of_2015.items() if k != _BASELINE}
        options = {"baselines": baselines, "left_out": skipped.reasons, "data": run.data_name}
        tables.append(evaluation.flow_table(ours, **counts, **options))
        summary |= {**counts, **ours, "baselines": baselines}
    tables += [evaluation.flow_region_table(a, name if len(averages) > 1 else "") for name, a in averages.items()]
    summary |= {"benchmarks": averages}
    run.write_results("flow", "\n\n".join(tables), summary, rows)


def _averaged(images: list[dict[str, dict]]) -> dict[str, dict]:
    """The averages of pairs, by method."""
    return {label: evaluation.average_flow_metrics([image[label] for image in images]) for label in images[0]}


def write_submission(
    run: EvaluationRun, predict_flow: FlowPredictor | None, predict_rigid: RigidPredictor | None
) -> pathlib.Path:
    """Writes the flow maps of the test set as the KITTI server takes them: a folder with flow/, and the same as a zip file.

    Args:
      run: The run.
      predict_flow: The flow network, whose flow is written; None if the run has none.
      predict_rigid: Depth and pose networks, whose rigid flow is written if there is no flow network.

    Returns:
      The folder; the zip file lies beside it.

    Raises:
      UserError: No scene of the test set is at hand, or a file of one is missing or wrong.
    """
    scenes = kitti_flow.testing_scenes(run.roots, [kitti_flow.KITTI_2015])
    folder = run.results_folder() / "kitti_flow_submission"
    (folder / "flow").mkdir(parents=True, exist_ok=True)
    for scene in tqdm(scenes, unit="pair"):
        frames, shape = _read_frames(run, scene), scene.snippet.image_size
        flows = _predict(run, scene, frames, shape, predict_flow, predict_rigid)
        formats.write_kitti_flow(folder / "flow" / scene.file_name, next(iter(flows.values())))
    archive = pathlib.Path(shutil.make_archive(f"{folder}.unfinished", "zip", folder))
    archive.replace(folder.with_suffix(".zip"))
    if len(scenes) < (expected := kitti_flow.KITTI_2015.testing_count):
        print(f"note: the server expects all {expected} scenes, at hand were {len(scenes)}", file=sys.stderr)
    return folder


def _read_frames(run: EvaluationRun, scene: FlowScene) -> np.ndarray:
    """Frames t-1, t and t+1 at the networks' size, uint8 [3, H, W, 3]."""
    return np.stack([read_image(path, run.image_size) for path in scene.snippet.frames])


def _predict(
    run: EvaluationRun,
    scene: FlowScene,
    frames: np.ndarray,
    shape: tuple[int, int],
    predict_flow: FlowPredictor | None,
    predict_rigid: RigidPredictor | None,
) -> dict[str, np.ndarray]:
    """The flows [H, W, 2] of one scene at its native size, by label, the flow network's first."""
    previous, target, following = network_input(frames)
    sources = np.stack([previous, following])
    flows, rigid = {}, None
    if predict_rigid:
        matches = tracking.match_stored(scene.snippet, run.image_size) if run.config.predicts_along_matches else None
        rigid, visible = predict_rigid(target, sources, scene.snippet.intrinsics_at(run.image_size), matches)
    if predict_flow:
        flows[_FLOW] = predict_flow(target, sources, rigid)
    if predict_rigid:
        flows[_RIGID] = rigid[1]
        if predict_flow:
            flows[_COMPOSITE] = evaluation.composite_flow(flows[_FLOW], rigid[1], visible[1])
    return {label: evaluation.resize_flow(flow, shape) for label, flow in flows.items()}


def _flow_predictor(run: EvaluationRun) -> FlowPredictor | None:
    if "flow" not in run.variables:
        return None
    predict_flow = predict.make_predict_flow(run.config)

    def of_one(target: np.ndarray, sources: np.ndarray, rigid: np.ndarray | None) -> np.ndarray:
        rigid = None if rigid is None else rigid[None]
        return np.asarray(predict_flow(run.variables, target[None], sources[None], rigid)[0, 1])

    return of_one


def _rigid_predictor(run: EvaluationRun) -> RigidPredictor | None:
    if "depth" not in run.variables:
        return None
    predict_rigid = predict.make_predict_rigid_flow(run.config)

    def of_one(
        target: np.ndarray, sources: np.ndarray, K: np.ndarray, matches: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        K, matches = K[None].astype(np.float32), None if matches is None else matches[None]
        flow, visible = predict_rigid(run.variables, target[None], sources[None], K, matches)
        return np.asarray(flow[0]), np.asarray(visible[0])

    return of_one


def _picture(scene: FlowScene, truth: FlowTruth, flow: np.ndarray) -> np.ndarray:
    """The frame above the predicted flow; beside them the true flow, in the same colours, above the error."""
    longest = float(np.percentile(np.linalg.norm(truth.flow[truth.valid], axis=-1), 99))
    frame = read_image(scene.snippet.target, truth.valid.shape)
    true_colours = visualization.flow_colours(truth.flow, longest, truth.valid)
    error = visualization.flow_error_map(truth.flow, flow, truth.valid)
    return visualization.stack_panels([[frame, true_colours], [visualization.flow_colours(flow, longest), error]])
