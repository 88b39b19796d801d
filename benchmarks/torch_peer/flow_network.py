"""Back2Future in PyTorch, without its head of occlusion; the names of its tensors are those that `interop.convert` reads."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.torch_peer import geometry

_PYRAMID = (16, 32, 64, 96, 128, 192)
_DECODER = (128, 128, 96, 64, 32)
_COARSEST, _FINEST = 6, 2  # of the levels that are decoded; level l has stride 2^l
_RADIUS = 4  # of the search, in cells
_FLOW_UNIT = 20.0  # pixels of the full image
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for images in [0, 1]

# The forward volume's, (dx, dy) in its order of channels; the backward volume has the opposite one in every channel.
_DISPLACEMENTS = [(dx, dy) for dx in range(_RADIUS, -_RADIUS - 1, -1) for dy in range(_RADIUS, -_RADIUS - 1, -1)]


class Back2Future(nn.Module):
    """Three pyramids of features, and on five levels two decoders of the costs of constant velocities, coarse to fine."""

    def __init__(self):
        super().__init__()
        for image in "abc":  # the target, the next and the previous one
            for level, (before, channels) in enumerate(zip((3, *_PYRAMID), _PYRAMID, strict=False), 1):
                pair = *_conv(before, channels, 2), *_conv(channels, channels)
                self.add_module(f"conv{level}{image}", nn.Sequential(*pair))
        for level in range(_COARSEST, _FINEST - 1, -1):
            seen = 2 * len(_DISPLACEMENTS) + (_PYRAMID[level - 1] + 2 if level < _COARSEST else 0)
            for direction in ("fwd", "bwd"):
                self.add_module(f"decoder_{direction}{level}", _decoder(seen))
        self.register_buffer("_mean", torch.tensor(_MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(_STD).reshape(3, 1, 1), persistent=False)

    def forward(self, target: Tensor, sources: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Returns the flows to the next and to the previous image.

        Args:
          target: [B, 3, H, W] in [-1, 1].
          sources: [B, 2, 3, H, W] in [-1, 1], at (t-1, t+1).

        Returns:
          Forward and backward flows, each six, finest first: [B, 2, H, W], then [B, 2, H / 2, W / 2] and so on, in pixels of
          their own scale.
        """
        of_target = self._features("a", target)
        of_previous, of_next = self._features("c", sources[:, 0]), self._features("b", sources[:, 1])
        forward, backward = [], []  # velocities of the levels so far, finest first
        for level in range(_COARSEST, _FINEST - 1, -1):
            features, previous, following = (pyramid[level - 1] for pyramid in (of_target, of_previous, of_next))
            context = [], []
            if level < _COARSEST:
                upsampled = _doubled(forward[0]), _doubled(backward[0])
                context = tuple([features, velocity] for velocity in upsampled)
                # Both neighbours move by the forward velocity, as if it were constant.
                cells = _FLOW_UNIT / 2**level * upsampled[0]
                previous = geometry.sample(previous, geometry.displaced(-cells))
                following = geometry.sample(following, geometry.displaced(cells))
            costs = [
                cost_volume(features, following, _DISPLACEMENTS),
                cost_volume(features, previous, [(-dx, -dy) for dx, dy in _DISPLACEMENTS]),
            ]
            forward.insert(0, getattr(self, f"decoder_fwd{level}")(torch.cat([*costs, *context[0]], dim=1)))
            backward.insert(0, getattr(self, f"decoder_bwd{level}")(torch.cat([*costs, *context[1]], dim=1)))
        return _flows(forward, _FLOW_UNIT), _flows(backward, -_FLOW_UNIT)

    def _features(self, image: str, pixels: Tensor) -> list[Tensor]:
        x, levels = ((pixels + 1) / 2 - self._mean) / self._std, []
        for level in range(1, 1 + len(_PYRAMID)):
            x = getattr(self, f"conv{level}{image}")(x)
            levels.append(x)
        return levels


def cost_volume(target: Tensor, source: Tensor, displacements: list[tuple[int, int]]) -> Tensor:
    """Returns how alike target cells and displaced source cells are, zero beyond the border.

    A product for every displacement: views of the padded source cost no memory, and on a CPU the finest level takes a
    fraction of the time of one product with unfolded patches.

    Args:
      target: Features [B, C, h, w].
      source: Features [B, C, h, w].
      displacements: K pairs (dx, dy) of at most `_RADIUS` cells.

    Returns:
      Means over the channels [B, K, h, w].
    """
    height, width = target.shape[2:]
    padded = F.pad(source, [_RADIUS] * 4)
    corners = [(_RADIUS + dy, _RADIUS + dx) for dx, dy in displacements]
    return torch.stack([(target * padded[:, :, y : y + height, x : x + width]).mean(dim=1) for y, x in corners], dim=1)


def _conv(channels_in: int, channels: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(channels_in, channels, 3, stride, 1), nn.LeakyReLU(0.2, inplace=True)


def _decoder(channels_in: int) -> nn.Sequential:
    layers = [layer for pair in zip((channels_in, *_DECODER), _DECODER, strict=False) for layer in _conv(*pair)]
    return nn.Sequential(*layers, nn.Conv2d(_DECODER[-1], 2, 3, 1, 1))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _flows(velocities: list[Tensor], unit: float) -> list[Tensor]:
    """Turns the velocities of five levels into flows on six scales; `unit` is in pixels of the finest."""
    enlarged = [*(_doubled(_doubled(velocity)) for velocity in velocities), _doubled(velocities[-1])]
    return [unit / 2**scale * velocity for scale, velocity in enumerate(enlarged)]
