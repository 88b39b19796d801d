"""Textures in surface coordinates: noise with contrast at every scale, of which what is too fine for a pixel fades."""

import numpy as np

_TILE = 256  # lattice points after which the noise repeats
_LATTICE = np.random.default_rng(20200303).uniform(-1, 1, (_TILE, _TILE)).astype(np.float32)


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
    u, v, footprint = (np.asarray(x, np.float32) for x in (u, v, footprint))
    total = np.zeros(np.broadcast(u, v).shape, np.float32)
    for octave in range(8):
        wavelength = coarsest / 2**octave
        # A pixel averages over what is finer than two of it.
        weight = np.clip(wavelength / (2 * footprint) - 1, 0, 1)
        if not weight.any():
            break
        # Octaves and seeds look at places of the lattice that are far apart.
        shift_u, shift_v = (seed * 37 + octave * 101) % _TILE, (seed * 71 + octave * 53) % _TILE
        total += weight * _lattice_noise(u / wavelength + shift_u, v / wavelength + shift_v)
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
    i, j = floor_u.astype(np.int32) % _TILE, floor_v.astype(np.int32) % _TILE
    next_i, next_j = (i + 1) % _TILE, (j + 1) % _TILE
    near = _LATTICE[j, i] * (1 - du) + _LATTICE[j, next_i] * du
    far = _LATTICE[next_j, i] * (1 - du) + _LATTICE[next_j, next_i] * du
    return near * (1 - dv) + far * dv
