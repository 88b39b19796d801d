import struct

import cv2
import numpy as np
import pytest

from dopi_jax.data import video_frames
from dopi_jax.data.footage import Footage
from dopi_jax.data.images import read_image
from dopi_jax.data.sources import video
from dopi_jax.errors import UserError


def shades(count, size=(48, 64)):
    """Frames of one grey each, whose left half is lighter."""
    frames = [np.full((*size, 3), 40 + 5 * index, np.uint8) for index in range(count)]
    for frame in frames:
        frame[:, : size[1] // 2] += 100
    return frames


def test_a_video_is_a_recording_and_so_is_every_video_in_a_folder(made, tmp_path):
    one = made.video(tmp_path / "one.avi", shades(4))
    made.video(tmp_path / "TWO.AVI", shades(4))
    (tmp_path / "._one.avi").write_bytes(b"macOS")
    (tmp_path / "notes.txt").write_text("no video")
    assert video.items(one) == ["one"]
    assert video.items(tmp_path) == ["TWO", "one"]
    assert video.items(tmp_path / "absent") == []


def test_videos_of_one_name_keep_their_suffix(made, tmp_path):
    made.video(tmp_path / "a.avi", shades(3))
    made.video(tmp_path / "a.mkv", shades(3))
    assert video.items(tmp_path) == ["a.avi", "a.mkv"]


def test_frames_are_numbered_and_are_those_of_the_video(made, tmp_path):
    path = made.video(tmp_path / "clip.avi", shades(5), rate=12)
    (sequence,) = video.read(path, "clip", Footage())
    assert (sequence.name, sequence.numbers, sequence.image_size) == ("clip", (0, 1, 2, 3, 4), (48, 64))
    assert sequence.recording.frame_rate == 12
    for index, frame in enumerate(sequence.frames):
        pixels = read_image(frame)
        np.testing.assert_allclose([pixels[24, 48, 0], pixels[24, 16, 0]], [40 + 5 * index, 140 + 5 * index], atol=3)


def test_a_video_is_unpacked_once_and_again_when_it_changes(made, tmp_path, frames_cache):
    path = made.video(tmp_path / "clip.avi", shades(4))
    folder = video_frames.unpack(path).folder
    written = (folder / "000000.jpg").stat().st_mtime_ns
    assert video_frames.unpack(path).folder == folder and folder.parent == frames_cache / "frames"
    assert (folder / "000000.jpg").stat().st_mtime_ns == written
    made.video(path, shades(6))
    assert len(list(video_frames.unpack(path).folder.glob("*.jpg"))) == 6


def test_large_frames_are_stored_smaller_and_intrinsics_follow(made, tmp_path):
    path = made.video(tmp_path / "clip.avi", shades(3, (1080, 1920)))
    (sequence,) = video.read(path, "clip", Footage(intrinsics="1500,1500,960,540"))
    assert sequence.image_size == (720, 1280)
    np.testing.assert_allclose(sequence.intrinsics, [[1000, 0, 640], [0, 1000, 360], [0, 0, 1]])


def test_intrinsics_beside_the_video_are_found(made, tmp_path):
    path = made.video(tmp_path / "clip.avi", shades(3))
    (tmp_path / "intrinsics.txt").write_text("50 51 32 24\n")
    (sequence,) = video.read(path, "clip", Footage())
    np.testing.assert_allclose(sequence.intrinsics, [[50, 0, 32], [0, 51, 24], [0, 0, 1]])


def test_the_rotation_that_a_phone_writes_is_respected(made, tmp_path):
    path = made.video(tmp_path / "phone.mp4", shades(4), code="mp4v")
    content = bytearray(path.read_bytes())
    matrix = content.find(b"tkhd") + 44  # of version 0 of this box
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)  # by 90 degrees
    path.write_bytes(content)
    (sequence,) = video.read(path, "phone", Footage())
    assert sequence.image_size == (64, 48)
    pixels = read_image(sequence.frames[0])
    assert pixels[:30].mean() > pixels[34:].mean() + 80  # the lighter left half is up


