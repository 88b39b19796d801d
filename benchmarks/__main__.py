"""Measures what the options say, tells and writes every number as soon as it is known: `python -m benchmarks --help`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from benchmarks import measure, memory, options, row
from benchmarks.program import fresh_cache
from dopi_jax.errors import UserError, report_user_errors

Measurement = tuple[str, Callable[[], Iterator[row.Row]]]
"""What it is of, and what begins it."""


def run(chosen: options.Options, record: row.Record) -> list[str]:
    """Measures what the options ask for. What fails loses the rows that it has not given yet, and nothing else.

    Args:
      chosen: What to measure.
      record: Takes the rows.

    Returns:
      What failed, each a sentence.
    """
    failed = []
    precision = jax.default_matmul_precision(options.PRECISIONS[chosen.precision].products)
    with jax.default_device(chosen.device), precision, fresh_cache():
        for what, begin in _measurements(chosen):
            print(f"measuring {what}", file=sys.stderr, flush=True)
            try:
                for known in begin():
                    record.add(known)
            # Whatever a library raises, memory that does not suffice above all: the next measurement may need less.
            except Exception as error:
                told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                failed.append(f"{what} is not measured to the end: {told}")
                print(f"note: {failed[-1]}", file=sys.stderr, flush=True)
    return failed


def _measurements(chosen: options.Options) -> Iterator[Measurement]:
    repeats, device, only = chosen.repeats, chosen.device, chosen.only
    also: dict[str, Any] = {"parts_too": "parts" in only, "cached": chosen.cached}
    for case in chosen.cases:
        if "steps" in only:
            yield f"steps, {case}", lambda c=case: measure.step_rows(c, chosen.variants, repeats, device, **also)
            yield f"prediction, {case}", lambda c=case: measure.prediction_rows(c, repeats, chosen.cached)
        elif "parts" in only:
            yield f"parts, {case}", lambda c=case: measure.part_rows(c, repeats)
    # One of every batch and size.
    sizes = {(case.batch, case.height, case.width): case for case in chosen.cases}
    for size, case in sizes.items():
        named = " x ".join(map(str, size))
        for part, rows_of in (("functions", measure.function_rows), ("input", measure.input_rows)):
            if part in only:
                yield f"{part}, {named}", lambda c=case, rows_of=rows_of: rows_of(c, repeats)
    if "peer" in only:
        from benchmarks.torch_peer import comparison  # PyTorch is an optional extra

        for case in sizes.values():
            yield f"masks beside PyTorch, {case}", lambda c=case: comparison.mask_rows(c, repeats, device)
        for case in comparison.compared(chosen.cases):
            yield f"steps beside PyTorch, {case}", lambda c=case: comparison.step_rows(c, repeats, device, chosen.precision)
    if "batch" in only:
        for case in chosen.cases:
            yield f"largest batch, {case}", lambda c=case: memory.batch_rows(c, chosen.variants[-1], device)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command.

    Args:
      arguments: Words after the command; those of this process if None.
    """
    with report_user_errors():
        chosen = options.parse(arguments)
        about = {
            "device": chosen.device.device_kind,
            "jax": jax.__version__,
            "precision": chosen.precision,
            "repeats": chosen.repeats,
        }
        title = "{device}, JAX {jax}, {precision}, medians of {repeats} rounds".format(**about)
        print(title, flush=True)
        record = row.Record(about, chosen.json)
        failed = run(chosen, record)
        print(row.table(title, record.rows))
        if failed:
            raise UserError("; ".join(failed))


if __name__ == "__main__":
    main()
