"""Our steps and the masks beside PyTorch's: first that both compute the same, then the times, taking turns."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import torch

from benchmarks.case import Case, on_device, random_batch, road_scene
from benchmarks.program import compile_program
from benchmarks.row import Row
from benchmarks.throughput import wait
from benchmarks.timing import interleaved
from benchmarks.torch_peer.depth_pose_step import DepthPoseStep
from benchmarks.torch_peer.flow_step import FlowStep
from benchmarks.torch_peer.masks import released_masks, vectorised_masks
from benchmarks.torch_peer.step import Masks, Step
from dopi_jax import geometry
from dopi_jax.errors import UserError
from dopi_jax.interop.torch_weights import convert
from dopi_jax.training import create_state, parallel
from dopi_jax.training.step import train_step

AGREEMENT = 1e-3
"""Largest relative difference of the loss, and share of mask pixels that may differ, before times are not compared."""

BFLOAT16_AGREEMENT = 2e-2
"""The same of the loss where networks compute in bfloat16, which has three digits."""

_COARSEST_STRIDE = 128
STEPS = {"1": DepthPoseStep, "2": FlowStep}
_NETWORKS = "resnet6"  # what those steps train, by our name
_TITLE = f"beside PyTorch {torch.__version__}"
_WAYS: dict[str, Masks] = {"vectorised": vectorised_masks, "released way": released_masks}


def compared(cases: Sequence[Case]) -> list[Case]:
    """Returns the cases of these that differ in what is compared: phases, batches and sizes, of the networks "resnet6"."""
    return list(dict.fromkeys(dataclasses.replace(case, networks=_NETWORKS, preset="paper") for case in cases))


def mask_rows(case: Case, repeats: int, device: jax.Device) -> Iterator[Row]:
    """Yields times of the masks of one direction, ours and PyTorch's, and their ratios.

    Args:
      case: Its batch and size.
      repeats: Rounds that are timed.
      device: Ours; PyTorch takes the same kind.

    Raises:
      UserError: PyTorch cannot run this, or does not compute the same.
    """
    torch_device = _torch_device(device)
    scene = road_scene(case)
    views = scene["depth"], scene["source_depths"][:, 1], scene["intrinsics"], scene["poses"][:, 1]
    ours = jax.jit(jax.vmap(lambda *view: geometry.occlusion_masks(*view).visible))
    program = compile_program(ours, *views)
    given = jax.device_put(views)
    torch_views = [torch.from_numpy(view).to(torch_device) for view in views]
    for way, masks in _WAYS.items():
        _demand_same_mask(way, np.asarray(program.run(*given)), masks(*torch_views).visible.cpu().numpy())

    calls: dict[str, Callable[[], object]] = {"masks, ours": wait(program.run, given)}
    calls |= {f"masks, PyTorch {way}": _waiting(masks, torch_views) for way, masks in _WAYS.items()}
    yield from _rows(f"{_TITLE}, {case.batch} x {case.height} x {case.width}", calls, repeats)


def step_rows(case: Case, repeats: int, device: jax.Device, precision: str) -> Iterator[Row]:
    """Yields times of the step "full" of a case, ours and PyTorch's, and their ratios.

    Args:
      case: As `compared` gives it.
      repeats: Rounds that are timed.
      device: Ours; PyTorch takes the same kind.
      precision: Of the networks, "float32", "tf32" or "bf16"; the case has it too.

    Raises:
      UserError: PyTorch cannot run this, or does not compute the same.
    """
    _check_normalisable(case)
    torch_device = _torch_device(device)
    torch.backends.cudnn.allow_tf32 = precision != "float32"
    config, batch = case.config("full"), random_batch(case)
    bfloat16 = case.precision == "bfloat16"
    torch_step = STEPS[case.phase](batch, config.optimizer.learning_rate, torch_device, bfloat16)
    state = parallel.replicate(with_weights_of(torch_step, create_state(config)), [device])
    given = on_device(batch, device)
    program = compile_program(parallel.data_parallel(train_step(config), [device]), state, given)

    # Before any step of either: both still have the same weights.
    expected = {way: torch_step.loss(masks).item() for way, masks in _WAYS.items()}
    state, metrics = program.run(state, given)
    for way, loss in expected.items():
        _demand_same_loss(way, float(metrics["loss"]), loss, BFLOAT16_AGREEMENT if bfloat16 else AGREEMENT)

    held = [state]  # each step gives its state's memory to the next

    def take() -> None:
        held[0], metrics = program.run(held[0], given)
        jax.block_until_ready((held[0], metrics))

    calls: dict[str, Callable[[], object]] = {"step full, ours": take}
    for way, masks in _WAYS.items():
        calls[f"step full, PyTorch {way}"] = lambda masks=masks: torch_step.take(masks)
    yield from _rows(f"{_TITLE}, {case}", calls, repeats)


def _check_normalisable(case: Case) -> None:
    """Phase 1 normalises the depth network's features by their batch; in phase 2 that network is frozen."""
    cells = case.batch * -(-case.height // _COARSEST_STRIDE) * -(-case.width // _COARSEST_STRIDE)
    if case.phase == "1" and cells < 2:
        raise UserError("--peer: PyTorch normalises over more than one cell at stride 128: give a larger --batch or --size")


def with_weights_of(step: Step, state: Any) -> Any:
    """Returns our state with the weights of PyTorch's networks; Adam's moments are zero in both.

    Args:
      step: The step in PyTorch.
      state: A `TrainState` of the same phase, with the networks "resnet6".
    """
    trained, frozen = _variables(step.trained), _variables(step.frozen)
    params = {name: variables["params"] for name, variables in trained.items()}
    statistics = {name: variables["batch_stats"] for name, variables in trained.items() if "batch_stats" in variables}
    return state.replace(params=params, batch_stats=statistics, frozen=frozen)


def _variables(networks: Mapping[str, torch.nn.Module]) -> dict[str, Any]:
    def tensors(network: torch.nn.Module) -> dict[str, np.ndarray]:
        return {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}

    return {name: convert(tensors(network), name) for name, network in networks.items()}


def _demand_same_mask(way: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    differing = float(np.mean(ours != theirs))
    if differing > AGREEMENT:
        raise UserError(
            f"masks of PyTorch ({way}) differ from ours in {differing:.2%} of the pixels, at most {AGREEMENT:.2%} may: "
            "their times are not compared"
        )


def _demand_same_loss(way: str, ours: float, theirs: float, tolerance: float) -> None:
    # Written so that NaN is refused too.
    if not abs(theirs - ours) <= tolerance * abs(ours):
        raise UserError(
            f"the loss is {theirs:.6g} in PyTorch ({way}) and {ours:.6g} here, expected to agree to {tolerance:.2%}: "
            "their times are not compared"
        )


def _rows(label: str, calls: dict[str, Callable[[], object]], repeats: int) -> Iterator[Row]:
    """The first call is ours; its time over each of the others is a row of its own."""
    timings = interleaved(calls, repeats)
    ours, *others = calls
    for name in calls:
        yield Row(label, name, timings.median(name))
    for other in others:
        yield Row(label, ours, ratio=timings.ratio(ours, other), reference=other)


def _waiting(masks: Masks, views: list[torch.Tensor]) -> Callable[[], object]:
    def call() -> None:
        masks(*views)
        if views[0].is_cuda:
            torch.cuda.synchronize()

    return call


def _torch_device(device: jax.Device) -> torch.device:
    if device.platform != "gpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError("--peer: PyTorch sees no GPU, so ratios would mean nothing: install its CUDA build, or --device cpu")
    return torch.device("cuda")
