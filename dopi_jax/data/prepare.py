"""Reads selected frames once, resizes them, and packs them into a set that trains anywhere (`sources/prepared.py` reads it).

Unfinished work is in OUT.partial: first every frame as a file of its own, by several threads, then the data
set made of these files. Started again with the same request, it goes on with the frames that are missing.
"""

import collections
import contextlib
import dataclasses
import io
import json
import os
import pathlib
import shutil
import typing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from dopi_jax import opencv
from dopi_jax.data.images import read_image
from dopi_jax.data.snippets import Frame, Sequence, count_snippets
from dopi_jax.data.sources import prepared
from dopi_jax.data.sources.prepared_matches import FILE, follow_corners, write_matches
from dopi_jax.errors import UserError

PAPER_SNIPPETS = {"KITTI, training": 33_657, "KITTI, validation": 11_055, "Cityscapes": 62_049}
"""How many samples the paper's sets have, to compare with."""


class Encoding(NamedTuple):
    """How frames are stored.

    Attributes:
      format: "jpeg" or "png".
      quality: of JPEG, 1 to 100.
    """

    format: str = "jpeg"
    quality: int = 92

    def encode(self, pixels: np.ndarray) -> bytes:
        """Returns uint8 [H, W, 3] as the contents of an image file."""
        encoded = io.BytesIO()
        options = {"quality": self.quality, "optimize": True} if self.format == "jpeg" else {}
        Image.fromarray(pixels).save(encoded, self.format, **options)
        return encoded.getvalue()


