"""One line of the result, and all of them as a table, as JSON, and one by one as they become known."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from dopi_jax import formats
from dopi_jax.evaluation import render_table

_MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured of one thing; None where a number does not apply.

    Attributes:
      case: What it was measured on, such as "phase 1, small, 2 x 128 x 448".
      what: Its name.
      seconds: Median time of a call, waited for.
      back_to_back_seconds: Time of one of many calls that wait for nothing but the last.
      ratio: `seconds` over that of `reference`, within the same run.
      reference: What the ratio is to.
      operations: Of the program that is given to XLA, without constants.
      compile_seconds: Compiling, cold.
      cached_seconds: Compiling, with the executable in the persistent cache.
      peak_bytes: Memory by XLA's analysis.
      flops: Floating-point operations of a call, as XLA counts them.
      moved_bytes: Memory traffic of a call, as XLA counts it.
      floor_bytes: Size of inputs and results together: the least traffic there can be.
      frames: Images handled in a call.
      snippets: Training samples read in a call.
      processor_seconds: Time of the processor in a call, over all cores.
      largest_batch: Snippets that fit into the memory that `what` names.
      file_bytes: Size of a written program.
    """

    case: str
    what: str
    seconds: float | None = None
    back_to_back_seconds: float | None = None
    ratio: float | None = None
    reference: str | None = None
    operations: int | None = None
    compile_seconds: float | None = None
    cached_seconds: float | None = None
    peak_bytes: float | None = None
    flops: float | None = None
    moved_bytes: float | None = None
    floor_bytes: float | None = None
    frames: int | None = None
    snippets: int | None = None
    processor_seconds: float | None = None
    largest_batch: int | None = None
    file_bytes: int | None = None

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

    def completed_by(self, later: "Row") -> "Row | None":
        """Returns this row, of a program not yet timed, with the times of the later row; None if these are not such rows."""
        same = (self.case, self.what) == (later.case, later.what)
        if not same or self.seconds is not None or self.largest_batch is not None or later.seconds is None:
            return None
        known = {name: value for name, value in dataclasses.asdict(later).items() if value is not None}
        return dataclasses.replace(self, **known)


# Header, name of the number, factor.
_NUMBERS = (
    ("ms", "seconds", 1e3),
    ("back to back ms", "back_to_back_seconds", 1e3),
    ("ratio", "ratio", 1),
    ("operations", "operations", 1),
    ("compile s", "compile_seconds", 1),
    ("cached s", "cached_seconds", 1),
    ("peak MiB", "peak_bytes", 1 / _MIB),
    ("GFLOP", "flops", 1e-9),
    ("GFLOP/s", "flops_per_second", 1e-9),
    ("MB moved", "moved_bytes", 1e-6),
    ("MB least", "floor_bytes", 1e-6),
    ("moved/least", "traffic_over_floor", 1),
    ("frames/s", "frames_per_second", 1),
    ("snippets/s", "snippets_per_second", 1),
    ("cores for 30/s", "cores_for_30_a_second", 1),
    ("largest batch", "largest_batch", 1),
    ("file MiB", "file_bytes", 1 / _MIB),
)


def table(title: str, rows: Sequence[Row]) -> str:
    """Returns the rows as text, those of a case under its name; numbers that no row has are left out."""
    shown = [number for number in _NUMBERS if any(getattr(row, number[1]) is not None for row in rows)]
    columns = ["what", "to", *(header for header, _, _ in shown)]
    lines: list[list[Any] | None] = []
    for index, row in enumerate(rows):
        if index == 0 or row.case != rows[index - 1].case:
            lines += [None] * bool(lines) + [[row.case, *[""] * (len(columns) - 1)], None]
        numbers = [_short(getattr(row, name), factor) for _, name, factor in shown]
        lines.append([f"  {row.what}", row.reference or "", *numbers])
    # Numbers of so many sizes come as text, which tables align to the left.
    for index in range(2, len(columns)):
        width = max(len(line[index]) for line in [columns, *filter(None, lines)])
        for line in filter(None, [columns, *lines]):
            line[index] = line[index].rjust(width)
    return render_table(title, columns, lines)


def sentence(row: Row) -> str:
    """Returns the row as one line of text that stands by itself."""
    numbers = [(header, _short(getattr(row, name), factor)) for header, name, factor in _NUMBERS]
    told = ", ".join(f"{header} {number}" for header, number in numbers if number)
    reference = f" (ratio to {row.reference})" if row.reference else ""
    return f"{row.case}: {row.what}: {told}{reference}"


def _short(value: float | None, factor: float) -> str:
    """Three significant digits: times here range from microseconds to minutes."""
    if value is None:
        return ""
    value *= factor
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


class Record:
    """Takes rows one by one; each is printed, and with those before it written, at once.

    Attributes:
      rows: All so far, those of one thing joined.
    """

    def __init__(self, about: dict[str, Any], path: pathlib.Path | None = None):
        """Begins with no rows.

        Args:
          about: What the rows are measured on.
          path: A JSON file for the numbers, in seconds and bytes.
        """
        self.rows: list[Row] = []
        self._about = about
        self._path = path

    def add(self, row: Row) -> None:
        """Takes a row."""
        print(sentence(row), flush=True)
        for index, known in enumerate(self.rows):
            if (joined := known.completed_by(row)) is not None:
                self.rows[index] = joined
                break
        else:
            self.rows.append(row)
        if self._path:
            records = [dataclasses.asdict(row) | {name: getattr(row, name) for name in _DERIVED} for row in self.rows]
            formats.write_bytes(self._path, (json.dumps({**self._about, "rows": records}, indent=2) + "\n").encode())


_DERIVED = ("flops_per_second", "traffic_over_floor", "frames_per_second", "snippets_per_second", "cores_for_30_a_second")
