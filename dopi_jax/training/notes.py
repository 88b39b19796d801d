"""Warnings of a run: printed on the terminal and kept in the run's folder."""

import contextlib
import datetime
import json
import pathlib
import sys
from typing import Any

from tqdm import tqdm

_FILE = "notes.jsonl"


class Notes:
    """Warnings of one run, in `notes.jsonl`."""

    def __init__(self, workdir: pathlib.Path):
        """Opens nothing: the file is made by the first note.

        Args:
          workdir: The run's folder.
        """
        self._file = workdir / _FILE

    def tell(self, message: str) -> None:
        """Prints a sentence as a note, and keeps it; a full disk does not keep it from being printed."""
        self.print(message)
        line = {"time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), "note": message}
        with contextlib.suppress(OSError), self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @staticmethod
    def print(message: str) -> None:
        """Prints a sentence as a note, above the progress line if there is one."""
        tqdm.write(f"note: {message}", file=sys.stderr)

    def last(self, count: int) -> list[dict[str, Any]]:
        """Returns the last notes, each with `time` and `note`."""
        if not self._file.exists():
            return []
        notes = []
        for line in self._file.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                note = json.loads(line)
                notes.append({name: note[name] for name in ("time", "note")})
        return notes[-count:]
