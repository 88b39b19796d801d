"""Train steps: each variant's, and two that tell what masks cost.

In "full, masks of ones" every mask is one comparison with the source's depth, whose network therefore still runs: what
"full" takes longer is the masks alone. In "basic, loss alone" the step returns no diagnostics. The real step of "basic"
still computes masks and the sources' depth, since it reports them; here the compiler drops both, as the paper's "basic"
has neither.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import chex
import jax
import jax.numpy as jnp

from benchmarks.case import Case, initial_state, on_device, random_batch
from benchmarks.program import Program, cached_compile_seconds, compile_program, cuda_operations
from benchmarks.row import Row
from benchmarks.timing import Timings
from dopi_jax import geometry
from dopi_jax.training import parallel
from dopi_jax.training.step import train_step

MASKS_OF_ONES = "full, masks of ones"
LOSS_ALONE = "basic, loss alone"
_FARTHER_THAN_ANY_DEPTH = 1e9


class Steps:
    """The compiled steps of a case, which take turns at one state: their parameters are the same, and those are large."""

    def __init__(self, case: Case, variants: Sequence[str], device: jax.Device):
        """Prepares, and compiles nothing yet.

        Args:
          case: What is trained on what.
          variants: Rows of the ablation tables.
          device: Where to.
        """
        self._case = case
        self._variants = variants
        self._device = device
        self._state = parallel.replicate(initial_state(case), [device])
        self._batch = on_device(random_batch(case), device)
        self.programs: dict[str, Program] = {}

    def compiled(self, cached: bool = False) -> Iterator[Row]:
        """Compiles, and yields a line about each step's program.

        Args:
          cached: Whether to compile each once more, from the persistent cache.
        """
        for name in _names(self._variants):
            with masks_of_ones() if name == MASKS_OF_ONES else contextlib.nullcontext():
                step = self._function(name)
                self.programs[name] = program = compile_program(step, self._state, self._batch)
                seconds = cached_compile_seconds(step, self._state, self._batch) if cached else None
            yield program.row(str(self._case), f"step {name}", cached_seconds=seconds)

    def exported(self) -> Iterator[Row]:
        """Yields how many operations each variant's step has that is exported for an NVIDIA GPU."""
        shapes = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), (self._state, self._batch))
        for name in self._variants:
            yield Row(str(self._case), f"step {name}, for CUDA", operations=cuda_operations(self._function(name), *shapes))

    def _function(self, name: str) -> Callable[[Any, Any], tuple[Any, Any]]:
        step = train_step(self._case.config(name.split(",")[0]))
        return parallel.data_parallel(_loss_alone(step) if name == LOSS_ALONE else step, [self._device])

    def calls(self) -> dict[str, Callable[[], object]]:
        """Returns a function for every step that takes it and waits."""
        return {name: lambda program=program: self._take(program, 1) for name, program in self.programs.items()}

    def _take(self, program: Program, count: int) -> None:
        for _ in range(count):
            self._state, metrics = program.run(self._state, self._batch)
        jax.block_until_ready((self._state, metrics))

    def rows(self, timings: Timings) -> Iterator[Row]:
        """Yields times of every step, as they are known, and those of the ratios that are asked about most.

        A training does not wait after each step, so that each is timed so as well: over a second, or as often as it was
        timed before if that is more.
        """
        for name, program in self.programs.items():
            seconds = timings.median(name)
            count = max(len(timings.seconds[name]), min(100, round(1 / seconds)))
            start = time.perf_counter()
            self._take(program, count)
            at_once = (time.perf_counter() - start) / count
            yield Row(str(self._case), f"step {name}", seconds, back_to_back_seconds=at_once)
        for reference in (MASKS_OF_ONES, "basic", LOSS_ALONE):
            if "full" in self.programs and reference in self.programs:
                ratio = timings.ratio("full", reference)
                yield Row(str(self._case), "step full", ratio=ratio, reference=f"step {reference}")


def _names(variants: Sequence[str]) -> list[str]:
    names = []
    for variant in variants:
        names += [variant, *{"full": [MASKS_OF_ONES], "basic": [LOSS_ALONE]}.get(variant, [])]
    return names


def _loss_alone(step: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Any, Any], tuple[Any, Any]]:
    def without_diagnostics(state: Any, batch: Any) -> tuple[Any, Any]:
        state, metrics = step(state, batch)
        return state, metrics["loss"]

    return without_diagnostics


@contextlib.contextmanager
def masks_of_ones() -> Iterator[None]:
    """Replaces, in objectives that are traced inside, the masks by ones that still need the source's depth."""

    def of_reprojections(in_source: Any, in_target: Any, *of_no_use: Any) -> geometry.OcclusionMasks:
        return ones(in_source.z, in_target.z)

    def ones(depth: Any, source_depth: chex.Array, *of_no_use: Any) -> geometry.OcclusionMasks:
        # Always true, which the compiler cannot know.
        everything = jnp.less(source_depth, _FARTHER_THAN_ANY_DEPTH)
        return geometry.OcclusionMasks(everything, everything, everything)

    # The library has no such option: nobody but this comparison wants it.
    with (
        mock.patch("dopi_jax.objectives.depth_pose.occlusion_masks", ones),
        mock.patch("dopi_jax.objectives.flow.masks_of_reprojections", of_reprojections),
    ):
        yield
