"""Train steps: each variant's, and two that tell what masks cost.

In "full, masks of ones" every mask is one comparison with the source's depth, whose network therefore still runs: what
"full" takes longer is the masks alone. In "basic, loss alone" the step returns no diagnostics. The real step of "basic"
still computes masks and the sources' depth, since it reports them; here the compiler drops both, as the paper's "basic"
has neither.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import chex
import jax
import jax.numpy as jnp

from benchmarks.case import Case, initial_state, on_device, random_batch
from benchmarks.program import Program, cached_compile_seconds, compile_program
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
        """Compiles.

        Args:
          case: What is trained on what.
          variants: Rows of the ablation tables.
          device: Where to.
        """
        self._case = case
        self._state = parallel.replicate(initial_state(case), [device])
        self._batch = on_device(random_batch(case), device)
        self.programs: dict[str, Program] = {}
        self._cached_seconds: dict[str, float] = {}
        for name in _names(variants):
            variant = name.split(",")[0]
            with masks_of_ones() if name == MASKS_OF_ONES else contextlib.nullcontext():
                step = train_step(case.config(variant))
                step = _loss_alone(step) if name == LOSS_ALONE else step
                on_one = parallel.data_parallel(step, [device])
                self.programs[name] = compile_program(on_one, self._state, self._batch)
                self._cached_seconds[name] = cached_compile_seconds(on_one, self._state, self._batch)

    def calls(self) -> dict[str, Callable[[], object]]:
        """Returns a function for every step that takes it and waits."""
        return {name: lambda program=program: self._take(program) for name, program in self.programs.items()}

    def _take(self, program: Program) -> None:
        self._state, metrics = program.run(self._state, self._batch)
        jax.block_until_ready((self._state, metrics))

    def rows(self, timings: Timings) -> list[Row]:
        """Returns a line for every step, and those of the ratios that are asked about most."""
        rows = [
            Row(
                str(self._case),
                f"step {name}",
                timings.median(name),
                compile_seconds=program.compile_seconds,
                cached_seconds=self._cached_seconds[name],
                peak_bytes=program.peak_bytes,
                flops=program.flops,
                moved_bytes=program.moved_bytes,
            )
            for name, program in self.programs.items()
        ]
        for reference in (MASKS_OF_ONES, "basic", LOSS_ALONE):
            if "full" in self.programs and reference in self.programs:
                ratio = timings.ratio("full", reference)
                rows.append(Row(str(self._case), "step full", ratio=ratio, reference=f"step {reference}"))
        return rows


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

    def ones(depth: Any, source_depth: chex.Array, *of_no_use: Any) -> geometry.OcclusionMasks:
        # Always true, which the compiler cannot know.
        everything = jnp.less(source_depth, _FARTHER_THAN_ANY_DEPTH)
        return geometry.OcclusionMasks(everything, everything, everything)

    # The library has no such option: nobody but this comparison wants it.
    with (
        mock.patch("dopi_jax.objectives.depth_pose.occlusion_masks", ones),
        mock.patch("dopi_jax.objectives.flow.occlusion_masks", ones),
    ):
        yield
