"""The paper's flow network, Back2Future."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.geometry import warp_by_flow
from dopi_jax.models.cost_volume import cost_volume
from dopi_jax.models.layers import conv, upsample_bilinear, upsample_nearest

COARSEST_LEVEL, FINEST_LEVEL = 6, 2  # of decoding; level l has stride 2^l
PYRAMID_CHANNELS = (16, 32, 64, 96, 128, 192)  # of levels 1 to 6
DECODER_CHANNELS = (128, 128, 96, 64, 32)  # of a decoder's hidden layers
SEARCH_RADIUS = 4  # cells of a level
# What the decoders call 1, in pixels of the full image; in pixels of scale 1 / 2^l, and in cells of level l, it is 20 / 2^l.
FLOW_UNIT = 20.0
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Back2FutureNet(nn.Module):
    """Feature pyramids, a cost volume on each of their levels, and decoders that read both flows off it, coarse to fine.

    Inside the network a flow is a velocity: the flow to the next image, or the negated flow to the previous one. Constant
    velocity makes the two equal. The network assumes it only where it warps: both neighbours by the forward velocity.

    Attributes:
      occlusion_head: whether to predict occlusion; see `FlowNet`, as for the others.
      shared_pyramid: whether one pyramid serves the three images.
      bias_init: of all biases.
    """

    occlusion_head: bool
    shared_pyramid: bool
    bias_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, target: jax.Array, sources: Sequence[jax.Array]) -> list[list[jax.Array]]:
        """Returns flows as `FlowNet` does, at all scales."""
        target_pyramid, neighbour_pyramid = self._pyramids(*(_imagenet_normalised(x) for x in (target, *sources)))
        enlarged, levels = None, []
        for level in range(COARSEST_LEVEL, FINEST_LEVEL - 1, -1):
            decode = Level(FLOW_UNIT / 2**level, self.occlusion_head, self.bias_init, name=f"level{level}")
            velocities, occlusion = decode(target_pyramid[level - 1], neighbour_pyramid[level - 1], enlarged)
            # Twice as large, both directions as one batch: for the next level, and on the way to the size of its scale.
            enlarged = jnp.split(upsample_bilinear(jnp.concatenate(velocities)), 2)
            levels.insert(0, (enlarged, occlusion))

        velocities, occlusion = zip(*levels, strict=True)
        velocities = [jnp.concatenate(pair) for pair in velocities]
        flows = [
            jnp.split(FLOW_UNIT / 2**scale * velocity, 2)
            for scale, velocity in enumerate([*map(upsample_bilinear, velocities), velocities[-1]])
        ]
        outputs = [[forward for forward, _ in flows], [-backward for _, backward in flows]]
        if self.occlusion_head:
            occlusion = [upsample_nearest(level) for level in occlusion]
            outputs.append([*map(upsample_nearest, occlusion), occlusion[-1]])
        return outputs

    def _pyramids(self, target: jax.Array, *sources: jax.Array) -> tuple[list[jax.Array], list[jax.Array]]:
        """Returns the features of the target, and those of both sources one after the other along the batch."""
        if self.shared_pyramid:
            pyramid = FeaturePyramid(self.bias_init, name="pyramid")
            return pyramid(target), pyramid(jnp.concatenate(sources))
        target, previous, following = (
            FeaturePyramid(self.bias_init, name=f"pyramid_{time}")(image)
            for time, image in zip(("target", "previous", "next"), (target, *sources), strict=True)
        )
        return target, [jnp.concatenate(pair) for pair in zip(previous, following, strict=True)]


class FeaturePyramid(nn.Module):
    """Features of an image at strides 2, 4, ..., two convolutions a level.

    Attributes:
      bias_init: of all biases.
    """

    bias_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        levels = []
        for level, channels in enumerate(PYRAMID_CHANNELS, 1):
            x = _leaky_relu(conv(channels, 3, 2, bias_init=self.bias_init, name=f"conv{level}_0")(x))
            x = _leaky_relu(conv(channels, 3, bias_init=self.bias_init, name=f"conv{level}_1")(x))
            levels.append(x)
        return levels


class Level(nn.Module):
    """Compares the target's features with the neighbours' and reads both velocities off the cost volumes.

    Attributes:
      unit: of velocities, in cells of this level.
      occlusion_head: see `FlowNet`.
      bias_init: of all biases.
    """

    unit: float
    occlusion_head: bool
    bias_init: nn.initializers.Initializer

    @nn.compact
    def __call__(
        self, features: jax.Array, neighbours: jax.Array, coarser: Sequence[jax.Array] | None
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array | None]:
        """Decodes a level.

        Args:
          features: of the target, [B, h, w, C].
          neighbours: features of the previous and of the next images, [2 B, h, w, C].
          coarser: the forward and the backward velocity of the next coarser level, enlarged to [B, h, w, 2] each; None
            on the coarsest.

        Returns:
          The forward and the backward velocity, each [B, h, w, 2], and occlusion [B, h, w, 2] (None without its head).
        """
        context = [], []
        if coarser:
            forward, backward = coarser
            displacement = self.unit * forward
            neighbours = _warp(neighbours, jnp.concatenate([-displacement, displacement]))
            context = [features, forward], [features, backward]

        previous_costs, next_costs = velocity_costs(features, neighbours)
        # Each direction sees its own cost volume first.
        forward_input = jnp.concatenate([next_costs, previous_costs, *context[0]], axis=-1)
        backward_input = jnp.concatenate([previous_costs, next_costs, *context[1]], axis=-1)

        velocities = tuple(
            Decoder(self.bias_init, name=name)(x) for name, x in (("forward", forward_input), ("backward", backward_input))
        )
        if not self.occlusion_head:
            return velocities, None
        occlusion_input = [forward_input] if coarser else [forward_input, features]
        return velocities, nn.softmax(Decoder(self.bias_init, name="occlusion")(jnp.concatenate(occlusion_input, axis=-1)))


class Decoder(nn.Module):
    """Plain stack of 3x3 convolutions, the last of which is linear and has two channels.

    Attributes:
      bias_init: of all biases.
    """

    bias_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for layer, channels in enumerate(DECODER_CHANNELS, 1):
            x = _leaky_relu(conv(channels, bias_init=self.bias_init, name=f"conv{layer}")(x))
        return conv(2, bias_init=self.bias_init, last=True, name="output")(x)


def velocity_costs(features: jax.Array, neighbours: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the cost volumes of both neighbours, in which one velocity has one channel.

    Args:
      features: of the target, [B, h, w, C].
      neighbours: features of the previous and of the next images, [2 B, h, w, C].

    Returns:
      The volumes of the previous and of the next images, each [B, h, w, 81], in the order of `cost_volume` if its
      displacements are called velocities in cells a frame: to the previous image the displacement is the opposite one.
    """
    costs = cost_volume(jnp.concatenate([features, features]), neighbours, SEARCH_RADIUS)
    previous_costs, next_costs = jnp.split(costs, 2)
    return previous_costs[..., ::-1], next_costs


def _imagenet_normalised(images: jax.Array) -> jax.Array:
    """Maps images from [-1, 1] to zero mean and unit variance a channel, by the statistics of ImageNet."""
    return ((images + 1) / 2 - jnp.array(IMAGENET_MEAN)) / jnp.array(IMAGENET_STD)


def _leaky_relu(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, negative_slope=0.2)


def _warp(features: jax.Array, flow: jax.Array) -> jax.Array:
    """Samples features [B, h, w, C] where flow [B, h, w, 2], in cells, points; outside lies the border's value."""
    warped, _ = jax.vmap(lambda x, f: warp_by_flow(x, f, padding="border"))(features, flow)
    return warped.astype(features.dtype)
