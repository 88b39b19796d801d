"""TensorBoard's event files: written at once, and without the steps that a resumed run repeats."""

import os
import pathlib
import socket
import struct
import time
from collections.abc import Iterator

import numpy as np

_HEADER, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")


class EventFile:
    """The events of one process in a run's folder. A record is its length, the checksum of that, the event, its checksum."""

    def __init__(self, folder: pathlib.Path, start_step: int = 0):
        """Removes events of steps after `start_step` from the folder's files, and begins one.

        Args:
          folder: The run's folder.
          start_step: The step that training starts from.
        """
        from tensorboardX import summary  # training's commands need it, networks and steps do not
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._summary = summary
        for file in sorted(folder.glob("events.out.tfevents.*")):
            _keep_events_up_to(file, start_step)
        now = time.time()
        path = folder / f"events.out.tfevents.{int(now)}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
        self._file = path.open("ab", buffering=0)
        self._write(Event(wall_time=now, file_version="brain.Event:2"))
        # For a TensorBoard that has the removed events in memory already.
        self._write(Event(wall_time=now, step=start_step + 1, session_log=SessionLog(status=SessionLog.START)))

    def scalar(self, step: int, name: str, value: float) -> None:
        """Writes a number."""
        self._write_summary(step, self._summary.scalar(name, value))

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes a picture, uint8 [H, W, 3]."""
        self._write_summary(step, self._summary.image(name, image, dataformats="HWC"))

    def text(self, step: int, name: str, text: str) -> None:
        """Writes a text."""
        self._write_summary(step, self._summary.text(name, text))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write_summary(self, step: int, summary) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event) -> None:
        append_whole(self._file, _record(event.SerializeToString()))


def append_whole(file, content: bytes) -> None:
    """Appends to a file that is open without a buffer, or leaves it as it was.

    Args:
      file: It.
      content: What to append.

    Raises:
      OSError: The disk is full.
    """
    end = os.fstat(file.fileno()).st_size
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        os.ftruncate(file.fileno(), end)
        raise


def _record(event: bytes) -> bytes:
    from tensorboardX.record_writer import masked_crc32c

    header = _HEADER.pack(len(event))
    return header + _CHECKSUM.pack(masked_crc32c(header)) + event + _CHECKSUM.pack(masked_crc32c(event))


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each whole record, and the event in it; a file that was cut off ends in half a one."""
    start, before, after = 0, _HEADER.size + _CHECKSUM.size, _CHECKSUM.size
    while start + before + after <= len(content):
        end = start + before + _HEADER.unpack_from(content, start)[0] + after
        if end > len(content):
            return
        yield content[start:end], content[start + before : end - after]
        start = end


def _keep_events_up_to(file: pathlib.Path, step: int) -> None:
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event

    content, kept = file.read_bytes(), []
    for record, event in _records(content):
        try:
            decoded = Event.FromString(event)
        except DecodeError:
            break  # nothing after it can be trusted
        if decoded.step <= step or not decoded.HasField("summary"):
            kept.append(record)
    if sum(map(len, kept)) < len(content):
        partial = file.with_name(f"partial.{file.name}")
        partial.write_bytes(b"".join(kept))
        partial.rename(file)
