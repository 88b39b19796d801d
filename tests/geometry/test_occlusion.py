import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry
from dopi_jax.forms import accelerator_forms
from dopi_jax.geometry.occlusion import reproject_both

HEIGHT, WIDTH = 12, 18
FOCAL = 10.0
K = jnp.array([[FOCAL, 0.0, 8.5], [0.0, FOCAL, 5.5], [0.0, 0.0, 1.0]])
IDENTITY = jnp.eye(4)


def move(x=0.0, y=0.0, z=0.0):
    """Pose `source_from_target` of a camera that moves by (x, y, z)."""
    return IDENTITY.at[:3, 3].set(jnp.array([-x, -y, -z]))


def random_depth(key):
    return 2 + 6 * jax.random.uniform(jax.random.key(key), (HEIGHT, WIDTH))


def test_identity_hides_nothing():
    depth = random_depth(0)
    masks = geometry.occlusion_masks(depth, depth, K, IDENTITY)
    assert masks.edge.all() and masks.overlap.all() and masks.blank.all() and masks.visible.all()
    assert masks.visible.dtype == bool


@pytest.mark.parametrize("columns", [1, 3])
def test_plane_shifted_by_whole_pixels_loses_exactly_those_columns(columns):
    depth = jnp.full((HEIGHT, WIDTH), 5.0)
    masks = geometry.occlusion_masks(depth, depth, K, move(x=columns * 5.0 / FOCAL))  # everything moves left
    kept = np.arange(WIDTH) >= columns
    np.testing.assert_array_equal(masks.edge, np.tile(kept, (HEIGHT, 1)))
    assert masks.overlap.all()
    # The source reaches columns on the target's right: pixel x of the source sits at x + columns.
    np.testing.assert_array_equal(masks.blank, np.tile(kept, (HEIGHT, 1)))


def block_scene():
    """A block at depth 2 covers columns 8 and 9 of a wall at depth 10; moving right by 2 shifts them by 10 and 2."""
    target = np.full((HEIGHT, WIDTH), 10.0, np.float32)
    target[:, 12:14] = 2.0
    source = np.full((HEIGHT, WIDTH), 10.0, np.float32)
    source[:, 2:4] = 2.0
    return jnp.asarray(target), jnp.asarray(source), move(x=2.0)


def test_block_before_a_wall():
    target, source, pose = block_scene()
    masks = geometry.occlusion_masks(target, source, K, pose)
    row = np.arange(WIDTH)
    # Wall pixels 4 and 5 land at 2 and 3, where the block lands; they are hidden behind it.
    np.testing.assert_array_equal(masks.overlap, np.tile(~np.isin(row, [4, 5]), (HEIGHT, 1)))
    # Nothing of the source comes to 0 and 1 (out of view) nor to 4 and 5 (behind the block). The cells to the right of a
    # whole-pixel landing count as touched, so of each gap the first column is reached from its left, if there is one.
    np.testing.assert_array_equal(masks.edge, np.tile((row >= 2), (HEIGHT, 1)))
    np.testing.assert_array_equal(masks.blank, np.tile(~np.isin(row, [0, 1, 5]), (HEIGHT, 1)))
    np.testing.assert_array_equal(masks.visible, masks.edge & masks.overlap & masks.blank)


def brute_force(target_depth, source_depth, K, pose, tolerance=0.0):
    """The definitions, pixel by pixel, in float64."""

    def landings(depth, transform):
        for y in range(HEIGHT):
            for x in range(WIDTH):
                d = float(depth[y, x])
                q = transform[:3, :3] @ (d * np.linalg.inv(K) @ [x, y, 1.0]) + transform[:3, 3]
                if not (np.isfinite(d) and d > 0 and q[2] > 1e-3):
                    continue
                u, v, w = K @ q
                u, v = u / w, v / w
                if -1e-3 <= u <= WIDTH - 1 + 1e-3 and -1e-3 <= v <= HEIGHT - 1 + 1e-3:
                    x0, y0 = np.clip(np.floor([u + 1e-3, v + 1e-3]).astype(int), 0, [WIDTH - 1, HEIGHT - 1])
                    yield (y, x), (x0, y0), q[2]

    edge, overlap, blank = np.zeros((3, HEIGHT, WIDTH), bool)
    overlap[:] = True
    landed = list(landings(target_depth, pose))
    for pixel, cell, z in landed:
        edge[pixel] = True
        overlap[pixel] = z <= (1 + tolerance + 1e-6) * min(other for _, c, other in landed if c == cell)
    for _, (x0, y0), _ in landings(source_depth, np.linalg.inv(pose)):
        for x in (x0, min(x0 + 1, WIDTH - 1)):
            for y in (y0, min(y0 + 1, HEIGHT - 1)):
                blank[y, x] = True
    return edge, overlap, blank


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_equals_brute_force(seed, tolerance):
    rng = np.random.default_rng(seed)
    target, source = 2 + 6 * rng.random((2, HEIGHT, WIDTH)).astype(np.float32)
    vector = np.concatenate([rng.normal(0, 0.4, 3), rng.normal(0, 0.05, 3)]).astype(np.float32)
    pose = np.asarray(geometry.pose_from_vector(vector))
    masks = geometry.occlusion_masks(target, source, K, pose, tolerance=tolerance)
    wanted = brute_force(target, source, np.asarray(K, float), pose.astype(float), tolerance)
    for got, want in zip(masks, wanted, strict=True):
        np.testing.assert_array_equal(got, want)


