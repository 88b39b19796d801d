"""The flow network by its variant: a target image and its two neighbours in time to the flows to both."""

from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.errors import UserError
from dopi_jax.models.flow_back2future import COARSEST_LEVEL, Back2FutureNet
from dopi_jax.models.flow_lite import LiteFlowNet

PYRAMID_MULTIPLE = 2**COARSEST_LEVEL  # of the image sizes that "back2future" takes


class FlowNet(nn.Module):
    """Predicts the optical flow from the target image to the next and to the previous one, coarse to fine.

    Kernels start Xavier-uniform and biases at zero. The authors' code draws the biases of "back2future" from U(0, 1), of
    which the paper says nothing; untrained features are then near 1 on every level instead of fading to 0.003 on the
    coarsest. Both are here.

    Attributes:
      variant: "back2future" (9.0 M parameters, the paper's and the authors' released network) or "lite" (0.8 M, of which
        0.7 M start from ImageNet and stay; two images are enough for a flow).
      occlusion_head: whether to predict occlusion as well (3.2 M parameters more), which no loss here trains; "lite" has
        none.
      shared_pyramid: whether one pyramid serves the three images (2.0 M parameters less); in "lite" it always does.
      bias: how biases start: "zero", or "uniform" for U(0, 1).

    Raises:
      UserError: the variant or the bias is unknown.
    """

    variant: str = "back2future"
    occlusion_head: bool = False
    shared_pyramid: bool = False
    bias: str = "zero"

    VARIANTS: ClassVar[tuple[str, ...]] = ("back2future", "lite")
    BIASES: ClassVar[dict[str, nn.initializers.Initializer]] = {
        "zero": nn.initializers.zeros,
        "uniform": nn.initializers.uniform(1.0),
    }

    def __post_init__(self):
        if self.variant not in self.VARIANTS:
            raise UserError(f"flow network variant is {self.variant!r}, expected one of: {', '.join(self.VARIANTS)}")
        if self.bias not in self.BIASES:
            raise UserError(f"flow network bias is {self.bias!r}, expected one of: {', '.join(self.BIASES)}")
        super().__post_init__()

    def setup(self):
        if self.variant == "lite":
            self.network = LiteFlowNet()
        else:
            bias_init = self.BIASES[self.bias]
            self.network = Back2FutureNet(self.occlusion_head, self.shared_pyramid, bias_init)
        nn.share_scope(self, self.network)

    def __call__(
        self,
        target: jax.Array,
        sources: Sequence[jax.Array],
        train: bool = False,
        all_scales: bool | None = None,
        returning: bool = False,
        rigid: jax.Array | None = None,
    ) -> tuple[list[jax.Array], ...]:
        """Predicts flows.

        Args:
          target: [B, H, W, 3] in [-1, 1], of any size for "lite", H and W multiples of 64 for "back2future".
          sources: the images at (t-1, t+1), each [B, H, W, 3] in [-1, 1].
          train: no layer depends on it; it sets the default of `all_scales`, as in `DepthNet`.
          all_scales: whether to return all scales (six, 1, 1/2, ..., 1/32; three of "lite") or the finest alone; by default
            as `train` says.
          returning: whether to return also the flows from the sources back to the target; "lite" alone can.
          rigid: rigid flows from the target to the sources [B, 2, H, W, 2] in pixels and, where flows return, also back
            [B, 4, H, W, 2]; NaN where there is none. "lite" alone takes it.

        Returns:
          The flows to t+1 (forward) and those to t-1 (backward), two lists, finest first: [B, H, W, 2], then
          [B, ceil(H / 2), ceil(W / 2), 2] and so on, each (u, v) in pixels of its own scale. If asked for, two more such
          lists, of the flows from t+1 and from t-1 to the target; or with the occlusion head a third one, of two
          probabilities that sum to 1.

        Raises:
          UserError: the variant does not take this size, or there are not two sources.
        """
        if len(sources) != 2:
            raise UserError(f"FlowNet got {len(sources)} source images, expected 2: give those at (t-1, t+1)")
        if self.variant == "lite":
            outputs = self._of_pairs(target, sources, returning, rigid)
        else:
            if returning or rigid is not None:
                raise UserError(
                    f"flow network {self.variant!r} takes no rigid flow and predicts none from its sources: expected 'lite'"
                )
            _check_size(*target.shape[1:3])
            outputs = self.network(target, sources)
        # Under jit the compiler drops the scales that are not returned.
        all_scales = train if all_scales is None else all_scales
        return tuple(output if all_scales else output[:1] for output in outputs)

    def _of_pairs(
        self, target: jax.Array, sources: Sequence[jax.Array], returning: bool, rigid: jax.Array | None
    ) -> list[list[jax.Array]]:
        """All pairs of the snippet go through the network as one batch."""
        previous, following = sources
        pyramid = [jnp.split(x, 3) for x in self.network.features(jnp.concatenate([target, following, previous]))]
        of_target = jnp.concatenate([target, target]), [jnp.concatenate([x, x]) for x, _, _ in pyramid]
        of_sources = jnp.concatenate([following, previous]), [jnp.concatenate(x[1:]) for x in pyramid]
        outputs = []
        for way, ends in enumerate([(of_target, of_sources), (of_sources, of_target)][: 1 + returning]):
            images, features = zip(*ends, strict=True)
            there = None if rigid is None else jnp.concatenate([rigid[:, 2 * way + 1], rigid[:, 2 * way]])
            flows = [jnp.split(x, 2) for x in self.network(images, features, there)]
            outputs += [[x[source] for x in flows] for source in range(2)]
        return outputs


def _check_size(height: int, width: int) -> None:
    if height % PYRAMID_MULTIPLE or width % PYRAMID_MULTIPLE:
        smaller = [max(PYRAMID_MULTIPLE, size - size % PYRAMID_MULTIPLE) for size in (height, width)]
        raise UserError(
            f"FlowNet got images of {height}x{width} (height x width), expected multiples of {PYRAMID_MULTIPLE}: "
            f"resize them, for example to {smaller[0]}x{smaller[1]}"
        )
