"""The depth network by its variant: one image to a pyramid of disparities."""

from typing import ClassVar

import jax
from flax import linen as nn

from dopi_jax.errors import UserError
from dopi_jax.models.depth_lite import LiteDepthNet
from dopi_jax.models.depth_resnet import RESIDUAL_BLOCKS, DispResNet


class DepthNet(nn.Module):
    """Predicts the disparity (inverse depth, up to a global scale) of every pixel of an image.

    The batch normalisations of the residual networks keep running statistics in the collection "batch_stats": `apply` with
    `train=True` needs `mutable=["batch_stats"]`.

    Attributes:
      variant: "resnet6" (54.6 M parameters; "architecture in CC" of the paper), "resnet_s6" (80.9 M, the authors'
        released code; D1) or "lite" (3.5 M, of which 2.9 M can start from ImageNet; for a CPU, too).
      axis_name: the mapped axis of data-parallel training, over which batch statistics are averaged; with it,
        `apply` with `train=True` works inside that mapping only.

    Raises:
      UserError: the variant is unknown.
    """

    variant: str = "resnet6"
    axis_name: str | None = None

    VARIANTS: ClassVar[tuple[str, ...]] = ("resnet6", "resnet_s6", "lite")

    def __post_init__(self):
        if self.variant not in self.VARIANTS:
            raise UserError(f"depth network variant is {self.variant!r}, expected one of: {', '.join(self.VARIANTS)}")
        super().__post_init__()

    def setup(self):
        if self.variant == "lite":
            self.network = LiteDepthNet()
        else:
            self.network = DispResNet(*RESIDUAL_BLOCKS[self.variant], self.axis_name)
        nn.share_scope(self, self.network)

    def __call__(self, images: jax.Array, train: bool = False, all_scales: bool | None = None) -> list[jax.Array]:
        """Predicts disparities.

        Args:
          images: [B, H, W, 3] in [-1, 1], of any size.
          train: whether to normalise by batch statistics (and update the running ones).
          all_scales: whether to return all scales or the finest alone; by default as `train` says.

        Returns:
          Disparities in (0.01, 10.01), finest first: [B, H, W], then [B, ceil(H / 2), ceil(W / 2)] and so on;
          six in all for the residual networks, five for "lite".
        """
        disparities = [disparity[..., 0] for disparity in self.network(images, train)]
        # Under jit the compiler drops the heads whose output is not returned.
        return disparities if (train if all_scales is None else all_scales) else disparities[:1]
