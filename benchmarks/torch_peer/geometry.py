"""Projection and warping in PyTorch, batched: [B, H, W] depths, [B, 3, 3] intrinsics, [B, 4, 4] poses."""

import torch
import torch.nn.functional as F
from torch import Tensor

SNAP = 1e-3  # pixels
MIN_Z = 1e-3  # in the unit of depth


def poses_from_vectors(vectors: Tensor) -> Tensor:
    """Returns transforms [B, 4, 4] of vectors [B, 6] = (tx, ty, tz, rx, ry, rz), R = Rx Ry Rz."""
    zero, one = torch.zeros_like(vectors[:, 0]), torch.ones_like(vectors[:, 0])
    (sx, sy, sz), (cx, cy, cz) = vectors[:, 3:].sin().unbind(1), vectors[:, 3:].cos().unbind(1)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, dim=1).reshape(-1, 3, 3)

    about_x = matrix(one, zero, zero, zero, cx, -sx, zero, sx, cx)
    about_y = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    about_z = matrix(cz, -sz, zero, sz, cz, zero, zero, zero, one)
    top = torch.cat([about_x @ about_y @ about_z, vectors[:, :3, None]], dim=2)
    bottom = torch.tensor([0.0, 0.0, 0.0, 1.0], device=vectors.device).expand(len(vectors), 1, 4)
    return torch.cat([top, bottom], dim=1)


def inverted(poses: Tensor) -> Tensor:
    """Returns the inverse transforms."""
    back = poses[:, :3, :3].transpose(1, 2)
    top = torch.cat([back, -back @ poses[:, :3, 3:]], dim=2)
    return torch.cat([top, poses[:, 3:]], dim=1)


def shrunk_intrinsics(K: Tensor, factor: int) -> Tensor:
    """Returns the intrinsics of images that are so many times smaller."""
    return torch.cat([K[:, :2] / factor, K[:, 2:]], dim=1)


def pixel_grid(like: Tensor) -> Tensor:
    """Returns the centres [H, W, 2] = (x, y) of all pixels of images [..., H, W]."""
    height, width = like.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=like.dtype),
        torch.arange(width, device=like.device, dtype=like.dtype),
        indexing="ij",
    )
    return torch.stack([x, y], dim=-1)


def land(depth: Tensor, K: Tensor, poses: Tensor) -> tuple[Tensor, Tensor]:
    """Returns positions [B, H, W, 2] = (x, y) of all pixels in the other view, and their depth there [B, H, W]."""
    batch, height, width = depth.shape
    grid = F.pad(pixel_grid(depth), (0, 1), value=1.0).reshape(1, -1, 3).transpose(1, 2)
    points = (torch.linalg.inv(K) @ grid) * depth.reshape(batch, 1, -1)
    moved = poses[:, :3, :3] @ points + poses[:, :3, 3:]
    z = moved[:, 2]
    pixels = (K @ (moved / z.clamp(min=MIN_Z)[:, None]))[:, :2]
    return pixels.transpose(1, 2).reshape(batch, height, width, 2), z.reshape(batch, height, width)


def rigid_flow(depth: Tensor, K: Tensor, poses: Tensor) -> Tensor:
    """Returns the flow [B, 2, H, W] that motion alone causes; 0 behind the other camera."""
    pixels, z = land(depth, K, poses)
    return torch.where((z > MIN_Z)[:, None], (pixels - pixel_grid(depth)).permute(0, 3, 1, 2), 0.0)


def displaced(flow: Tensor) -> Tensor:
    """Returns where flow [B, 2, H, W] points to, [B, H, W, 2]."""
    return pixel_grid(flow) + flow.permute(0, 2, 3, 1)


def is_inside(pixels: Tensor) -> Tensor:
    """Returns which of an image's positions [B, H, W, 2] lie in the closed rectangle of pixel centres of an equal one."""
    height, width = pixels.shape[1:3]
    x, y = pixels.unbind(-1)
    return (x >= -SNAP) & (x <= width - 1 + SNAP) & (y >= -SNAP) & (y <= height - 1 + SNAP)


def sample(images: Tensor, pixels: Tensor) -> Tensor:
    """Returns images [B, C, H, W] at positions [B, H, W, 2], bilinearly; outside, the border's value."""
    height, width = images.shape[2:]
    x, y = pixels.unbind(-1)
    normalised = torch.stack([2 / (width - 1) * x - 1, 2 / (height - 1) * y - 1], dim=-1)
    return F.grid_sample(images, normalised, mode="bilinear", padding_mode="border", align_corners=True)


def warp_by_depth(images: Tensor, depth: Tensor, K: Tensor, poses: Tensor) -> Tensor:
    """Returns source images [B, 3, H, W] as the targets would see them, 0 outside of the image."""
    pixels, z = land(depth, K, poses)
    return sample(images, pixels) * (is_inside(pixels) & (z > MIN_Z))[:, None]
