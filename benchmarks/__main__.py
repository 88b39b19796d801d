"""Measures what the options say, prints one table and writes it as JSON: `python -m benchmarks --help`."""

import sys
from collections.abc import Sequence

import jax

from benchmarks import measure, options, row
from benchmarks.program import fresh_cache
from dopi_jax.errors import report_user_errors


def run(chosen: options.Options) -> list[row.Row]:
    """Returns the rows that the options ask for.

    Args:
      chosen: What to measure.

    Returns:
      Rows, those of a case together.

    Raises:
      UserError: The peer does not compute what we do, so that comparing times means nothing.
    """
    rows: list[row.Row] = []
    precision = jax.default_matmul_precision(options.PRECISIONS[chosen.precision].products)
    with jax.default_device(chosen.device), precision, fresh_cache():
        for case in chosen.cases if "steps" in chosen.only else ():
            _say(f"measuring {case}")
            rows += measure.step_rows(case, chosen.variants, chosen.repeats, chosen.device)
            rows.append(measure.prediction_row(case, chosen.repeats))
        # One of every batch and size.
        for case in {(case.batch, case.height, case.width): case for case in chosen.cases}.values():
            for part, rows_of in (("functions", measure.function_rows), ("input", measure.input_rows)):
                if part in chosen.only:
                    _say(f"measuring {part} at {case.batch} x {case.height} x {case.width}")
                    rows += rows_of(case, chosen.repeats)
        if chosen.peer:
            from benchmarks.torch_peer.comparison import comparison_rows  # PyTorch is an optional extra

            _say("measuring beside PyTorch")
            rows += comparison_rows(chosen.cases, chosen.repeats, chosen.device, chosen.precision)
    return rows


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
        rows = run(chosen)
        title = "{device}, JAX {jax}, {precision}, medians of {repeats} rounds".format(**about)
        print(row.table(title, rows))
        if chosen.json:
            row.write_json(chosen.json, about, rows)


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
