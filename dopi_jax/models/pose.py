"""The pose network by its variant: a target image and its sources to the camera's motion."""

from collections.abc import Sequence
from typing import ClassVar

import jax
from flax import linen as nn

from dopi_jax.errors import UserError
from dopi_jax.models.pose_b6 import PoseNetB6
from dopi_jax.models.pose_lite import LitePoseNet


class PoseNet(nn.Module):
    """Predicts the motion from the target camera to each source camera.

    Attributes:
      num_refs: number of source images; two are (t-1, t+1), in this order.
      variant: "b6" (2.18 M parameters, the paper's and the authors' released network) or "lite" (0.26 M, sees the
        motion of any camera through cost volumes of pretrained features).

    Raises:
      UserError: the variant is unknown.
    """

    num_refs: int = 2
    variant: str = "b6"

    VARIANTS: ClassVar[tuple[str, ...]] = ("b6", "lite")

    def __post_init__(self):
        if self.variant not in self.VARIANTS:
            raise UserError(f"pose network variant is {self.variant!r}, expected one of: {', '.join(self.VARIANTS)}")
        super().__post_init__()

    def setup(self):
        self.network = {"b6": PoseNetB6, "lite": LitePoseNet}[self.variant]()
        nn.share_scope(self, self.network)

    def __call__(self, target: jax.Array, sources: Sequence[jax.Array]) -> jax.Array:
        """Predicts one pose a source.

        Args:
          target: [B, H, W, 3] in [-1, 1].
          sources: `num_refs` images [B, H, W, 3] in [-1, 1].

        Returns:
          [B, num_refs, 6]: vectors (tx, ty, tz, rx, ry, rz) of `source_from_target` (T_{t->s} of eq. 1), translation
          in the unit of the predicted depth, rotation in radians; see `geometry.pose_from_vector`.

        Raises:
          UserError: the number of sources is not `num_refs`.
        """
        if len(sources) != self.num_refs:
            raise UserError(f"PoseNet got {len(sources)} source images, expected {self.num_refs}: set num_refs to match")
        return self.network(target, sources)
