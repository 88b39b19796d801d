"""Strong augmentation: images that look unlike the recorded ones, and show the same depth.

A depth network that is taught by a known depth (`loss.motion_stereo`) learns from them what does not depend on colour:
that a white lorry is no sky. The losses still compare the recorded colours. A teacher that sees images as they are and a
student that sees strongly augmented ones are the idea of Sohn et al., "FixMatch" (NeurIPS 2020).
"""

import chex
import jax
import jax.numpy as jnp

_GAMMA = 0.6  # of its logarithm, at most
_UNEVEN = 0.4  # standard deviation of the logarithm of light
_UNEVEN_GRID = (4, 7)  # points between which light changes smoothly
_GAIN = 0.3  # of a channel, at most
_NOISE = 0.03  # its standard deviation, at most, for a range of 1
_PATCHES = 6
_PATCH_HEIGHT = (0.1, 0.4)  # of the image's
_PATCH_WIDTH = (0.05, 0.2)
_OPACITY = (0.5, 1.0)  # of a patch
# How often each change is made.
_SHARES = {"gamma": 0.5, "uneven": 0.5, "swap": 0.25, "negative": 0.1, "grey": 0.25, "gain": 0.5, "blur": 0.15, "noise": 0.3}
_PATCH_SHARE = 0.4


def change_appearance(images: chex.Array, key: chex.PRNGKey) -> chex.Array:
    """Changes what a snippet looks like, alike in all its frames but for noise.

    Gamma, uneven light, colour channels exchanged, negative, grey, gains of the channels, blur, noise, and patches of one
    colour through which more or less of the image shines; each is drawn by itself.

    Args:
      images: [N, H, W, 3] in [-1, 1].
      key: Decides what is changed.

    Returns:
      The same shape and range.
    """
    keys = dict(zip((*_SHARES, "patches", "which"), jax.random.split(key, len(_SHARES) + 2), strict=True))
    drawn = dict(zip(_SHARES, jax.random.uniform(keys["which"], (len(_SHARES),)), strict=True))

    def maybe(name: str, changed: chex.Array, light: chex.Array) -> chex.Array:
        return jnp.where(drawn[name] < _SHARES[name], changed, light)

    def spread(name: str, shape: tuple[int, ...] = ()) -> chex.Array:
        return jax.random.uniform(keys[name], shape, minval=-1, maxval=1)

    size = images.shape[1:3]
    light = (images + 1) / 2
    light = maybe("gamma", light ** jnp.exp(_GAMMA * spread("gamma")), light)
    uneven = jax.image.resize(jax.random.normal(keys["uneven"], _UNEVEN_GRID), size, "cubic")
    light = maybe("uneven", light * jnp.exp(_UNEVEN * uneven)[..., None], light)
    light = maybe("swap", light[..., jax.random.permutation(keys["swap"], 3)], light)
    light = maybe("negative", 1 - light, light)
    light = maybe("grey", jnp.mean(light, axis=-1, keepdims=True), light)
    light = maybe("gain", light * (1 + _GAIN * spread("gain", (3,))), light)
    half = jax.image.resize(light, (len(light), size[0] // 2, size[1] // 2, 3), "linear")
    light = maybe("blur", jax.image.resize(half, light.shape, "linear"), light)
    key, of_strength = jax.random.split(keys["noise"])
    strength = _NOISE * jax.random.uniform(of_strength)
    light = maybe("noise", light + strength * jax.random.normal(key, light.shape), light)
    for key in jax.random.split(keys["patches"], _PATCHES):
        light = _with_patch(light, key)
    return 2 * jnp.clip(light, 0.0, 1.0) - 1


def _with_patch(light: chex.Array, key: chex.PRNGKey) -> chex.Array:
    height, width = light.shape[1:3]
    draws = jax.random.uniform(key, (9,))
    tall = _PATCH_HEIGHT[0] + (_PATCH_HEIGHT[1] - _PATCH_HEIGHT[0]) * draws[0]
    wide = _PATCH_WIDTH[0] + (_PATCH_WIDTH[1] - _PATCH_WIDTH[0]) * draws[1]
    in_rows = jnp.abs(jnp.arange(height) / height - draws[2]) < tall / 2
    in_columns = jnp.abs(jnp.arange(width) / width - draws[3]) < wide / 2
    covered = in_rows[:, None] & in_columns & (draws[7] < _PATCH_SHARE)
    opacity = _OPACITY[0] + (_OPACITY[1] - _OPACITY[0]) * draws[8]
    return jnp.where(covered[..., None], (1 - opacity) * light + opacity * draws[4:7], light)
