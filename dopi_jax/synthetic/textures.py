"""Textures in surface coordinates: noise with contrast at every scale, of which what is too fine for a pixel fades."""

import numpy as np

_TILE = 256  # lattice points after which the noise repeats; a power of two, so that & _WRAP is the remainder, and fast
_WRAP = _TILE - 1
_LATTICE = np.random.default_rng(20200303).uniform(-1, 1, _TILE**2).astype(np.float32)  # row by row


def fractal_noise(u: np.ndarray, v: np.ndarray, seed: np.ndarray, footprint: np.ndarray, coarsest: float) -> np.ndarray:
    """Returns noise whose octaves have equal amplitude, as the spectrum of photographs asks for.

    Args:
      u: Surface coordinate [N] in metres (or radians, on the sky).
      v: The other one [N].
      seed: Integer [N] or scalar; each seed is another noise.
      footprint: Size [N] of a pixel on the surface in the same unit.
      coarsest: Longest wavelength in that unit.

    Returns:
      float32 [N], each octave in [-1, 1]; standard deviation about 0.3 for every octave that a pixel resolves.
    """
    seed = np.int32(np.asarray(seed) % _TILE)  # all that counts of it below
    u, v, seed, footprint = np.broadcast_arrays(np.float32(u), np.float32(v), seed, np.float32(footprint))
    total = np.zeros(u.shape, np.float32)
    resolved = np.arange(len(total))  # of the octave; a finer one is resolved by some of these
    for octave in range(8):
        wavelength = coarsest / 2**octave
        # A pixel averages over what is finer than two of it.
        weight = np.clip(wavelength / (2 * footprint) - 1, 0, 1)
        kept = np.nonzero(weight)[0]
        if not len(kept):
            break
        resolved, u, v, seed, footprint = (x[kept] for x in (resolved, u, v, seed, footprint))
        # Octaves and seeds look at places of the lattice that are far apart.
        shift_u, shift_v = (seed * 37 + octave * 101) & _WRAP, (seed * 71 + octave * 53) & _WRAP
        total[resolved] += weight[kept] * _lattice_noise(u / wavelength + shift_u, v / wavelength + shift_v)
    return total


def stripes(x: np.ndarray, centre: float | np.ndarray, width: float, footprint: np.ndarray) -> np.ndarray:
    """Returns 1 inside of a stripe and 0 outside, with edges as soft as a pixel.

    Args:
      x: Coordinate [N] in metres.
      centre: Of the stripe.
      width: Of the stripe.
      footprint: Size [N] of a pixel.

    Returns:
      Coverage [N] in [0, 1].
    """
    return np.clip((width / 2 - np.abs(x - centre)) / footprint + 0.5, 0, 1)


def _lattice_noise(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Random values at integer positions, with smooth transitions."""
    floor_u, floor_v = np.floor(u), np.floor(v)
    du, dv = u - floor_u, v - floor_v
    du, dv = du * du * (3 - 2 * du), dv * dv * (3 - 2 * dv)
    i, j = floor_u.astype(np.int32) & _WRAP, floor_v.astype(np.int32) & _WRAP
    next_i, row, next_row = (i + 1) & _WRAP, j * _TILE, ((j + 1) & _WRAP) * _TILE
    near = _LATTICE[row + i] * (1 - du) + _LATTICE[row + next_i] * du
    far = _LATTICE[next_row + i] * (1 - du) + _LATTICE[next_row + next_i] * du
    return near * (1 - dv) + far * dv
