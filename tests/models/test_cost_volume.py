"""The cost volume against its definition, in values, gradients and memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.models import cost_volume


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def by_shifted_copies(target, source, radius):
    """The textbook form, which differentiation makes keep every copy."""
    _, height, width, _ = target.shape
    padded = jnp.pad(source, ((0, 0), (radius, radius), (radius, radius), (0, 0)))
    shifts = np.ndindex(2 * radius + 1, 2 * radius + 1)
    return jnp.stack([jnp.mean(target * padded[:, y : y + height, x : x + width], -1) for y, x in shifts], -1)


@pytest.mark.parametrize("radius", [1, 2])
def test_equals_its_definition(radius):
    target, source = np.asarray(normal(2, 4, 5, 3)), np.asarray(normal(2, 4, 5, 3, seed=1))
    side = 2 * radius + 1
    want = np.zeros((2, 4, 5, side**2))
    for y, x, dy, dx in np.ndindex(4, 5, side, side):
        source_y, source_x = y + dy - radius, x + dx - radius
        if 0 <= source_y < 4 and 0 <= source_x < 5:
            want[:, y, x, side * dy + dx] = np.mean(target[:, y, x] * source[:, source_y, source_x], axis=-1)
    np.testing.assert_allclose(cost_volume(target, source, radius), want, atol=1e-6)


def test_peaks_at_the_displacement():
    source = normal(1, 12, 12, 64)
    target = jnp.roll(source, (-1, 2), axis=(1, 2))  # target(p) = source(p + (dx, dy)), dx = -2, dy = 1
    best = jnp.argmax(cost_volume(target, source, 3), axis=-1)
    np.testing.assert_array_equal(best[:, 4:-4, 4:-4], (1 + 3) * 7 + (-2 + 3))


def test_exchanging_the_images_reverses_displacements():
    """c_ab(p, d) = c_ba(p + d, -d)."""
    a, b = normal(1, 5, 6, 4), normal(1, 5, 6, 4, seed=1)
    there, back = cost_volume(a, b, 2), cost_volume(b, a, 2)[..., ::-1]
    dy, dx = 1, -2
    channel = (dy + 2) * 5 + dx + 2
    np.testing.assert_allclose(there[0, :4, 2:, channel], back[0, 1:, :4, channel], atol=1e-6)


def test_image_smaller_than_the_radius():
    """The coarsest level of an image of 64 rows has one row."""
    volume = cost_volume(normal(1, 1, 2, 8), normal(1, 1, 2, 8, seed=1), 4).reshape(1, 2, 9, 9)
    assert np.any(volume[:, :, 4] != 0)
    np.testing.assert_array_equal(volume.at[:, :, 4].set(0), 0)


def test_gradients_equal_those_of_shifted_copies():
    target, source, cotangent = normal(2, 5, 6, 3), normal(2, 5, 6, 3, seed=1), normal(2, 5, 6, 25, seed=2)

    def gradients(volume):
        return jax.grad(lambda *maps: jnp.sum(jnp.sin(volume(*maps, 2)) * cotangent), (0, 1))(target, source)

    for got, want in zip(gradients(cost_volume), gradients(by_shifted_copies), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


def bytes_needed(function, *arguments):
    memory = jax.jit(function).lower(*arguments).compile().memory_analysis()
    return memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes


def test_backward_pass_needs_at_most_twice_the_memory_of_the_forward_pass():
    batch, height, width, channels = 2, 24, 48, 32
    features = jax.ShapeDtypeStruct((batch, height, width, channels), jnp.float32)
    cotangent = jax.ShapeDtypeStruct((batch, height, width, 81), jnp.float32)

    def volume(target, source):
        return cost_volume(target, source, 4)

    def backward(target, source, cotangent):
        return jax.vjp(volume, target, source)[1](cotangent)

    def squared(target, source):
        return jnp.sum(volume(target, source) ** 2)

    forward_bytes = bytes_needed(volume, features, features)
    assert bytes_needed(backward, features, features, cotangent) <= 2 * forward_bytes
    assert bytes_needed(jax.grad(squared, (0, 1)), features, features) <= 2 * forward_bytes
    shifted_copies_bytes = 81 * 4 * batch * height * width * channels
    assert bytes_needed(backward, features, features, cotangent) < shifted_copies_bytes / 4
