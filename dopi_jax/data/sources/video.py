"""One's own footage as video files.

<root>                                         a video file
<root>/a.mp4, b.mov ...                        or a folder of them
<root>/intrinsics.txt                          fx fy cx cy in pixels of the videos; need not be there
"""

import pathlib

from dopi_jax.data.footage import Footage, find_calibration, split_into_sequences
from dopi_jax.data.images import image_size
from dopi_jax.data.snippets import Sequence
from dopi_jax.data.sources.choice import Choice, choose_footage
from dopi_jax.data.sources.images import list_frames, number_frames
from dopi_jax.data.video_frames import unpack
from dopi_jax.errors import UserError

SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")  # in any case
HOW_TO_GET = f"set --config.data.root to a video ({', '.join(SUFFIXES)}), or to a folder of videos"


def items(root: pathlib.Path) -> list[str]:
    """Lists the videos at hand by the names of their files without the suffix.

    Args:
      root: a video, or a folder that holds some.
    """
    return list(_videos(root))


def choose(name: str, at_hand: list[str], where: str) -> Choice:
    """Returns the videos that a selection names, as `choose_footage` says."""
    return choose_footage("video", name, at_hand, where, HOW_TO_GET)


def check_training(_selection: str, _items: list[str]) -> None:
    """Does nothing: one's own footage is no test."""


def read(root: pathlib.Path, item: str, footage: Footage) -> list[Sequence]:
    """Reads a video as sequences, one a shot; the first time, its frames are unpacked into the cache.

    Args:
      root: the video, or the folder that holds it.
      item: one of `items`.
      footage: intrinsics, in pixels of the video, and stride.

    Raises:
      UserError: there is no such video, it cannot be read or is too short, or the intrinsics are wrong.
    """
    videos = _videos(root)
    if item not in videos:
        found = ", ".join(videos) or "none"
        raise UserError(f"video:{item} is not at hand, looked for it at {root}, found {found}: {HOW_TO_GET}")
    video = unpack(videos[item])
    frames = list_frames(video.folder)
    size = image_size(frames[0])
    calibration = find_calibration(footage, size, beside=videos[item].parent, recorded_size=video.recorded_size)
    return split_into_sequences(
        item, frames, number_frames(frames), size, calibration, footage.stride, frame_rate=video.frame_rate
    )


def _videos(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Name -> file; of two files that differ in their suffix alone, both keep it in the name."""
    candidates = root.iterdir() if root.is_dir() else [root]
    files = sorted(
        path for path in candidates if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    stems = [path.stem for path in files]
    return {path.stem if stems.count(path.stem) == 1 else path.name: path for path in files}
