"""Occlusion masks in PyTorch: with scatters over the whole batch, and image by image on the host as in the published code.

Both follow the rule of `dopi_jax.geometry.occlusion_masks`, not the published code's rounding and wrapped indices: what is
compared is the way to compute, for the same result.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from benchmarks.torch_peer.geometry import MIN_Z, SNAP, inverted, is_inside, land

_ROUNDING = 1e-6  # relative difference of depth that float32 cannot tell from none

Nearest = Callable[[Tensor, Tensor, int], Tensor]
Touched = Callable[[Tensor, int], Tensor]


class OcclusionMasks(NamedTuple):
    """What of the targets can be seen in the sources, each boolean [B, H, W], True = can be used.

    Attributes:
      edge: The pixel lands inside the source image.
      overlap: No nearer pixel lands in the same cell.
      blank: Some pixel of the source lands beside it.
    """

    edge: Tensor
    overlap: Tensor
    blank: Tensor

    @property
    def visible(self) -> Tensor:
        """All three (paper eq. 5)."""
        return self.edge & self.overlap & self.blank


def vectorised_masks(depth: Tensor, source_depth: Tensor, K: Tensor, poses: Tensor) -> OcclusionMasks:
    """Returns what of the targets can be seen in the sources, by scatters.

    Args:
      depth: Target depths [B, H, W].
      source_depth: Source depths [B, H, W].
      K: Intrinsics [B, 3, 3].
      poses: Transforms [B, 4, 4] from target to source.
    """
    return _masks(depth, source_depth, K, poses, _nearest_by_scatter, _touched_by_scatter)


def released_masks(depth: Tensor, source_depth: Tensor, K: Tensor, poses: Tensor) -> OcclusionMasks:
    """Returns the same, by sparse matrices and sorted lists of cells on the host, image by image.

    Args:
      depth: Target depths [B, H, W].
      source_depth: Source depths [B, H, W].
      K: Intrinsics [B, 3, 3].
      poses: Transforms [B, 4, 4] from target to source.
    """
    return _masks(depth, source_depth, K, poses, _nearest_on_host, _touched_on_host)


@torch.no_grad()
def _masks(
    depth: Tensor, source_depth: Tensor, K: Tensor, poses: Tensor, nearest: Nearest, touched: Touched
) -> OcclusionMasks:
    batch, height, width = depth.shape
    pixels, z = land(depth, K, poses)
    edge = is_inside(pixels) & (z > MIN_Z)
    cells = _cells(pixels, edge).reshape(batch, -1)
    in_cell = nearest(cells, z.reshape(batch, -1), height * width).reshape(batch, height, width)
    overlap = z <= (1 + _ROUNDING) * in_cell

    back, z_back = land(source_depth, K, inverted(poses))
    counts = is_inside(back) & (z_back > MIN_Z)
    hit = touched(_cells(back, counts).reshape(batch, -1), height * width).reshape(batch, height, width)
    # Cells are named by their upper left corner; the other three follow.
    right = hit.clone()
    right[:, :, 1:] |= hit[:, :, :-1]
    blank = right.clone()
    blank[:, 1:] |= right[:, :-1]
    return OcclusionMasks(edge, overlap, blank)


def _cells(pixels: Tensor, counts: Tensor) -> Tensor:
    """Returns y0 W + x0 of every position's cell; H W for those that do not count."""
    height, width = counts.shape[1:]
    column = (pixels[..., 0] + SNAP).floor().clamp(0, width - 1).long()
    row = (pixels[..., 1] + SNAP).floor().clamp(0, height - 1).long()
    return torch.where(counts, row * width + column, height * width)


def _nearest_by_scatter(cells: Tensor, z: Tensor, count: int) -> Tensor:
    nearest = z.new_full((len(z), count + 1), torch.inf)
    nearest.scatter_reduce_(1, cells, torch.where(cells < count, z, torch.inf), "amin")
    return nearest.gather(1, cells)


def _touched_by_scatter(cells: Tensor, count: int) -> Tensor:
    touched = torch.zeros(len(cells), count + 1, dtype=torch.bool, device=cells.device)
    return touched.scatter_(1, cells, True)[:, :-1]


def _nearest_on_host(cells: Tensor, z: Tensor, count: int) -> Tensor:
    """The nearest depth is one over the largest of a sparse matrix [pixels, cells] of reciprocal depths."""
    found = []
    for of_image, depths in zip(cells.cpu().numpy(), z.cpu().numpy(), strict=True):
        landed = np.flatnonzero(of_image < count)
        shape = (len(of_image), count)
        reciprocals = scipy.sparse.csc_matrix((1 / depths[landed], (landed, of_image[landed])), shape)
        largest = reciprocals.max(axis=0).toarray()[0]
        nearest = np.full(count + 1, np.inf, np.float32)
        np.divide(1, largest, out=nearest[:-1], where=largest > 0)
        found.append(nearest[of_image])
    return torch.from_numpy(np.stack(found)).to(z.device)


def _touched_on_host(cells: Tensor, count: int) -> Tensor:
    touched = np.zeros((len(cells), count + 1), bool)
    for index, of_image in enumerate(cells.cpu().numpy()):
        touched[index, np.unique(of_image)] = True
    return torch.from_numpy(touched[:, :-1]).to(cells.device)
