"""The report on one's own footage before training: what it is, and whether depth and motion can be learnt from it.

    malaga: 600 frames of 640x480, 598 snippets of consecutive frames
      intrinsics   fx 496.9, fy 496.9, cx 323.1, cy 247.1 (field of view 66 x 52 degrees), from .../malaga/intrinsics.txt
      motion       3.0 pixels at 416x128 (median of 40 pairs); 5% of them stand still
      parallax     in 94% of the pairs that move
      cuts         none
      exposure     no jumps
      black bars   none
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from dopi_jax.data.footage import HOW_TO_GIVE
from dopi_jax.data.recording import Recording
from dopi_jax.data.snippets import Sequence, count_snippets
from dopi_jax.data.survey import LEAST_MOTION, STATIC_MOTION

FEWEST_SNIPPETS = 30  # fewer are an error
FEW_SNIPPETS = 200  # fewer are overfitted within minutes

_STATIC_SHARE = 0.3  # of the pairs, from which on it is said
_ALL_STATIC = 0.9
_NO_PARALLAX = 0.1  # of the moving pairs
_LITTLE_PARALLAX = 0.5
_SQUEEZED = 1.4  # ratio of the aspects of frames and training size
_LISTED = 8  # frame numbers in a line


@dataclasses.dataclass(frozen=True)
class Preflight:
    """The report on one recording before training.

    Attributes:
      recording: its camera and what its pictures show.
      frames: how many are used.
      snippets: how many they give.
      image_size: (height, width) of the stored frames in pixels.
      size: (height, width) to train at, in pixels.
      warnings: what will make the result worse, and what to do about it.
      failures: why nothing can be learnt from it, and what to do about it; empty if it can.
    """

    recording: Recording
    frames: int
    snippets: int
    image_size: tuple[int, int]
    size: tuple[int, int]
    warnings: list[str]
    failures: list[str]

    @property
    def can_work(self) -> bool:
        """Whether there is something to learn from."""
        return not self.failures

    def render(self) -> str:
        """Returns the report as text of some ten lines."""
        survey, calibration = self.recording.survey, self.recording.calibration
        rate = f" at {self.recording.frame_rate:.4g} frames a second" if self.recording.frame_rate else ""
        apart = "consecutive frames" if survey.stride == 1 else f"frames {survey.stride} apart"
        rows = {
            "intrinsics": f"{_describe_camera(calibration.intrinsics, self.image_size)}, {calibration.how}",
            "motion": f"{_median_motion(self.recording) * self.size[1]:.1f} pixels at {_by(self.size)} (median of "
            f"{len(survey.motions)} pairs); {_static_share(self.recording):.0%} of them stand still",
            "parallax": "not measured: too little moves"
            if math.isnan(survey.parallax)
            else f"in {survey.parallax:.0%} of the pairs that move",
            "cuts": _list_numbers(survey.cuts, "before frames") or "none",
            "exposure": _list_numbers(survey.exposure_jumps, "jumps at frames") or "no jumps",
            "black bars": _describe_bars(self.recording, self.image_size) or "none",
        }
        lines = [
            f"{self.recording.name}: {self.frames} frames of {_by(self.image_size)}{rate}, "
            f"{self.snippets} snippets of {apart}"
        ]
        lines += [f"  {name:<12} {text}" for name, text in rows.items()]
        lines += [f"  warning: {text}" for text in self.warnings]
        lines += [f"  cannot work: {text}" for text in self.failures]
        return "\n".join(lines)


def check_footage(
    sequences: list[Sequence], size: tuple[int, int], *, learns_focal_length: bool = False
) -> list[Preflight]:
    """Reports on the recordings that sequences are shots of, in their order; sequences of data sets are left out.

    Args:
      sequences: from the sources images and video.
      size: (height, width) to train at, in pixels.
      learns_focal_length: whether the intrinsics are only a start, so that a guess needs no warning.
    """
    shots: dict[tuple, list[Sequence]] = {}
    for sequence in sequences:
        if sequence.recording is not None:
            # Training and validation look at a recording anew, but under the same name.
            shots.setdefault((sequence.origin, sequence.recording.name), []).append(sequence)
    return [_check_recording(of_one[0].recording, of_one, size, learns_focal_length) for of_one in shots.values()]


def _check_recording(
    recording: Recording, shots: list[Sequence], size: tuple[int, int], learns_focal_length: bool
) -> Preflight:
    if learns_focal_length:
        how = f"{recording.calibration.how}; the focal length is learnt from here on"
        recording = dataclasses.replace(recording, calibration=recording.calibration._replace(how=how, guessed=False))
    snippets, image_size = count_snippets(shots), shots[0].image_size
    return Preflight(
        recording=recording,
        frames=sum(map(len, shots)),
        snippets=snippets,
        image_size=image_size,
        size=size,
        warnings=list(_warnings(recording, snippets, image_size, size)),
        failures=list(_failures(recording, snippets)),
    )


def _failures(recording: Recording, snippets: int) -> Iterator[str]:
    survey = recording.survey
    if snippets < FEWEST_SNIPPETS:
        yield (
            f"{snippets} snippets are too few to learn anything from, expected at least {FEWEST_SNIPPETS} and better some "
            "hundreds: use a longer video without cuts"
        )
    if _static_share(recording) >= _ALL_STATIC:
        yield (
            "almost nothing moves from frame to frame: depth is learnt from what a camera sees on its way; use footage of a "
            "drive or a walk"
        )
    elif survey.parallax <= _NO_PARALLAX:
        yield (
            "near and far things move alike (no parallax): the camera only turns or zooms, or all that it sees is one "
            "plane, such as a wall; neither shows depth: use footage of a camera that moves to another place"
        )


def _warnings(recording: Recording, snippets: int, image_size: tuple[int, int], size: tuple[int, int]) -> Iterator[str]:
    survey = recording.survey
    if recording.calibration.guessed:
        yield (
            "the intrinsics are a guess: if they are wrong, sideways distances are out of proportion to depth, and "
            f"rotations are wrong; {HOW_TO_GIVE}"
        )
    if FEWEST_SNIPPETS <= snippets < FEW_SNIPPETS:
        yield f"{snippets} snippets are few and soon overfitted: add footage of the same camera, or stop early"
    if _STATIC_SHARE <= _static_share(recording) < _ALL_STATIC:
        yield (
            f"the camera stands still in {_static_share(recording):.0%} of the pairs, from which nothing is learnt: cut "
            "these parts out"
        )
    elif _static_share(recording) < _ALL_STATIC and _median_motion(recording) < 0.5 * LEAST_MOTION:
        yield (
            f"little moves, {_median_motion(recording) * size[1]:.1f} pixels: depth will be coarse; use faster footage, or "
            f"a longer --config.data.stride than {survey.stride}"
        )
    if _NO_PARALLAX < survey.parallax < _LITTLE_PARALLAX:
        yield (
            f"only {survey.parallax:.0%} of the pairs that move show parallax, in the others the camera turns or sees one "
            "plane: leave out the parts in which it does not move to another place"
        )
    if survey.exposure_jumps:
        yield (
            f"the brightness jumps at {len(survey.exposure_jumps)} frames, and frames are compared by their colours: lock "
            "the exposure when recording, or cut these parts out"
        )
    if any(survey.bars):
        yield (
            f"the black bars ({_describe_bars(recording, image_size)}) are not cut off, and what is learnt there is wrong: "
            "crop the footage first, with ffmpeg's filter crop for instance, and give the intrinsics of the cropped frames"
        )
    squeeze = image_size[1] / image_size[0] / (size[1] / size[0])
    if max(squeeze, 1 / squeeze) > _SQUEEZED:
        yield (
            f"frames of {_by(image_size)} are trained on at {_by(size)}, squeezed {max(squeeze, 1 / squeeze):.1f} times in "
            f"{'width' if squeeze > 1 else 'height'}: --config.data.width={_of_same_area(image_size, size)[1]} "
            f"--config.data.height={_of_same_area(image_size, size)[0]} keep their shape"
        )


def _median_motion(recording: Recording) -> float:
    """Of the pairs that move, as a share of the width; 0 where none does."""
    moving = [motion for motion in recording.survey.motions if motion > STATIC_MOTION]
    return float(np.median(moving)) if moving else 0.0


def _static_share(recording: Recording) -> float:
    motions = np.array(recording.survey.motions)
    return float(np.mean(motions <= STATIC_MOTION)) if len(motions) else 0.0


def _describe_camera(intrinsics: np.ndarray, size: tuple[int, int]) -> str:
    (fx, _, cx), (_, fy, cy), _ = intrinsics
    across, down = (2 * math.degrees(math.atan(side / 2 / focal)) for side, focal in ((size[1], fx), (size[0], fy)))
    return f"fx {fx:.1f}, fy {fy:.1f}, cx {cx:.1f}, cy {cy:.1f} (field of view {across:.0f} x {down:.0f} degrees)"


def _describe_bars(recording: Recording, size: tuple[int, int]) -> str:
    bars = recording.survey.bars
    sides = zip(bars._fields, bars, (size[0], size[0], size[1], size[1]), strict=True)
    return ", ".join(f"{name} {share * length:.0f} pixels" for name, share, length in sides if share)


def _of_same_area(image_size: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the area to train at and the aspect of the frames, about: in multiples that every network takes."""
    height = math.sqrt(size[0] * size[1] * image_size[0] / image_size[1])
    return tuple(max(64, 64 * round(side / 64)) for side in (height, height * image_size[1] / image_size[0]))


def _list_numbers(numbers: tuple[int, ...], what: str) -> str:
    listed = ", ".join(map(str, numbers[:_LISTED]))
    more = f" and {len(numbers) - _LISTED} more" if len(numbers) > _LISTED else ""
    return f"{len(numbers)}, {what} {listed}{more}" if numbers else ""


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
