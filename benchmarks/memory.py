"""The largest batch whose step fits into a GPU's memory, by XLA's analysis of two batches."""

import dataclasses
import itertools
from collections.abc import Iterator

import jax

from benchmarks.case import Case, initial_state, random_batch
from benchmarks.program import compile_program
from benchmarks.row import Row
from dopi_jax.training import parallel
from dopi_jax.training.step import train_step

GIGABYTES = (16, 24, 80)
PRECISIONS = ("float32", "bfloat16")


def batch_rows(case: Case, variant: str, device: jax.Device) -> Iterator[Row]:
    """Yields the programs of the step at the case's batch and at twice that, and then the largest batches.

    What a step holds is what its networks hold, and so much for every snippet: both follow from two batches. What a driver
    and libraries need besides is not in XLA's analysis.

    Args:
      case: Its networks and sizes.
      variant: Row of the ablation tables.
      device: Whose program is analysed.
    """
    for precision in PRECISIONS:
        in_precision = dataclasses.replace(case, precision=precision)
        held = {}
        for batch in (case.batch, 2 * case.batch):
            of_size = dataclasses.replace(in_precision, batch=batch)
            step = parallel.data_parallel(train_step(of_size.config(variant)), [device])
            shapes = jax.eval_shape(lambda c=of_size: (initial_state(c), parallel.split(random_batch(c), [device])))
            program = compile_program(step, *shapes)
            held[batch] = program.peak_bytes
            yield program.row(str(of_size), f"step {variant}, {precision}")
        for gigabytes in GIGABYTES:
            largest = largest_batch(held, gigabytes * 10**9)
            yield Row(str(case), f"step {variant}, {precision}, in {gigabytes} GB", largest_batch=largest)


def largest_batch(held: dict[int, int], limit: int) -> int:
    """Returns how many snippets fit.

    Args:
      held: Bytes at two batches.
      limit: Bytes.
    """
    (one, bytes_of_one), (two, bytes_of_two) = itertools.islice(held.items(), 2)
    of_a_snippet = (bytes_of_two - bytes_of_one) / (two - one)
    return max(0, int((limit - (bytes_of_one - one * of_a_snippet)) / of_a_snippet))
