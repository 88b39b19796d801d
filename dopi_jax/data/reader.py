"""Snippets by index as arrays; a frame that cannot be read removes its snippets, and does not end the training."""

import itertools
import threading
import warnings
from collections.abc import Sequence as ListOf
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dopi_jax.data.images import read_image
from dopi_jax.data.order import GivenOrder, ShuffledOrder
from dopi_jax.data.snippets import Frame, Sequence, Snippet
from dopi_jax.data.sources.prepared import PreparedFrame
from dopi_jax.data.sources.prepared_matches import stored_matches
from dopi_jax.data.tracking import CORNERS, match, matches_around
from dopi_jax.errors import UserError

CACHE_BYTES = 4 * 2**30
_THREADS = 16  # decoding leaves Python's lock, and files of a network drive come late


class ResidentFrames(NamedTuple):
    """All frames of a training in memory, so that a batch is only indices.

    Attributes:
      frames: uint8 [N, H, W, 3].
      snippets: int32 [S, 3], the frames (t-1, t, t+1) of each snippet.
      intrinsics: float32 [S, 3, 3] in pixels of these frames.
      matches: float32 [S, 2, N, 4], as in a sample; None unless asked for.
    """

    frames: np.ndarray
    snippets: np.ndarray
    intrinsics: np.ndarray
    matches: np.ndarray | None = None