def test_unit_of_length_does_not_matter():
    target, source = random_depth(1), random_depth(2)
    pose = geometry.pose_from_vector(jnp.array([0.3, -0.1, 0.5, 0.01, 0.02, -0.01]))
    scaled = pose.at[:3, 3].multiply(4.0)
    for got, want in zip(
        geometry.occlusion_masks(4 * target, 4 * source, K, scaled),
        geometry.occlusion_masks(target, source, K, pose),
        strict=True,
    ):
        np.testing.assert_array_equal(got, want)


def test_unusable_depths_hide_themselves_only():
    target, source = random_depth(1), random_depth(2)
    pose = move(x=0.3, z=0.2)
    clean = geometry.occlusion_masks(target.at[3, 4].set(-1.0), source.at[5, 6].set(-1.0), K, pose)
    for bad in (jnp.nan, jnp.inf, -jnp.inf, 0.0):
        masks = geometry.occlusion_masks(target.at[3, 4].set(bad), source.at[5, 6].set(bad), K, pose)
        assert not masks.edge[3, 4]
        for got, want in zip(masks, clean, strict=True):
            np.testing.assert_array_equal(got, want)


def test_no_gradient():
    pose = geometry.pose_from_vector(jnp.array([0.3, -0.1, 0.5, 0.01, 0.02, -0.01]))
    depth, source = random_depth(1), random_depth(2)

    def masked_sum(depth, source, K, pose):
        return jnp.sum(jnp.where(geometry.occlusion_masks(depth, source, K, pose).visible, 1.0, 0.0))

    for gradient in jax.grad(masked_sum, argnums=(0, 1, 2, 3))(depth, source, K, pose):
        np.testing.assert_array_equal(gradient, 0)


def test_batch_is_the_stack_of_singles():
    targets, sources = (jnp.stack([random_depth(k) for k in keys]) for keys in ((1, 2, 3), (4, 5, 6)))
    poses = jax.vmap(geometry.pose_from_vector)(jnp.array([[0.3, 0, 0.5, 0, 0, 0], [0.0] * 6, [0, 0, -0.4, 0, 0.1, 0]]))
    batch = jax.vmap(geometry.occlusion_masks, in_axes=(0, 0, None, 0))(targets, sources, K, poses)
    for i in range(3):
        single = geometry.occlusion_masks(targets[i], sources[i], K, poses[i])
        for got, want in zip(batch, single, strict=True):
            np.testing.assert_array_equal(got[i], want)


def test_tolerance_removes_stripes_of_a_receding_wall():
    """Driving backward a slanted wall shrinks: several of its own pixels share a cell, and only a tolerance keeps them."""
    depth = jnp.tile(jnp.linspace(6.0, 7.0, WIDTH), (HEIGHT, 1))
    kept = {
        tolerance: float(geometry.occlusion_masks(depth, depth, K, move(z=-3.0), tolerance=tolerance).overlap.mean())
        for tolerance in (0.0, 0.05)
    }
    assert kept[0.0] < 0.8 and kept[0.05] == 1.0


def test_rounds_only_remove_and_settle():
    target, source, pose = block_scene()
    rounds = [geometry.occlusion_masks(target, source, K, pose, rounds=n) for n in (1, 2, 3, 4)]
    for before, after in itertools.pairwise(rounds):
        assert not (after.visible & ~before.visible).any()
    np.testing.assert_array_equal(rounds[2].visible, rounds[3].visible)


