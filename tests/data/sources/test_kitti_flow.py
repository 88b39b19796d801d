import warnings

import numpy as np
import pytest
from PIL import Image

from dopi_jax.data.sources import kitti_flow
from dopi_jax.errors import UserError
from dopi_jax.formats import write_kitti_flow

SIZE = (6, 8)


@pytest.fixture
def root(tmp_path):
    """Two whole training scenes and one test scene; frames show their number, scene 3 has an object map."""
    for part, names in (("training", ("000003", "000012")), ("testing", ("000001",))):
        folder = tmp_path / "kitti_flow_2015" / part
        for kind in ("image_2", "calib_cam_to_cam", "flow_occ", "flow_noc", "obj_map"):
            (folder / kind).mkdir(parents=True)
        for name in names:
            for number in (9, 10, 11):
                save(folder / f"image_2/{name}_{number:02d}.png", np.full((*SIZE, 3), number, np.uint8))
            (folder / f"calib_cam_to_cam/{name}.txt").write_text(
                f"S_rect_02: {SIZE[1]} {SIZE[0]}\nP_rect_02: 5 0 4 1 0 5 3 2 0 0 1 3\n"
            )
            if part == "training":
                valid = np.ones(SIZE, bool)
                valid[0] = False
                write_kitti_flow(folder / f"flow_occ/{name}_10.png", np.full((*SIZE, 2), 1.5), valid)
                valid[:, 0] = False
                write_kitti_flow(folder / f"flow_noc/{name}_10.png", np.full((*SIZE, 2), 1.5), valid)
    objects = np.zeros(SIZE, np.uint8)
    objects[2, 3:5] = 1, 2
    save(tmp_path / "kitti_flow_2015/training/obj_map/000003_10.png", objects)
    return tmp_path


def save(path, pixels):
    Image.fromarray(pixels).save(path)


def test_scenes_are_listed_with_their_three_frames_and_intrinsics(root):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = kitti_flow.training_scenes([root])
    assert (first.name, second.name) == ("000003", "000012")
    assert [path.name for path in first.snippet.frames] == ["000003_09.png", "000003_10.png", "000003_11.png"]
    assert first.snippet.image_size == SIZE
    np.testing.assert_array_equal(first.snippet.intrinsics, [[5, 0, 4], [0, 5, 3], [0, 0, 1]])
    assert first.file_name == "000003_10.png"


def test_ground_truth_and_object_map(root):
    first, second = (scene.ground_truth() for scene in kitti_flow.training_scenes([root]))
    assert first.valid.sum() == 40 and first.valid_noc.sum() == 35
    np.testing.assert_array_equal(first.flow[1:], np.full((5, 8, 2), 1.5, np.float32))
    assert np.argwhere(first.moving).tolist() == [[2, 3], [2, 4]]
    assert second.moving is None


def test_test_scenes_need_no_ground_truth(root):
    (scene,) = kitti_flow.testing_scenes([root])
    assert scene.name == "000001" and scene.snippet.previous.name == "000001_09.png"


def test_a_missing_frame_9_is_told_and_frame_10_stands_in(root):
    (root / "kitti_flow_2015/training/image_2/000012_09.png").unlink()
    with pytest.warns(UserWarning, match=r"1 of 2 scenes .* have no frame 09 \(first: image_2/000012_09\.png\)"):
        first, second = kitti_flow.training_scenes([root])
    assert first.snippet.previous.name == "000003_09.png"
    assert second.snippet.previous == second.snippet.target


def test_frames_may_have_other_suffixes(root):
    folder = root / "kitti_flow_2015/training/image_2"
    for number, suffix in ((9, ".JPG"), (10, ".jpeg"), (11, ".PNG")):
        path = folder / f"000003_{number:02d}.png"
        Image.open(path).convert("RGB").save(path.with_suffix(suffix))
        path.unlink()
    (folder / "._000003_10.png").touch()
    frames = kitti_flow.training_scenes([root])[0].snippet.frames
    assert [path.name for path in frames] == ["000003_09.JPG", "000003_10.jpeg", "000003_11.PNG"]


def test_files_that_are_no_flow_maps_by_their_names_are_told(root):
    folder = root / "kitti_flow_2015/training/flow_occ"
    for path in folder.iterdir():
        path.rename(path.with_suffix(".flo"))
    with pytest.raises(
        kitti_flow.NoScenes, match=r"flow_occ \(000003_10\.flo, 000012_10\.flo\) are no frames by their names"
    ):
        kitti_flow.training_scenes([root])


def test_frames_of_different_sizes_are_told(root):
    save(root / "kitti_flow_2015/training/image_2/000012_11.png", np.zeros((6, 9, 3), np.uint8))
    with pytest.raises(UserError, match=r"000012_11\.png has 9x6 pixels .*, expected 8x6 as the other frames"):
        kitti_flow.training_scenes([root])


