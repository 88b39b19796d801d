"""One line of the result, and all of them as a table and as JSON."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from dopi_jax.evaluation import render_table

_MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured of one thing; None where a number does not apply.

    Attributes:
      case: What it was measured on, such as "phase 1, small, 2 x 128 x 448".
      what: Its name.
      seconds: Median time of a call.
      ratio: `seconds` over that of `reference`, within the same run.
      reference: What the ratio is to.
      compile_seconds: Compiling, cold.
      cached_seconds: Compiling, with the executable in the persistent cache.
      peak_bytes: Memory by XLA's analysis.
      flops: Floating-point operations of a call, as XLA counts them.
      moved_bytes: Memory traffic of a call, as XLA counts it.
      floor_bytes: Size of inputs and results together: the least traffic there can be.
      frames: Images handled in a call.
      snippets: Training samples read in a call.
      processor_seconds: Time of the processor in a call, over all cores.
    """

    case: str
    what: str
    seconds: float | None = None
    ratio: float | None = None
    reference: str | None = None
    compile_seconds: float | None = None
    cached_seconds: float | None = None
    peak_bytes: float | None = None
    flops: float | None = None
    moved_bytes: float | None = None
    floor_bytes: float | None = None
    frames: int | None = None
    snippets: int | None = None
    processor_seconds: float | None = None

    @property
    def flops_per_second(self) -> float | None:
        """Achieved arithmetic."""
        return self.flops / self.seconds if self.flops and self.seconds else None

    @property
    def frames_per_second(self) -> float | None:
        """Images handled a second."""
        return self.frames / self.seconds if self.frames and self.seconds else None

    @property
    def snippets_per_second(self) -> float | None:
        """Training samples read a second."""
        return self.snippets / self.seconds if self.snippets and self.seconds else None

    @property
    def cores_for_30_a_second(self) -> float | None:
        """How many cores do this 30 times a second."""
        return None if self.processor_seconds is None else 30 * self.processor_seconds

    @property
    def traffic_over_floor(self) -> float | None:
        """How many times the least traffic the program moves."""
        return self.moved_bytes / self.floor_bytes if self.moved_bytes and self.floor_bytes else None


def table(title: str, rows: Sequence[Row]) -> str:
    """Returns the rows as text, those of a case under its name."""
    columns = ["what", "ms", "ratio", "to", "compile s", "cached s", "peak MiB", "GFLOP", "GFLOP/s"]
    columns += ["MB moved", "MB least", "moved/least", "frames/s", "snippets/s", "cores for 30/s"]
    lines: list[list[Any] | None] = []
    for index, row in enumerate(rows):
        if index == 0 or row.case != rows[index - 1].case:
            lines += [None] * bool(lines) + [[row.case, *[""] * (len(columns) - 1)], None]
        lines.append(_line(row))
    # Numbers of so many sizes come as text, which tables align to the left.
    for index in range(len(columns)):
        if columns[index] not in ("what", "to"):
            width = max(len(line[index]) for line in [columns, *filter(None, lines)])
            for line in filter(None, [columns, *lines]):
                line[index] = line[index].rjust(width)
    return render_table(title, columns, lines)


def _line(row: Row) -> list[Any]:
    numbers = [
        (row.seconds, 1e3),
        (row.ratio, 1),
        None,
        (row.compile_seconds, 1),
        (row.cached_seconds, 1),
        (row.peak_bytes, 1 / _MIB),
        (row.flops, 1e-9),
        (row.flops_per_second, 1e-9),
        (row.moved_bytes, 1e-6),
        (row.floor_bytes, 1e-6),
        (row.traffic_over_floor, 1),
        (row.frames_per_second, 1),
        (row.snippets_per_second, 1),
        (row.cores_for_30_a_second, 1),
    ]
    cells = [row.reference or "" if pair is None else _short(*pair) for pair in numbers]
    return [f"  {row.what}", *cells]


def _short(value: float | None, factor: float) -> str:
    """Three significant digits: times here range from microseconds to minutes."""
    if value is None:
        return ""
    value *= factor
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_json(path: pathlib.Path, about: dict[str, Any], rows: Sequence[Row]) -> None:
    """Writes the numbers, in seconds and bytes, with what they were measured on."""
    derived = ("flops_per_second", "traffic_over_floor", "frames_per_second", "snippets_per_second", "cores_for_30_a_second")
    records = [dataclasses.asdict(row) | {name: getattr(row, name) for name in derived} for row in rows]
    path.write_text(json.dumps({**about, "rows": records}, indent=2) + "\n", encoding="utf-8")
