"""Corners that `prepare` has followed between the frames of a set, for machines without OpenCV.

<root>/matches.npz: `matches` int16 [frames, CORNERS, 4] in sixteenths of a pixel of the packed frames, from each frame to
the next one of its snippet, and `next` int32 [frames], which frame that is, -1 for none.
"""

import functools
import os
import pathlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from dopi_jax.data.images import read_image
from dopi_jax.data.snippets import Frame, Sequence
from dopi_jax.data.sources.prepared import PreparedFrame
from dopi_jax.data.tracking import NO_MATCHES, match
from dopi_jax.errors import UserError

FILE = "matches.npz"

_UNIT = np.float32(1 / 16)  # pixels, well below the error of a track
_NONE = np.iinfo(np.int16).min


def write_matches(path: pathlib.Path, found: Iterable[tuple[int, np.ndarray]]) -> None:
    """Writes the matches of all frames of a set.

    Args:
      path: The file.
      found: Of every frame, the record of the next one, -1 for none, and float32 [CORNERS, 4] as `tracking.match` gives it.
    """
    following, matches = zip(*found, strict=True)
    rounded = np.clip(np.rint(np.stack(matches) / _UNIT), _NONE + 1, np.iinfo(np.int16).max)
    stored = np.where(np.isnan(rounded), _NONE, rounded).astype(np.int16)
    np.savez_compressed(path, matches=stored, next=np.array(following, np.int32))


def follow_corners(sequences: list[Sequence], files: Mapping[Frame, pathlib.Path]) -> Iterator[tuple[int, np.ndarray]]:
    """Follows corners between the frames of a set, with a progress bar.

    Args:
      sequences: All of the set, in the order of their records.
      files: Where each frame lies, resized.

    Yields:
      Of every record, the one that holds the next frame of its snippet, -1 for none, and the matches with it.
    """
    records = {frame: i for i, frame in enumerate(frame for sequence in sequences for frame in sequence.frames)}
    pairs = []
    for sequence in sequences:
        of_number = dict(zip(sequence.numbers, sequence.frames, strict=True))
        pairs += [(frame, of_number.get(number + sequence.step)) for number, frame in of_number.items()]

    def follow(pair: tuple[Frame, Frame | None]) -> tuple[int, np.ndarray]:
        first, second = pair
        if second is None:
            return -1, NO_MATCHES
        return records[second], match(read_image(files[first]), read_image(files[second]))

    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        yield from tqdm(pool.map(follow, pairs), total=len(pairs), desc="following corners", unit="frame")


def stored_matches(first: PreparedFrame, second: PreparedFrame) -> np.ndarray | None:
    """Returns what `tracking.match` gave for two frames of a set, float32 [CORNERS, 4]; None if the set has none for them.

    Raises:
      UserError: The file is damaged.
    """
    if first.root != second.root or not (first.root / FILE).is_file():
        return None
    following, matches = _read(first.root / FILE)
    if following[first.record] != second.record:
        return None
    stored = matches[first.record]
    return np.where(stored == _NONE, np.float32(np.nan), stored * _UNIT)


@functools.lru_cache
def _read(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path) as file:
            return file["next"], file["matches"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}): copy it again, or prepare the set again") from error