def test_frames_stored_smaller_get_a_smaller_camera(root):
    (root / "kitti_flow_2015/training/calib_cam_to_cam/000003.txt").write_text(
        "S_rect_02: 16 12\nP_rect_02: 10 0 8 2 0 10 6 4 0 0 1 3\n"
    )
    with pytest.warns(UserWarning, match="calib_cam_to_cam is for images of 16x12 pixels"):
        scene = kitti_flow.training_scenes([root])[0]
    np.testing.assert_array_equal(scene.snippet.intrinsics, [[5, 0, 4], [0, 5, 3], [0, 0, 1]])


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("image_2/000012_10.png", r"training/image_2/000012_10\.png does not exist: get data_scene_flow\.zip"),
        ("image_2/000012_11.png", r"training/image_2/000012_11\.png does not exist"),
        ("calib_cam_to_cam/000012.txt", r"calib_cam_to_cam/000012\.txt does not exist"),
        ("flow_noc/000012_10.png", r"flow map .*flow_noc/000012_10\.png cannot be read"),
    ],
)
def test_other_missing_files_are_told(root, missing, message):
    (root / "kitti_flow_2015/training" / missing).unlink()
    with pytest.raises(UserError, match=message):
        for scene in kitti_flow.training_scenes([root]):
            scene.ground_truth()


def test_a_missing_set_is_told(tmp_path):
    with pytest.raises(UserError, match=r"looked for .*training/flow_occ/000000_10\.png.*data_scene_flow_multiview\.zip"):
        kitti_flow.training_scenes([tmp_path])
    with pytest.raises(UserError, match=r"looked for .*testing/image_2/000000_10\.png"):
        kitti_flow.testing_scenes([tmp_path])


def test_an_8_bit_flow_map_and_one_of_another_size_are_told(root):
    folder = root / "kitti_flow_2015/training"
    scene = kitti_flow.training_scenes([root])[0]
    write_kitti_flow(folder / "flow_noc/000003_10.png", np.zeros((5, 8, 2)))
    with pytest.raises(UserError, match=r"flow_noc/000003_10\.png has 5x8 pixels .*: expected 6x8, as in flow_occ"):
        scene.ground_truth()
    save(folder / "flow_occ/000003_10.png", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(UserError, match=r"flow_occ/000003_10\.png is a PNG with 8-bit RGB: expected 16-bit RGB"):
        scene.ground_truth()


def test_scenes_of_2012_have_grey_or_colour_frames_and_their_own_cameras(tmp_path):
    folder = tmp_path / "kitti_flow_2012/training"
    for kind in ("image_0", "calib", "flow_occ"):
        (folder / kind).mkdir(parents=True)
    for number in (9, 10, 11):
        save(folder / f"image_0/000007_{number:02d}.png", np.full(SIZE, number, np.uint8))
    (folder / "calib/000007.txt").write_text("P0: 5 0 4 0 0 5 3 0 0 0 1 0\nP2: 6 0 4 1 0 6 3 2 0 0 1 3\n")
    write_kitti_flow(folder / "flow_occ/000007_10.png", np.full((*SIZE, 2), 1.5))
    (scene,) = kitti_flow.training_scenes([tmp_path])
    assert scene.label == "2012_000007" and scene.snippet.target == folder / "image_0/000007_10.png"
    assert scene.snippet.intrinsics[0, 0] == 5
    (folder / "image_0").rename(folder / "colored_0")
    (scene,) = kitti_flow.training_scenes([tmp_path])
    assert scene.snippet.target == folder / "colored_0/000007_10.png" and scene.snippet.intrinsics[0, 0] == 6
    (folder / "colored_0/000007_11.png").unlink()
    with pytest.raises(UserError, match=r"colored_0/000007_11\.png does not exist: get data_stereo_flow\.zip"):
        kitti_flow.training_scenes([tmp_path])


def test_of_several_roots_with_a_scene_the_first_is_read(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "kitti_flow_2015").symlink_to(root / "kitti_flow_2015")
    scenes = kitti_flow.training_scenes([root, other])
    assert [(scene.label, scene.folder.parts[-3]) for scene in scenes] == [
        ("2015_000003", root.name), ("2015_000012", root.name)
    ]  # fmt: skip


def test_the_real_scenes_of_2012(shared):
    scenes = kitti_flow.training_scenes([shared / "more"], [kitti_flow.KITTI_2012])
    assert [scene.name for scene in scenes] == ["000074", "000151"]
    assert scenes[0].snippet.previous.name == "000074_09.png"
    np.testing.assert_allclose(scenes[0].snippet.intrinsics[[0, 1], [0, 2]], [718.856, 185.2157])


def test_the_real_scene(shared):
    (scene,) = kitti_flow.training_scenes([shared / "data"])
    assert scene.name == "000010" and scene.snippet.previous.name == "000010_09.png"
    np.testing.assert_allclose(scene.snippet.intrinsics[[0, 1], [0, 2]], [721.5377, 172.854])
    truth = scene.ground_truth()
    assert truth.flow.shape == (375, 1242, 2) and truth.moving is None
    assert truth.valid.sum() == 111_664 and truth.valid_noc.sum() == 109_063
    assert not np.any(truth.valid_noc & ~truth.valid)