def test_second_round_empties_what_only_hidden_pixels_filled():
    """Source pixels behind the target's block land on it and fill it as "reached"; seen from the target they are hidden.

    The block of the target is absent from the source (it came from nowhere), so no visible source pixel lands on it.
    """
    target = jnp.full((HEIGHT, WIDTH), 10.0).at[:, 8:12].set(2.0)
    source = jnp.full((HEIGHT, WIDTH), 10.0)
    pose = move(x=2.0)
    once, twice = (geometry.occlusion_masks(target, source, K, pose, rounds=n) for n in (1, 2))
    assert (once.blank & ~twice.blank).any()
    assert not (twice.blank & ~once.blank).any()


def test_rounds_must_be_positive():
    with pytest.raises(ValueError, match="rounds is 0"):
        geometry.occlusion_masks(random_depth(0), random_depth(0), K, IDENTITY, rounds=0)


def test_z_buffer_keeps_the_nearest_and_ignores_the_rest():
    pixels = jnp.array([[1.2, 0.5], [1.9, 0.1], [-0.5, 0.0], [2.0, 1.0], [jnp.nan, 0.0], [1.5, 0.5]])
    z = jnp.array([5.0, 3.0, 1.0, 7.0, 1.0, jnp.nan])
    valid = jnp.array([True, True, True, True, True, False])
    buffer = geometry.z_buffer(pixels, z, valid, height=2, width=3)
    inf = np.inf
    np.testing.assert_array_equal(buffer, [[inf, 3, inf], [inf, inf, 7]])
    order = jnp.array([5, 3, 1, 0, 2, 4])
    np.testing.assert_array_equal(geometry.z_buffer(pixels[order], z[order], valid[order], 2, 3), buffer)


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_source_that_is_a_part_of_the_target_shows_that_part(rounds):
    """The source looks from the same place but has lost 3 columns on the left, 2 rows at the top and 4 at the right."""
    depth = random_depth(1)
    masks = geometry.occlusion_masks(
        depth, depth[2:, 3:-4], K, IDENTITY, source_K=geometry.crop_intrinsics(K, 3, 2), rounds=rounds
    )
    seen = np.zeros((HEIGHT, WIDTH), bool)
    seen[2:, 3:-4] = True
    np.testing.assert_array_equal(masks.edge, seen)
    assert masks.overlap.all()
    # Pixels that land on whole ones touch the cell to their right and below as well.
    np.testing.assert_array_equal(np.asarray(masks.blank)[:, :-4], seen[:, :-4])
    np.testing.assert_array_equal(masks.visible, seen)
    compared = geometry.depth_comparison_masks(
        depth, depth[2:, 3:-4], K, IDENTITY, source_K=geometry.crop_intrinsics(K, 3, 2)
    )
    np.testing.assert_array_equal(compared.visible, seen)


def test_the_sky_is_hidden_by_what_stands_before_it():
    """A block before the sky moves two pixels to the left; the sky stands still."""
    target = jnp.zeros((HEIGHT, WIDTH)).at[:, 8:10].set(0.1)
    source = jnp.zeros((HEIGHT, WIDTH)).at[:, 6:8].set(0.1)
    masks = geometry.occlusion_masks(target, source, K, move(x=2.0), inverse_depth=True)
    np.testing.assert_array_equal(masks.overlap, np.tile(~np.isin(np.arange(WIDTH), [6, 7]), (HEIGHT, 1)))
    assert masks.edge.all()
    compared = geometry.depth_comparison_masks(target, source, K, move(x=2.0), inverse_depth=True)
    np.testing.assert_array_equal(compared.visible, masks.overlap)


def test_a_mask_of_0_and_255_tells_the_buffer_which_points_count():
    pixels, z = jnp.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]), jnp.array([3.0, 2.0, 5.0])
    valid = np.array([255, 0, 254], np.uint8)
    np.testing.assert_array_equal(geometry.z_buffer(pixels, z, valid, 1, 2), [[3, 5]])


@pytest.mark.parametrize("inverse_depth", [False, True])
def test_the_form_of_a_gpu_gives_the_same_landings(inverse_depth):
    rng = np.random.default_rng(0)
    depths = rng.uniform(0.5, 4, (2, 6, 9)).astype(np.float32)
    depths[:, 0, :3] = 0.0, -1.0, np.nan
    K = jnp.array([[8.0, 0, 4], [0, 8.0, 2.5], [0, 0, 1]])
    pose = geometry.pose_from_vector([0.2, -0.1, -0.3, 0.02, 0.05, -0.03])
    views = (*depths, K, pose, geometry.scale_intrinsics(K, 1.1, 0.9), inverse_depth)
    of_a_cpu = reproject_both(*views)
    with accelerator_forms():
        at_once = reproject_both(*views)
    for one, other in zip(jax.tree.leaves(of_a_cpu), jax.tree.leaves(at_once), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-4)
