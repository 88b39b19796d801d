"""The terms of both phases' objectives in PyTorch, row "full" (paper eq. 3 to 12); images [B, 3, H, W] in [-1, 1]."""

import torch
import torch.nn.functional as F
from torch import Tensor

_EPSILON = 0.01
_C1, _C2 = 0.01**2, 0.03**2
_SIZE, _SIGMA = 13, 1.5
_SSIM_WEIGHT = 0.85


def robust_penalty(difference: Tensor) -> Tensor:
    """Returns sqrt(d^2 + 0.01^2), element by element (eq. 3)."""
    return (difference**2 + _EPSILON**2).sqrt()


def photometric_error(a: Tensor, b: Tensor) -> Tensor:
    """Returns 0.15 rho(a - b) + 0.85 (1 - SSIM), mean over the channels: images [B, 3, H, W] to [B, H, W]."""
    mean_a, mean_b = _blur(a), _blur(b)
    variances = _blur(a * a) - mean_a**2 + _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    ssim = luminance * (2 * covariance + _C2) / (variances + _C2)
    return ((1 - _SSIM_WEIGHT) * robust_penalty(a - b) + _SSIM_WEIGHT * (1 - ssim)).mean(dim=1)


def _blur(images: Tensor) -> Tensor:
    """A Gaussian window with zeros beyond the border; in two passes, which is kinder than the lineage's full window."""
    channels, radius = images.shape[1], _SIZE // 2
    offset = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    taps = torch.exp(-0.5 * (offset / _SIGMA) ** 2)
    taps = (taps / taps.sum()).expand(channels, 1, 1, _SIZE)
    rows = F.conv2d(images, taps.transpose(2, 3), padding=(radius, 0), groups=channels)
    return F.conv2d(rows, taps, padding=(0, radius), groups=channels)


@torch.no_grad()
def less_than_mean_mask(error: Tensor, visible: Tensor) -> Tensor:
    """Returns where the error [B, H, W] is less than its mean over the visible pixels [B, H, W] (eq. 6)."""
    count = visible.sum(dim=(1, 2), keepdim=True)
    return error < (error * visible).sum(dim=(1, 2), keepdim=True) / count.clamp(min=1)


def masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Returns the mean [B] of the error [B, H, W] over a mask [B, H, W], 0 where it is empty (eq. 7, 10, 12)."""
    return (error * mask).sum(dim=(1, 2)) / (mask.sum(dim=(1, 2)) + 1)


def edge_aware_smoothness(x: Tensor, image: Tensor) -> Tensor:
    """Returns how much a map [B, C, H, W] changes where the image does not, [B] (eq. 8, 11)."""
    total = 0
    for axis in (2, 3):
        edge = image.diff(dim=axis).abs().mean(dim=1, keepdim=True)
        total = total + (x.diff(dim=axis).abs() * torch.exp(-edge)).mean(dim=(1, 2, 3))
    return total


def max_normalized_depth(disparity: Tensor) -> Tensor:
    """Returns depth in units of the nearest, of disparity [B, 1, H, W] (eq. 9)."""
    return disparity.amax(dim=(2, 3), keepdim=True) / disparity
