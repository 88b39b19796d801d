"""The measurements of a case, as rows."""

import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from benchmarks import inputs
from benchmarks.case import Case
from benchmarks.functions import floor_bytes, functions
from benchmarks.parts import parts
from benchmarks.program import Program, cached_compile_seconds, compile_program
from benchmarks.row import Row
from benchmarks.steps import Steps
from benchmarks.throughput import prediction, wait
from benchmarks.timing import interleaved, interleaved_streams

_SNIPPETS = 48  # more than any loader reads ahead
_SECONDS = 0.5


def step_rows(case: Case, variants: Sequence[str], repeats: int, device: jax.Device) -> list[Row]:
    """Returns times of the steps of a case and of their parts, all of which take turns.

    Args:
      case: What is trained on what.
      variants: Rows of the ablation tables.
      repeats: Rounds that are timed.
      device: Where to.

    Returns:
      A row for every step, ratios between them, and a row for every part of "full" with its share of that step, if it is
      among the variants, else of the last variant's.
    """
    steps = Steps(case, variants, device)
    pieces = _compiled(parts(case))
    timings = interleaved(steps.calls() | _calls(pieces), repeats)
    whole = "full" if "full" in variants else variants[-1]
    return steps.rows(timings) + [
        Row(
            str(case),
            name,
            timings.median(name),
            ratio=timings.ratio(name, whole),
            reference=f"step {whole}",
            peak_bytes=program.peak_bytes,
            flops=program.flops,
            moved_bytes=program.moved_bytes,
        )
        for name, (program, _) in pieces.items()
    ]


def function_rows(case: Case, repeats: int) -> list[Row]:
    """Returns times and memory traffic of geometry's functions and the losses' terms.

    Args:
      case: Its batch and size.
      repeats: Rounds that are timed.

    Returns:
      A row a function.
    """
    label = f"functions, {case.batch} x {case.height} x {case.width}"
    compiled = _compiled({name: (jax.vmap(function), given) for name, (function, given) in functions(case).items()})
    timings = interleaved(_calls(compiled), repeats)
    return [
        Row(
            label,
            name,
            timings.median(name),
            peak_bytes=program.peak_bytes,
            flops=program.flops,
            moved_bytes=program.moved_bytes,
            floor_bytes=floor_bytes(arguments, program.result_bytes),
        )
        for name, (program, arguments) in compiled.items()
    ]


def prediction_row(case: Case, repeats: int) -> Row:
    """Returns how many images a second the case's network predicts.

    Args:
      case: The network and the batch.
      repeats: Calls that are timed.

    Returns:
      A row.
    """
    name, function, arguments = prediction(case)
    program = compile_program(function, *arguments)
    seconds = interleaved({name: wait(program.run, jax.device_put(arguments))}, repeats).median(name)
    return Row(
        str(case),
        name,
        seconds,
        compile_seconds=program.compile_seconds,
        cached_seconds=cached_compile_seconds(function, *arguments),
        peak_bytes=program.peak_bytes,
        flops=program.flops,
        frames=case.batch,
    )


def input_rows(case: Case, repeats: int) -> list[Row]:
    """Returns how many snippets a second the ways into a training give, with decoding in proportion to bare decoding.

    Args:
      case: Its batch and size; phase and networks do not matter.
      repeats: Rounds that are timed.

    Returns:
      A row for each of `benchmarks.inputs.openers`; only of the one that reads what is decoded bare, a ratio.
    """
    with tempfile.TemporaryDirectory(prefix="dopi_jax_input_") as folder:
        count = -(-_SNIPPETS // case.batch)
        seconds, processor = interleaved_streams(inputs.openers(case, pathlib.Path(folder)), repeats, count, _SECONDS)
    label = f"input, {case.batch} x {case.height} x {case.width}"
    return [
        Row(
            label,
            name,
            seconds.median(name),
            ratio=seconds.ratio(name, inputs.BARE) if name == inputs.PREPARED else None,
            reference=inputs.BARE if name == inputs.PREPARED else None,
            frames=3 * case.batch,
            snippets=case.batch,
            processor_seconds=processor.median(name),
        )
        for name in seconds.seconds
    ]


def _compiled(pieces: Mapping[str, tuple[Callable[..., Any], Any]]) -> dict[str, tuple[Program, Any]]:
    return {
        name: (compile_program(jax.jit(function), *arguments), jax.device_put(arguments))
        for name, (function, arguments) in pieces.items()
    }


def _calls(compiled: Mapping[str, tuple[Program, Any]]) -> dict[str, Callable[[], object]]:
    return {name: wait(program.run, arguments) for name, (program, arguments) in compiled.items()}