class SnippetReader:
    """Reads the sample that a training's order asks for; several threads may do so at a time.

    A frame that cannot be read is named once in a warning, and each of its snippets is replaced by the next one of the
    order: a resumed training finds the same replacement, because nothing but the files decides it.
    """

    def __init__(
        self,
        snippets: ListOf[Snippet],
        size: tuple[int, int],
        order: ShuffledOrder | GivenOrder,
        *,
        cache: bool = False,
        matches: bool = False,
        max_bad_frames: float = 0.01,
    ):
        """Sets up the reader; nothing is read yet.

        Args:
          snippets: What there is to read.
          size: (height, width) in pixels that frames are resized to.
          order: Which snippet is due when.
          cache: Keep decoded frames in memory if all of them fit into 4 GiB.
          matches: Follow corners from frame to frame; what was found is kept in memory.
          max_bad_frames: Share of the frames, from 0 to 1, that may be unreadable.
        """
        self._snippets = snippets
        self._size = size
        self._order = order
        self._intrinsics = np.stack([snippet.intrinsics_at(size) for snippet in snippets]).astype(np.float32)
        self._frames = list(dict.fromkeys(frame for snippet in snippets for frame in snippet.frames))
        self._keep = cache and len(self._frames) * size[0] * size[1] * 3 <= CACHE_BYTES
        self._kept: dict[Frame, np.ndarray] = {}
        self._with_matches = matches
        self._matches: dict[tuple[Frame, Frame], np.ndarray] = {}
        self._bad: dict[Frame, UserError] = {}
        self._lock = threading.Lock()
        self._bad_at_most = max_bad_frames * len(self._frames)

    @property
    def bad_frames(self) -> int:
        """How many frames were found to be unreadable."""
        return len(self._bad)

    def sample(self, global_index: int) -> dict[str, np.ndarray]:
        """Reads a sample.

        Args:
          global_index: How many samples came before this one in the whole training.

        Returns:
          `frames` uint8 [3, H, W, 3] at (t-1, t, t+1), `intrinsics` float32 [3, 3], `index`, uint32, and, if asked for,
          `matches` float32 [2, N, 4] of the target with t-1 and t+1, as `tracking.matches_around` returns them.

        Raises:
          UserError: More frames are unreadable than allowed, or no snippet can be read.
        """
        for index in self._order.candidates(global_index):
            snippet = self._snippets[index]
            frames = [self._read(frame, snippet) for frame in snippet.frames]
            if all(frame is not None for frame in frames):
                matches = {"matches": self._match(snippet, frames)} if self._with_matches else {}
                known = {"intrinsics": self._intrinsics[index], "index": np.uint32(global_index)}
                return {"frames": np.stack(frames), **known, **matches}
        raise self._none_readable()

    def empty_sample(self) -> dict[str, np.ndarray]:
        """Returns a sample of zeros."""
        sample = {
            "frames": np.zeros((3, *self._size, 3), np.uint8),
            "intrinsics": np.zeros((3, 3), np.float32),
            "index": np.uint32(0),
        }
        return sample | ({"matches": np.zeros((2, CORNERS, 4), np.float32)} if self._with_matches else {})

    def place(self, global_index: int) -> dict[str, np.ndarray]:
        """Returns a sample as indices into `read_all`'s frames: `snippet`, int32, and `index`, uint32."""
        for index in self._order.candidates(global_index):
            if not any(frame in self._bad for frame in self._snippets[index].frames):
                return {"snippet": np.int32(index), "index": np.uint32(global_index)}
        raise self._none_readable()

    def read_all(self) -> ResidentFrames:
        """Reads every frame once, with a progress bar.

        Raises:
          UserError: More frames are unreadable than allowed.
        """
        snippet_of = {frame: snippet for snippet in self._snippets for frame in snippet.frames}
        frames = np.zeros((len(self._frames), *self._size, 3), np.uint8)
        with ThreadPoolExecutor(_THREADS) as pool:
            read = pool.map(lambda frame: self._read(frame, snippet_of[frame]), self._frames)
            for index, pixels in enumerate(tqdm(read, total=len(self._frames), desc="reading frames", unit="frame")):
                if pixels is not None:
                    frames[index] = pixels
        row_of = {frame: index for index, frame in enumerate(self._frames)}
        snippets = np.array([[row_of[frame] for frame in snippet.frames] for snippet in self._snippets], np.int32)
        matches = None
        if self._with_matches:
            with ThreadPoolExecutor(_THREADS) as pool:
                found = pool.map(lambda snippet, rows: self._match(snippet, frames[rows]), self._snippets, snippets)
                matches = np.stack(list(tqdm(found, total=len(snippets), desc="following corners", unit="snippet")))
        return ResidentFrames(frames, snippets, self._intrinsics, matches)

    def _match(self, snippet: Snippet, frames: ListOf[np.ndarray]) -> np.ndarray:
        """The matches of a snippet's target with both sources."""
        pairs = list(itertools.pairwise(zip(snippet.frames, frames, strict=True)))
        for (first, its_pixels), (second, pixels) in pairs:
            if (first, second) not in self._matches:
                stored = None
                if isinstance(first, PreparedFrame) and snippet.image_size == self._size:
                    stored = stored_matches(first, second)
                self._matches[first, second] = match(its_pixels, pixels) if stored is None else stored
        return matches_around(*(self._matches[first, second] for (first, _), (second, _) in pairs))

    def _none_readable(self) -> UserError:
        return UserError(f"none of the {len(self._snippets)} snippets can be read: {next(iter(self._bad.values()))}")

    def _read(self, frame: Frame, snippet: Snippet) -> np.ndarray | None:
        """The pixels of a snippet's frame, uint8 [H, W, 3]; None if it cannot be read or has not the size of the others."""
        # Two threads may decode the same frame at once; both get the same pixels.
        pixels = self._kept.get(frame)
        if pixels is None and frame not in self._bad:
            try:
                if isinstance(frame, PreparedFrame) and snippet.image_size == self._size:
                    pixels = frame.decode()
                else:
                    pixels = read_image(frame, self._size, snippet.kept_rows, snippet.image_size)
            except UserError as error:
                self._note_bad(frame, error)
            else:
                if self._keep:
                    self._kept[frame] = pixels
        return pixels

    def _note_bad(self, frame: Frame, error: UserError) -> None:
        with self._lock:
            if frame in self._bad:
                return
            self._bad[frame] = error
        warnings.warn(f"left out, with the snippets that need it: {error}", stacklevel=2)
        if self.bad_frames > self._bad_at_most:
            raise UserError(
                f"{self.bad_frames} of {len(self._frames)} frames cannot be read, the last: {error}; more than "
                "config.data.max_bad_frames allows: mend the files, or raise it"
            )


def all_snippets(sequences: list[Sequence], at_least: int = 1) -> list[Snippet]:
    """Returns the snippets of all sequences.

    Args:
      sequences: Where the snippets come from.
      at_least: How many there must be.

    Raises:
      UserError: There are fewer.
    """
    snippets = [snippet for sequence in sequences for snippet in sequence.snippets()]
    if len(snippets) < at_least:
        raise UserError(
            f"the {len(sequences)} selected sequences hold {len(snippets)} snippets, expected at least {at_least}: "
            "select more frames or a smaller batch"
        )
    return snippets