@pytest.mark.parametrize(
    "aspect, rotation, expected", [((1, 1), 0, (480, 640)), ((2, 1), 0, (480, 1280)), ((2, 1), 90, (480, 320))]
)
def test_pixels_become_square(aspect, rotation, expected):
    class Capture:
        def get(self, what):
            known = {cv2.CAP_PROP_SAR_NUM: aspect[0], cv2.CAP_PROP_SAR_DEN: aspect[1]}
            return float(known.get(what, rotation))

    assert video_frames._stored_size((480, 640), Capture()) == expected


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_video_that_is_cut_off_is_used_up_to_there_and_told(made, tmp_path, suffix):
    path = made.video(tmp_path / f"clip{suffix}", made.drive(30))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    with pytest.warns(UserWarning, match=r"clip\.\w+ announces 30 frames but ends after 1[5-9] that can be read: these are"):
        frames = video_frames.unpack(path)
    assert 15 <= len(list(frames.folder.glob("*.jpg"))) <= 19


def damaged(path, made):
    made.video(path, shades(10), code="mp4v")
    content = path.read_bytes()
    path.write_bytes(content[: content.find(b"moov")])  # as a camera leaves it whose battery is empty


@pytest.mark.parametrize(
    "write, sentence",
    [
        (lambda path, made: path.write_text("not a video\n" * 50), r"clip.mp4 cannot be opened as a video: expected a"),
        (damaged, r"clip.mp4 cannot be opened as a video: .* \(the index of an .mp4 lies at its end\)"),
        (lambda path, made: path.write_bytes(b""), r"clip.mp4 is empty"),
        (lambda path, made: made.video(path, shades(1), code="mp4v"), r"clip.mp4 has 1 of the 3 frames"),
        (lambda path, made: made.video(path, shades(2), code="mp4v"), r"clip.mp4 has 2 of the 3 frames"),
    ],
    ids=["text", "no index", "empty", "one frame", "two frames"],
)
def test_what_is_no_video_is_one_sentence_and_leaves_nothing(made, tmp_path, frames_cache, capfd, write, sentence):
    write(tmp_path / "clip.mp4", made)
    capfd.readouterr()
    with pytest.raises(UserError, match=sentence):
        video.read(tmp_path, "clip", Footage())
    assert not list(frames_cache.glob("frames/*")) and not list(frames_cache.glob("frames/.*"))
    assert capfd.readouterr().err.count("\n") <= 1  # the progress bar alone


def test_sound_alone_is_no_video(tmp_path):
    silence = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 8036, b"WAVE", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8, b"data", 8000)
    (tmp_path / "song.mp4").write_bytes(silence + bytes([128]) * 8000)
    with pytest.raises(UserError, match=r"song.mp4 cannot be opened as a video"):
        video.read(tmp_path, "song", Footage())


def test_an_unknown_video_is_told_with_those_at_hand(made, tmp_path):
    made.video(tmp_path / "clip.avi", shades(3))
    with pytest.raises(UserError, match=r"video:walk is not at hand, looked for it at .*, found clip: set --config"):
        video.read(tmp_path, "walk", Footage())


def test_a_cache_that_cannot_be_written_is_told(made, tmp_path, monkeypatch):
    path = made.video(tmp_path / "clip.avi", shades(3))
    monkeypatch.setenv("DOPI_CACHE", str(path))
    with pytest.raises(UserError, match=r"frames of .*clip.avi cannot be written to .* environment variable DOPI_CACHE"):
        video.read(path, "clip", Footage())


def test_a_real_video(shared):
    (sequence,) = video.read(shared / "data/video/solidWhiteRight.mp4", "solidWhiteRight", Footage())
    assert (len(sequence), sequence.image_size, sequence.recording.frame_rate) == (221, (540, 960), 25)
    assert sequence.recording.survey.cuts == () and sequence.recording.survey.parallax > 0.9
    assert 2 <= sequence.step <= 4  # 25 frames a second, where KITTI has 10
    assert len(sequence.snippets()) == 221 - 2 * sequence.step
