"""DispResNet6 and PoseNetB6 in PyTorch; the names of their tensors are those that `interop.convert` reads."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ENCODER = (32, 64, 128, 256, 512, 512, 512)
_DECODER = (512, 512, 256, 128, 64, 32, 16)
_COARSEST_HEAD = 6
_COARSEST_REFINEMENT = 3  # from this level on, a level also sees the disparity of the next coarser one
_POSE_CHANNELS = (16, 32, 64, 128, 256, 256, 256, 256)
_POSE_KERNELS = (7, 5, 3, 3, 3, 3, 3, 3)
_POSE_SCALE = 0.01


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around which the input, projected and normalised where its shape changes, is added again."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.downsample = None
        if stride != 1 or channels_in != channels:
            project = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(project, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(shortcut + self.conv2(F.relu(self.conv1(x))))


class DispResNet6(nn.Module):
    """Seven stages down, seven levels up, six heads of disparity in (0.01, 10.01)."""

    def __init__(self):
        super().__init__()
        first = _ENCODER[0]
        self.conv1 = nn.Sequential(nn.Conv2d(3, first, 7, 2, 3), nn.ReLU(), nn.Conv2d(first, first, 7, 1, 3), nn.ReLU())
        for stage in range(2, 8):
            before, channels = _ENCODER[stage - 2 : stage]
            blocks = ResidualBlock(before, channels, 2), ResidualBlock(channels, channels, 1)
            self.add_module(f"conv{stage}", nn.Sequential(*blocks))
        below = _ENCODER[-1]
        for level, channels in zip(range(7, 0, -1), _DECODER, strict=True):
            up = nn.ConvTranspose2d(below, channels, 3, 2, 1, output_padding=1)
            self.add_module(f"upconv{level}", nn.Sequential(up, nn.ReLU()))
            seen = channels + (_ENCODER[level - 2] if level > 1 else 0) + (level <= _COARSEST_REFINEMENT)
            self.add_module(f"iconv{level}", nn.Sequential(ResidualBlock(seen, channels, 1)))
            if level <= _COARSEST_HEAD:
                self.add_module(f"predict_disp{level}", nn.Sequential(nn.Conv2d(channels, 1, 3, 1, 1), nn.Sigmoid()))
            below = channels

    def forward(self, images: Tensor) -> Tensor:
        """Returns the finest disparity [B, 1, H, W] of images [B, 3, H, W] in [-1, 1]."""
        pyramid = [images, self.conv1(images)]
        for stage in range(2, 8):
            pyramid.append(getattr(self, f"conv{stage}")(pyramid[-1]))
        x, disparity = pyramid[-1], None
        for level in range(7, 0, -1):
            skip = pyramid[level - 1]
            rows, columns = skip.shape[2:]
            seen = [getattr(self, f"upconv{level}")(x)[:, :, :rows, :columns]]
            if level > 1:
                seen.append(skip)
            if level <= _COARSEST_REFINEMENT:
                doubled = F.interpolate(disparity, scale_factor=2, mode="bilinear", align_corners=False)
                seen.append(doubled[:, :, :rows, :columns])
            x = getattr(self, f"iconv{level}")(torch.cat(seen, dim=1))
            if level <= _COARSEST_HEAD:
                disparity = 10 * getattr(self, f"predict_disp{level}")(x) + 0.01
        return disparity


class PoseNetB6(nn.Module):
    """Eight stride-2 convolutions over the stacked images, and the spatial mean of a linear layer."""

    def __init__(self):
        super().__init__()
        before = 9
        for layer, (channels, kernel) in enumerate(zip(_POSE_CHANNELS, _POSE_KERNELS, strict=True), 1):
            self.add_module(f"conv{layer}", nn.Sequential(nn.Conv2d(before, channels, kernel, 2, kernel // 2), nn.ReLU()))
            before = channels
        self.pose_pred = nn.Conv2d(before, 12, 1)

    def forward(self, target: Tensor, sources: Tensor) -> Tensor:
        """Returns pose vectors [B, 2, 6] of a target [B, 3, H, W] and sources [B, 2, 3, H, W]."""
        x = torch.cat([target, sources.flatten(1, 2)], dim=1)
        for layer in range(1, 1 + len(_POSE_CHANNELS)):
            x = getattr(self, f"conv{layer}")(x)
        return _POSE_SCALE * self.pose_pred(x).mean(dim=(2, 3)).reshape(-1, 2, 6)
