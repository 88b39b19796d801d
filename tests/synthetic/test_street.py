"""The street's truth, against hand-computed scenes, against `geometry`, and against its own images."""

import dataclasses

import jax
import numpy as np
import pytest

from dopi_jax import geometry
from dopi_jax.synthetic import HIDDEN_BY_MOVER, HIDDEN_BY_STATIC, OUT_OF_VIEW, VISIBLE, Street
from dopi_jax.synthetic.raycast import GROUND, SKY, Camera, cast
from dopi_jax.synthetic.scene import Boxes
from dopi_jax.synthetic.textures import fractal_noise, stripes

HEIGHT, WIDTH = 64, 208


@pytest.fixture(scope="module", params=[0, 1, 2])
def street(request):
    return Street(request.param, frames=12, height=HEIGHT, width=WIDTH)


def boxes(*rows):
    """Boxes of (centre, half, yaw, velocity)."""
    centre, half, yaw, velocity = (np.array(column, float) for column in zip(*rows, strict=True))
    count = len(rows)
    return Boxes(centre, half, yaw, velocity, np.full((count, 3), 0.5), np.zeros(count), np.zeros(count, bool))


STILL = (0, 0, 0)


def camera(x=0.0, z=0.0, size=(41, 81)):
    """100 pixels of focal length, 1.5 m above the ground, the principal point in the middle."""
    pose = np.eye(4)
    pose[:3, 3] = x, -1.5, z
    return Camera(np.array([[100.0, 0, size[1] // 2], [0, 100.0, size[0] // 2], [0, 0, 1]]), pose, *size)


def test_rays_hit_what_they_should_at_the_depth_they_should():
    """A wall from 10 m on, 2 m high and 4 m wide; the ground before it, the sky above."""
    wall = boxes(((0, -1, 15), (2, 1, 5), 0, STILL))
    pixels = np.array([[40, 20], [40, 40], [40, 0], [59, 20], [61, 20]], float)
    hits = cast(wall, 0, camera(), pixels)
    # The second ray falls 0.2 m a metre from 1.5 m: it is on the ground after 7.5 m.
    np.testing.assert_allclose(hits.depth, [10, 7.5, np.inf, 10, np.inf])
    assert hits.surface.tolist() == [0, GROUND, SKY, 0, SKY]


def test_a_box_turns_about_the_vertical_axis():
    """Turned by an eighth, a corner that was sqrt(2) m away from the middle points at the camera."""
    hits = cast(boxes(((0, -1.5, 10), (1, 1, 1), np.pi / 4, STILL)), 0, camera(), np.array([[40.0, 20.0]]))
    np.testing.assert_allclose(hits.depth, 10 - np.sqrt(2))


def test_the_nearer_box_is_seen_and_boxes_move():
    pair = boxes(((0, -1.5, 10), (1, 1, 1), 0, STILL), ((0, -1.5, 6), (0.2, 0.2, 0.5), 0, (0.5, 0, 0)))
    middle = np.array([[40.0, 20.0]])
    assert cast(pair, 0, camera(), middle).surface == [1]
    assert cast(pair, 1, camera(), middle).surface == [0], "it has moved by half a metre"
    np.testing.assert_allclose(cast(pair, 0, camera(), middle).depth, 5.5)


def test_a_box_beside_the_camera_is_cut_at_the_image_and_not_lost():
    long_house = boxes(((3, -2, 0), (1, 2, 30), 0, STILL))
    hits = cast(long_house, 0, camera(), np.array([[80.0, 20.0], [60.0, 20.0], [20.0, 20.0]]))
    # Its side is 2 m to the right: rays that go right by 0.4 and 0.2 m a metre meet it at 5 and 10 m.
    np.testing.assert_allclose(hits.depth, [5, 10, np.inf])


class Scene(Street):
    """A street of given boxes and cameras."""

    def __init__(self, of_boxes, cameras):
        super().__init__(0, len(cameras), cameras[0].height, cameras[0].width)
        self.boxes, self.K = of_boxes, cameras[0].K
        self.poses = np.stack([c.world_from_camera for c in cameras])


def test_visibility_of_a_post_before_a_wall():
    """The camera moves 1 m to the right. The wall at 10 m moves 10 px to the left, the post at 5 m 20 px."""
    post_before_wall = boxes(((0, -1.5, 11), (20, 9, 1), 0, STILL), ((0, -1.5, 5.1), (0.2, 9, 0.1), 0, STILL))
    truth = Scene(post_before_wall, [camera(), camera(1.0)]).pair(0, 1)
    row = 20
    np.testing.assert_allclose(truth.flow[row, 60], [-10, 0], atol=1e-9)
    np.testing.assert_allclose(truth.flow[row, 40], [-20, 0], atol=1e-9)
    # The post covers columns 36 to 44 here and 16 to 24 there, where the wall's columns 26 to 34 come to lie.
    visibility = truth.visibility[row]
    assert (visibility[:10] == OUT_OF_VIEW).all()
    assert (visibility[27:34] == HIDDEN_BY_STATIC).all()
    assert (visibility[11:25] == VISIBLE).all() and (visibility[46:] == VISIBLE).all()
    assert (visibility[37:44] == VISIBLE).all(), "the post itself"
    assert not truth.moving.any()


def test_visibility_and_flow_of_a_mover():
    """The camera stands; a post at 5 m moves 0.4 m to the right, which is 8 px."""
    mover = boxes(((0, -1.5, 11), (20, 9, 1), 0, STILL), ((0, -1.5, 5.1), (0.2, 9, 0.1), 0, (0.4, 0, 0)))
    truth = Scene(mover, [camera(), camera()]).pair(0, 1)
    np.testing.assert_allclose(truth.flow[20, 40], [8, 0], atol=1e-9)
    np.testing.assert_allclose(truth.rigid_flow, 0, atol=1e-9)
    assert truth.moving[20, 37:44].all() and truth.moving[20].sum() <= 9
    # It covers columns 44 to 52 then, where there was wall before.
    assert (truth.visibility[20, 45:52] == HIDDEN_BY_MOVER).all()
    assert (truth.visibility[20, :44] == VISIBLE).all()


def test_rigid_flow_is_that_of_depth_and_pose(street):
    depth = street.frame(5).depth
    finite = np.isfinite(depth)
    for source in (4, 6):
        truth = street.pair(5, source)
        pose = street.source_from_target(5, source)
        known = np.where(finite, depth, 1).astype(np.float32)
        flow = jax.jit(geometry.rigid_flow)(known, np.float32(street.K), np.float32(pose))
        seen = finite & (truth.visibility != OUT_OF_VIEW)
        assert seen.mean() > 0.5
        np.testing.assert_allclose(np.asarray(flow)[seen], truth.rigid_flow[seen], atol=1e-3)
        static = ~truth.moving
        np.testing.assert_array_equal(truth.flow[static], truth.rigid_flow[static])


def test_the_source_warped_by_true_flow_is_the_target_where_it_is_visible(street):
    target = street.frame(5).image.astype(np.float32)
    for number in (4, 6):
        source, truth = street.frame(number).image.astype(np.float32), street.pair(5, number)
        warped, _ = geometry.warp_by_flow(source, truth.flow.astype(np.float32))
        visible = truth.visibility == VISIBLE
        error, unwarped = (np.abs(x - target).mean(-1) for x in (np.asarray(warped), source))
        # Interpolation blurs texture of the size of a pixel, and edges mix: a few grey levels of 255.
        assert np.median(error[visible]) < 4 and error[visible].mean() < 8
        assert error[visible].mean() < 0.6 * unwarped[visible].mean()
        hidden = (truth.visibility == HIDDEN_BY_STATIC) | (truth.visibility == HIDDEN_BY_MOVER)
        if hidden.sum() > 100:
            assert error[hidden].mean() > 2 * error[visible].mean()


def test_a_visible_static_pixel_comes_back(street):
    """What goes there and is visible there has the opposite flow there."""
    there, back = street.pair(5, 6), street.pair(6, 5)
    returning, inside = geometry.warp_by_flow(back.flow.astype(np.float32), there.flow.astype(np.float32))
    kept = (there.visibility == VISIBLE) & ~there.moving & np.asarray(inside)
    assert np.median(np.linalg.norm(np.asarray(returning) + there.flow, axis=-1)[kept]) < 0.05


def test_the_seed_decides_everything_and_the_order_of_frames_nothing():
    first, again = (Street(3, 12, HEIGHT, WIDTH, noise=3.0, illumination=0.1) for _ in range(2))
    again.frame(2)
    for field in dataclasses.fields(first.frame(7)):
        np.testing.assert_array_equal(getattr(first.frame(7), field.name), getattr(again.frame(7), field.name))
    other = Street(4, 12, HEIGHT, WIDTH)
    assert np.abs(first.frame(7).image.astype(float) - other.frame(7).image).mean() > 5


def test_exposure_and_noise_are_what_was_asked_for():
    plain, noisy = Street(3, 12, HEIGHT, WIDTH), Street(3, 12, HEIGHT, WIDTH, noise=4.0)
    difference = noisy.frame(2).image.astype(float) - plain.frame(2).image
    inner = (plain.frame(2).image > 20) & (plain.frame(2).image < 235)
    np.testing.assert_allclose(difference[inner].std(), 4.0, rtol=0.05)
    lit = Street(3, 12, HEIGHT, WIDTH, illumination=0.3)
    means = [lit.frame(n).image.mean() / plain.frame(n).image.mean() for n in range(4)]
    assert np.std(means) > 0.03


def test_the_number_of_movers_can_be_chosen():
    assert not Street(0, 12, HEIGHT, WIDTH, movers=0).boxes.moving.any()
    assert Street(0, 12, HEIGHT, WIDTH, movers=3).boxes.moving.any()


@pytest.mark.parametrize("seed", range(6))
def test_the_camera_drives_gently_forwards(seed):
    street = Street(seed, frames=40)
    for number in range(39):
        motion = street.source_from_target(number, number + 1)
        assert 0.4 < np.linalg.norm(motion[:3, 3]) < 1.4
        # Points come nearer, and hardly sideways: the car drives where it looks.
        assert motion[2, 3] < 0 and abs(motion[0, 3]) < 0.1 * abs(motion[2, 3])
        np.testing.assert_allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.degrees(np.arccos((np.trace(motion[:3, :3]) - 1) / 2)) < 1.0


def test_noise_too_fine_for_a_pixel_fades():
    u = np.random.default_rng(0).uniform(0, 500, 20_000)
    v = u[::-1]
    fine, coarse = (fractal_noise(u, v, 0, np.full(u.shape, footprint), coarsest=8.0) for footprint in (0.01, 3.0))
    assert fine.std() > 0.6 and coarse.std() < 0.35
    assert not fractal_noise(u, v, 0, np.full(u.shape, 10.0), coarsest=8.0).any()
    assert np.corrcoef(fine, fractal_noise(u, v, 1, np.full(u.shape, 0.01), coarsest=8.0))[0, 1] < 0.1


def test_stripes_cover_pixels_by_their_share():
    np.testing.assert_allclose(stripes(np.array([0.0, 0.5, 0.6, 1.0]), 0.0, 1.0, np.full(4, 0.4)), [1, 0.5, 0.25, 0])
