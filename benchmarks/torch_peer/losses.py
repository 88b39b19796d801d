"""The objective of phase 1, row "full", in PyTorch (paper eq. 3 to 9, 13)."""

import torch
import torch.nn.functional as F
from torch import Tensor

_EPSILON = 0.01
_C1, _C2 = 0.01**2, 0.03**2
_SIZE, _SIGMA = 13, 1.5
_SSIM_WEIGHT = 0.85


def photometric_error(a: Tensor, b: Tensor) -> Tensor:
    """Returns 0.15 rho(a - b) + 0.85 (1 - SSIM), mean over the channels: images [B, 3, H, W] to [B, H, W]."""
    mean_a, mean_b = _blur(a), _blur(b)
    variances = _blur(a * a) - mean_a**2 + _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    ssim = luminance * (2 * covariance + _C2) / (variances + _C2)
    penalty = ((a - b) ** 2 + _EPSILON**2).sqrt()
    return ((1 - _SSIM_WEIGHT) * penalty + _SSIM_WEIGHT * (1 - ssim)).mean(dim=1)


def _blur(images: Tensor) -> Tensor:
    """A Gaussian window with zeros beyond the border; in two passes, which is kinder than the lineage's full window."""
    channels, radius = images.shape[1], _SIZE // 2
    offset = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    taps = torch.exp(-0.5 * (offset / _SIGMA) ** 2)
    taps = (taps / taps.sum()).expand(channels, 1, 1, _SIZE)
    rows = F.conv2d(images, taps.transpose(2, 3), padding=(radius, 0), groups=channels)
    return F.conv2d(rows, taps, padding=(0, radius), groups=channels)


def reconstruction(target: Tensor, warped: Tensor, visible: Tensor) -> Tensor:
    """Returns the error [B] of one source over the visible pixels whose error is less than their mean (eq. 6, 7)."""
    error = photometric_error(target, warped)
    with torch.no_grad():
        count = visible.sum(dim=(1, 2), keepdim=True)
        mean = (error * visible).sum(dim=(1, 2), keepdim=True) / count.clamp(min=1)
        kept = visible & (error < mean)
    return (error * kept).sum(dim=(1, 2)) / (kept.sum(dim=(1, 2)) + 1)


def smoothness(disparity: Tensor, image: Tensor) -> Tensor:
    """Returns the edge-aware smoothness [B] of depth in units of the nearest (eq. 8, 9): [B, 1, H, W] and [B, 3, H, W]."""
    depth = disparity.amax(dim=(2, 3), keepdim=True) / disparity
    total = 0
    for axis in (2, 3):
        edge = image.diff(dim=axis).abs().mean(dim=1, keepdim=True)
        total = total + (depth.diff(dim=axis).abs() * torch.exp(-edge)).mean(dim=(1, 2, 3))
    return total