def prepare_set(
    sequences: list[Sequence], size: tuple[int, int], out: pathlib.Path, encoding: Encoding, selections: list[str]
) -> dict[str, Any]:
    """Writes a prepared set; nothing is done if it is there already.

    Args:
      sequences: What to pack, as `select_sequences` gives it; parts of one sequence become one again.
      size: (height, width) in pixels of the packed frames.
      out: The set's folder.
      encoding: How frames are stored.
      selections: The words that chose the sequences, for the manifest.

    Returns:
      The manifest.

    Raises:
      UserError: The folder holds something else, no frame can be read, or the disk is full or cannot be written.
    """
    sequences = _merged(sequences)
    request = {
        "selections": selections,
        "size": list(size),
        "encoding": encoding._asdict(),
        "frames": [f"{frame}" for sequence in sequences for frame in sequence.frames],
    }
    summary = request | {"frames": len(request["frames"])}
    if out.exists():
        return _existing(out, summary)
    work = out.with_name(f"{out.name}.partial")
    try:
        _start(work, request)
        failed = _stage(sequences, size, work, encoding)
        kept = [_without(sequence, failed) for sequence in sequences]
        _write_records(kept, sequences, size, work, encoding)
        if opencv.is_installed():
            write_matches(work / FILE, follow_corners(kept, _staged_files(sequences, work)))
        manifest = _manifest(kept, summary, failed)
        (work / prepared.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(work / "staged")
        shutil.rmtree(work / "downloads", ignore_errors=True)  # of TFDS, empty
        (work / "request.json").unlink()
        work.rename(out)
    except OSError as error:
        raise UserError(f"the set cannot be written to {work} ({error}): make room, or choose another --out") from error
    return manifest


def _merged(sequences: list[Sequence]) -> list[Sequence]:
    """The sequences with the parts of each put together, in the order of time."""
    parts = collections.defaultdict(list)
    for sequence in sequences:
        parts[sequence.origin, sequence.name].append(sequence)
    merged = []
    for of_one in parts.values():
        frames = {}
        for part in of_one:
            frames |= {place: (part.frames[i], part.numbers[i]) for i, place in enumerate(part.places or range(len(part)))}
        places = sorted(frames)
        merged.append(
            dataclasses.replace(
                of_one[0],
                frames=tuple(frames[place][0] for place in places),
                numbers=tuple(frames[place][1] for place in places),
                places=tuple(places),
                whole_length=of_one[0].whole_length or len(of_one[0]),
            )
        )
    return merged


def _existing(out: pathlib.Path, summary: dict[str, Any]) -> dict[str, Any]:
    if prepared.is_prepared(out):
        manifest = prepared.read_manifest(out)
        if manifest["request"] == summary:
            return manifest
    raise UserError(f"{out} is there already and is not this set: remove it, or choose another --out")


def _start(work: pathlib.Path, request: dict[str, Any]) -> None:
    """Makes the folder of the work; what it holds of another request is removed."""
    asked = work / "request.json"
    if not asked.is_file() or json.loads(asked.read_text(encoding="utf-8")) != request:
        shutil.rmtree(work, ignore_errors=True)
    (work / "staged").mkdir(parents=True, exist_ok=True)
    partial = work / "request.json.partial"
    partial.write_text(json.dumps(request), encoding="utf-8")
    partial.rename(asked)


def _stage(
    sequences: list[Sequence], size: tuple[int, int], work: pathlib.Path, encoding: Encoding
) -> dict[Frame, str]:
    """Writes every frame that can be read to staged/; returns why the others cannot."""
    failed: dict[Frame, str] = {}
    jobs = [(frame, sequence) for sequence in sequences for frame in sequence.frames]

    def stage(index: int) -> None:
        target = work / "staged" / f"{index}"
        if target.exists():
            return
        frame, sequence = jobs[index]
        try:
            encoded = encoding.encode(read_image(frame, size, sequence.kept_rows, sequence.image_size))
        except UserError as error:
            failed[frame] = str(error)
            return
        partial = target.with_suffix(".partial")
        partial.write_bytes(encoded)
        partial.rename(target)

    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        for _ in tqdm(pool.map(stage, range(len(jobs))), total=len(jobs), desc="preparing", unit="frame"):
            pass
    if len(failed) == len(jobs):
        raise UserError(f"none of the {len(jobs)} frames can be read: {next(iter(failed.values()))}")
    return failed


def _without(sequence: Sequence, failed: dict[Frame, str]) -> Sequence:
    return sequence.part({p for p, frame in zip(sequence.places, sequence.frames, strict=True) if frame not in failed})


def _write_records(
    kept: list[Sequence], staged: list[Sequence], size: tuple[int, int], work: pathlib.Path, encoding: Encoding
) -> None:
    """Makes the data set of the staged files, in the order of the sequences."""
    import tensorflow_datasets as tfds  # takes a second to import

    file_of = _staged_files(staged, work)

    class Frames(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = prepared.DATASET.parts[0]
        VERSION = tfds.core.Version(prepared.DATASET.parts[1])
        url_infos: typing.ClassVar[dict] = {}  # nothing is downloaded; the search for checksums needs more packages

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(*size, 3), encoding_format=encoding.format),
                "sequence": tfds.features.Text(),
                "number": np.int64,
                "intrinsics": tfds.features.Tensor(shape=(3, 3), dtype=np.float64),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                description="Frames of video, resized, for training with dopi_jax; see manifest.json.",
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {prepared.SPLIT: self._generate_examples()}

        def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
            record = 0
            for sequence in kept:
                for frame, number in zip(sequence.frames, sequence.numbers, strict=True):
                    yield (
                        record,
                        {
                            "image": io.BytesIO(file_of[frame].read_bytes()),
                            "sequence": sequence.name,
                            "number": number,
                            "intrinsics": sequence.intrinsics_at(size),
                        },
                    )
                    record += 1

    shutil.rmtree(work / prepared.DATASET.parts[0], ignore_errors=True)
    tfds.disable_progress_bar()
    builder = Frames(data_dir=work, file_format="array_record")
    with contextlib.redirect_stdout(io.StringIO()):  # it tells where the unfinished set lies
        builder.download_and_prepare()


def _staged_files(staged: list[Sequence], work: pathlib.Path) -> dict[Frame, pathlib.Path]:
    frames = (frame for sequence in staged for frame in sequence.frames)
    return {frame: work / "staged" / f"{index}" for index, frame in enumerate(frames)}


def _manifest(sequences: list[Sequence], request: dict[str, Any], failed: dict[Frame, str]) -> dict[str, Any]:
    entries, record = [], 0
    for sequence in sequences:
        entries.append(prepared.manifest_entry(sequence, record, tuple(request["size"])))
        record += len(sequence)
    return {
        "format": prepared.FORMAT,
        "size": request["size"],
        "request": request,
        "frames": record,
        "snippets": count_snippets(sequences),
        "snippets_of_the_paper": PAPER_SNIPPETS,
        "left_out": [{"frame": str(frame), "why": why} for frame, why in failed.items()],
        "sequences": entries,
    }
