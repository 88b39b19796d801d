"""The measurements of a case: rows, each as soon as it is known."""

import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from benchmarks import inputs
from benchmarks.case import Case
from benchmarks.functions import floor_bytes, functions
from benchmarks.parts import parts
from benchmarks.program import Program, cached_compile_seconds, compile_program
from benchmarks.row import Row
from benchmarks.steps import Steps
from benchmarks.throughput import exported_prediction, prediction, wait
from benchmarks.timing import interleaved, interleaved_streams

_SNIPPETS = 48  # more than any loader reads ahead
_SECONDS = 0.5

Pieces = dict[str, tuple[Program, Any]]
"""Programs by name, with their arguments on the device."""


def step_rows(
    case: Case, variants: Sequence[str], repeats: int, device: jax.Device, *, parts_too: bool, cached: bool
) -> Iterator[Row]:
    """Yields what is measured of the steps of a case, each as soon as it is known.

    Args:
      case: What is trained on what.
      variants: Rows of the ablation tables.
      repeats: Rounds that are timed.
      device: Where to.
      parts_too: Whether the parts of "full" are timed in turn with that step, or with that of the last variant.
      cached: Whether to compile once more, from the persistent cache.
    """
    steps = Steps(case, variants, device)
    yield from steps.compiled(cached)
    yield from steps.rows(interleaved(steps.calls(), repeats))
    if parts_too:
        whole = "full" if "full" in variants else variants[-1]
        yield from part_rows(case, repeats, f"step {whole}", steps.calls()[whole])
    yield from steps.exported()


def part_rows(
    case: Case, repeats: int, whole: str | None = None, take_whole: Callable[[], object] | None = None
) -> Iterator[Row]:
    """Yields what is measured of the parts of a step, with their shares of it if it is given.

    Args:
      case: What is trained on what.
      repeats: Rounds that are timed.
      whole: Name of the step.
      take_whole: Takes it, and waits.
    """
    pieces: Pieces = {}
    for name, (function, arguments) in parts(case).items():
        yield _compile_into(pieces, str(case), name, function, arguments)
    timings = interleaved(_calls(pieces) | ({whole: take_whole} if whole and take_whole else {}), repeats)
    for name in pieces:
        ratio = timings.ratio(name, whole) if whole else None
        yield Row(str(case), name, timings.median(name), ratio=ratio, reference=whole)


def function_rows(case: Case, repeats: int) -> Iterator[Row]:
    """Yields time and memory traffic of geometry's functions and the losses' terms.

    Args:
      case: Its batch and size.
      repeats: Rounds that are timed.
    """
    label = f"functions, {case.batch} x {case.height} x {case.width}"
    pieces: Pieces = {}
    for name, (function, arguments) in functions(case).items():
        yield _compile_into(pieces, label, name, jax.vmap(function), arguments)
    timings = interleaved(_calls(pieces), repeats)
    for name, (program, arguments) in pieces.items():
        least = floor_bytes(arguments, program.result_bytes)
        yield Row(label, name, timings.median(name), floor_bytes=least)


def prediction_rows(case: Case, repeats: int, cached: bool) -> Iterator[Row]:
    """Yields how many images a second the case's network predicts, compiled here and as `dopi-jax export` writes it.

    Args:
      case: The network and the batch.
      repeats: Calls that are timed.
      cached: Whether to compile once more, from the persistent cache.
    """
    name, function, arguments = prediction(case)
    program = compile_program(function, *arguments)
    seconds = cached_compile_seconds(function, *arguments) if cached else None
    yield program.row(str(case), name, cached_seconds=seconds, frames=case.batch)
    given = jax.device_put(arguments)
    alone = interleaved({name: wait(program.run, given)}, repeats)
    yield Row(str(case), name, alone.median(name), frames=case.batch)

    exported_name = f"{name}, exported"
    written, run_written, images = exported_prediction(case)
    exported = compile_program(run_written, *images)
    yield exported.row(str(case), exported_name, frames=case.batch, file_bytes=len(written))
    calls = {name: wait(program.run, given), exported_name: wait(exported.run, jax.device_put(images))}
    timings = interleaved(calls, repeats)
    ratio = timings.ratio(exported_name, name)
    yield Row(str(case), exported_name, timings.median(exported_name), ratio=ratio, reference=name, frames=case.batch)


def input_rows(case: Case, repeats: int) -> Iterator[Row]:
    """Yields how many snippets a second the ways into a training give, with decoding in proportion to bare decoding.

    Args:
      case: Its batch and size; phase and networks do not matter.
      repeats: Rounds that are timed.

    Yields:
      A row for each of `benchmarks.inputs.openers`; only of the one that reads what is decoded bare, a ratio.
    """
    with tempfile.TemporaryDirectory(prefix="dopi_jax_input_") as folder:
        count = -(-_SNIPPETS // case.batch)
        seconds, processor = interleaved_streams(inputs.openers(case, pathlib.Path(folder)), repeats, count, _SECONDS)
    label = f"input, {case.batch} x {case.height} x {case.width}"
    for name in seconds.seconds:
        compared = name == inputs.PREPARED
        yield Row(
            label,
            name,
            seconds.median(name),
            ratio=seconds.ratio(name, inputs.BARE) if compared else None,
            reference=inputs.BARE if compared else None,
            frames=3 * case.batch,
            snippets=case.batch,
            processor_seconds=processor.median(name),
        )


def _compile_into(
    pieces: Pieces, case: str, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> Row:
    program = compile_program(jax.jit(function), *arguments)
    pieces[name] = program, jax.device_put(arguments)
    return program.row(case, name)


def _calls(pieces: Pieces) -> dict[str, Callable[[], object]]:
    return {name: wait(program.run, arguments) for name, (program, arguments) in pieces.items()}
