"""Frames that `prepare` has resized and packed: a TFDS data set in ArrayRecord files, with a manifest to select from.

<root>/manifest.json
<root>/frames/1.0.0/frames-train.array_record-00000-of-00001, features.json, dataset_info.json

The manifest keeps of each sequence which data set and item it comes from, so that the words that select from the data set's
own folders select the same frames here. It is read without TensorFlow.
"""

import dataclasses
import functools
import io
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from dopi_jax import opencv
from dopi_jax.data.images import read_image
from dopi_jax.data.snippets import Sequence
from dopi_jax.data.splits import format_runs, parse_runs
from dopi_jax.errors import UserError

MANIFEST = "manifest.json"
DATASET = pathlib.PurePath("frames", "1.0.0")
SPLIT = "train"

FORMAT = 1
"""Of the manifest."""


@dataclasses.dataclass(frozen=True)
class PreparedFrame:
    """One frame of a prepared set; opens like an image file.

    Attributes:
      root: The set's folder.
      record: Its place in the set.
    """

    root: pathlib.Path
    record: int

    def open(self, mode: str = "rb") -> io.BytesIO:
        """Opens the encoded image.

        Raises:
          UserError: It is damaged.
        """
        return io.BytesIO(self._encoded())

    def decode(self) -> np.ndarray:
        """Returns the image as it is stored, uint8 [H, W, 3], the same pixels that `images.read_image` gives.

        Raises:
          UserError: It is damaged.
        """
        # `prepare` wrote it: what `read_image` has to find out about other files is known.
        if not opencv.is_installed():
            return read_image(self)
        pixels = opencv.imdecode(np.frombuffer(self._encoded(), np.uint8), opencv.IMREAD_COLOR_RGB)
        if pixels is None:
            raise self._damaged("not a whole picture")
        return pixels

    def _encoded(self) -> bytes:
        try:
            return _records(self.root)(self.record)
        except (OSError, ValueError, RuntimeError, IndexError, AssertionError) as error:
            raise self._damaged(error) from error

    def _damaged(self, why: object) -> UserError:
        return UserError(f"frame {self} cannot be read ({why}): the set is damaged; copy it again, or prepare it again")

    def __str__(self) -> str:
        return f"{self.record} of the prepared set {self.root}"


def is_prepared(root: pathlib.Path) -> bool:
    """Returns whether a folder is a prepared set."""
    return (root / MANIFEST).is_file()


def items(root: pathlib.Path, dataset: str) -> list[str]:
    """Lists the items of a data set that a prepared set has frames of, such as drives.

    Args:
      root: The set's folder.
      dataset: Name of the data set, such as kitti_raw.
    """
    return list(dict.fromkeys(entry["item"] for entry in _entries(root, dataset)))


def read(root: pathlib.Path, dataset: str, item: str) -> list[Sequence]:
    """Reads the sequences of an item, as far as they are in the prepared set.

    Args:
      root: The set's folder.
      dataset: Name of the data set, such as kitti_raw.
      item: One of `items`.
    """
    # Imports of libraries must not begin in the threads that read.
    _records(root)
    if opencv.is_installed():
        _ = opencv.imdecode
    height, width = read_manifest(root)["size"]
    sequences = []
    for entry in _entries(root, dataset):
        if entry["item"] != item:
            continue
        numbers = parse_runs(entry["numbers"])
        sequence = Sequence(
            name=entry["name"],
            frames=tuple(PreparedFrame(root, entry["first_record"] + index) for index in range(len(numbers))),
            numbers=numbers,
            intrinsics=np.array(entry["intrinsics"]),
            image_size=(height, width),
            step=entry["step"],
            places=parse_runs(entry["places"]),
            whole_length=entry["whole_length"],
        )
        sequences.append(sequence)
    return sequences


def manifest_entry(sequence: Sequence, first_record: int, size: tuple[int, int]) -> dict[str, Any]:
    """Returns what the manifest keeps of a sequence whose frames, resized to (height, width), begin at a record."""
    dataset, item = sequence.origin
    return {
        "dataset": dataset,
        "item": item,
        "name": sequence.name,
        "first_record": first_record,
        "frames": len(sequence),
        "snippets": len(sequence.snippets()),
        "numbers": format_runs(sequence.numbers),
        "places": format_runs(sequence.places or range(len(sequence))),
        "whole_length": sequence.whole_length or len(sequence),
        "step": sequence.step,
        "intrinsics": sequence.intrinsics_at(size).tolist(),
    }


def read_manifest(root: pathlib.Path) -> dict[str, Any]:
    """Reads the manifest of a prepared set.

    Raises:
      UserError: It is damaged, or of another version of dopi_jax.
    """
    return _read_manifest(root / MANIFEST, (root / MANIFEST).stat().st_mtime_ns)


@functools.lru_cache
def _read_manifest(path: pathlib.Path, _mtime: int) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found = manifest.get("format")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}): prepare the set again") from error
    if found != FORMAT:
        raise UserError(f"{path} has format {found!r}, this version of dopi_jax reads {FORMAT}: prepare the set again")
    return manifest


def _entries(root: pathlib.Path, dataset: str) -> list[dict[str, Any]]:
    return [entry for entry in read_manifest(root)["sequences"] if entry["dataset"] == dataset]


@functools.lru_cache
def _records(root: pathlib.Path) -> Callable[[int], bytes]:
    """Returns what gives the encoded image of a record, by index; several threads may call it at a time."""
    import tensorflow_datasets as tfds  # takes seconds to import
    from tensorflow_datasets.proto import tf_example_pb2

    try:
        builder = tfds.builder_from_directory(root / DATASET)
        source = builder.as_data_source(SPLIT, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    except (OSError, ValueError, AssertionError, RuntimeError) as error:
        raise UserError(f"the prepared set {root} cannot be read ({error}): prepare it again") from error

    def encoded_image(record: int) -> bytes:
        # TFDS would take longer to unpack the rest, which the manifest has, too.
        return tf_example_pb2.Example.FromString(source[record]).features.feature["image"].bytes_list.value[0]

    return encoded_image
