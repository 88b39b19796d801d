"""The paper's flow network, Back2Future, and a smaller one of the same architecture."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.geometry import warp_by_flow
from dopi_jax.models.cost_volume import cost_volume, expected_displacement
from dopi_jax.models.layers import NEAR_ZERO, conv, coordinates_like, upsample_bilinear, upsample_nearest

COARSEST_LEVEL, FINEST_LEVEL = 6, 2  # of decoding; level l has stride 2^l
SEARCH_RADIUS = 4  # cells of a level
SHARPNESS = 10.0  # of correlation coefficients, before the softmax that says where they point to
# What the decoders call 1, in pixels of the full image; in pixels of scale 1 / 2^l, and in cells of level l, it is 20 / 2^l.
FLOW_UNIT = 20.0
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What the variants of the flow network differ in.

    Attributes:
      pyramid_channels: of levels 1 to 6.
      decoder_channels: of a decoder's hidden layers.
      shared_pyramid: whether the three images go through the same pyramid.
      shared_decoders: whether both directions go through the same decoders.
      normalised_features: whether features are compared by their correlation coefficient over the channels.
      incremental: whether a level adds to the coarser one's velocity, in cells and at first next to nothing, and is also
        shown the displacement that its costs point to.
      oriented: whether decoders are shown where in the image a cell lies and which way in time they look.
      bias_init: of all biases.
    """

    pyramid_channels: tuple[int, ...]
    decoder_channels: tuple[int, ...]
    shared_pyramid: bool = False
    shared_decoders: bool = False
    normalised_features: bool = False
    incremental: bool = False
    oriented: bool = False
    bias_init: nn.initializers.Initializer = nn.initializers.zeros


ARCHITECTURES = {
    "back2future": Architecture((16, 32, 64, 96, 128, 192), (128, 128, 96, 64, 32)),
    "small": Architecture(
        (16, 24, 32, 48, 64, 64),
        (64, 48, 32),
        shared_pyramid=True,
        shared_decoders=True,
        # Untrained features fade from level to level, and plain products of them on level 6 are near 1e-6: on moving
        # textures 300 steps took the error of 6.0 pixels to 2.8 with products, to 1.6 with coefficients.
        normalised_features=True,
        incremental=True,
        # Where the costs say nothing, since the next image does not show a pixel, place and direction are what is left to
        # learn a teacher's flow from: 600 steps on streets left 2.69 pixels there instead of 2.90.
        oriented=True,
    ),
}


class PyramidFlowNet(nn.Module):
    """Feature pyramids, a cost volume on each of their levels, and decoders that read both flows off it, coarse to fine.

    Inside the network a flow is a velocity: the flow to the next image, or the negated flow to the previous one. Constant
    velocity makes the two equal. The network assumes it only where it warps: both neighbours by the forward velocity.

    Attributes:
      variant: see `FlowNet`, as the others.
      occlusion_head: whether to predict occlusion.
      shared_pyramid: whether one pyramid serves the three images.
      bias_init: of all biases.
    """

    variant: str
    occlusion_head: bool
    shared_pyramid: bool
    bias_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, target: jax.Array, sources: Sequence[jax.Array]) -> list[list[jax.Array]]:
        """Returns flows as `FlowNet` does, at all scales."""
        target_pyramid, neighbour_pyramid = self._pyramids(*(_imagenet_normalised(x) for x in (target, *sources)))
        enlarged, levels = None, []
        for level in range(COARSEST_LEVEL, FINEST_LEVEL - 1, -1):
            decode = Level(self._architecture(), FLOW_UNIT / 2**level, self.occlusion_head, name=f"level{level}")
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

    def _architecture(self) -> Architecture:
        of_variant = ARCHITECTURES[self.variant]
        shared = of_variant.shared_pyramid or self.shared_pyramid
        return dataclasses.replace(of_variant, shared_pyramid=shared, bias_init=self.bias_init)

    def _pyramids(self, target: jax.Array, *sources: jax.Array) -> tuple[list[jax.Array], list[jax.Array]]:
        """Returns the features of the target, and those of both sources one after the other along the batch."""
        architecture = self._architecture()
        if architecture.shared_pyramid:
            pyramid = FeaturePyramid(architecture, name="pyramid")
            return pyramid(target), pyramid(jnp.concatenate(sources))
        target, previous, following = (
            FeaturePyramid(architecture, name=f"pyramid_{time}")(image)
            for time, image in zip(("target", "previous", "next"), (target, *sources), strict=True)
        )
        return target, [jnp.concatenate(pair) for pair in zip(previous, following, strict=True)]


class FeaturePyramid(nn.Module):
    """Features of an image at strides 2, 4, ..., two convolutions a level.

    Attributes:
      architecture: of the network.
    """

    architecture: Architecture

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        levels = []
        for level, channels in enumerate(self.architecture.pyramid_channels, 1):
            x = _leaky_relu(conv(channels, 3, 2, bias_init=self.architecture.bias_init, name=f"conv{level}_0")(x))
            x = _leaky_relu(conv(channels, 3, bias_init=self.architecture.bias_init, name=f"conv{level}_1")(x))
            levels.append(x)
        return levels


class Level(nn.Module):
    """Compares the target's features with the neighbours' and reads both velocities off the cost volumes.

    Attributes:
      architecture: of the network.
      unit: of velocities, in cells of this level.
      occlusion_head: see `FlowNet`.
    """

    architecture: Architecture
    unit: float
    occlusion_head: bool

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

        if self.architecture.normalised_features:
            matched = _normalised_over_channels(features), _normalised_over_channels(neighbours)
        else:
            matched = features, neighbours
        previous_costs, next_costs = velocity_costs(*matched)
        if self.architecture.incremental:
            for costs, of_direction in zip((next_costs, previous_costs), context, strict=True):
                of_direction.append(expected_displacement(costs, SHARPNESS, SEARCH_RADIUS))
        if self.architecture.oriented:
            coordinates = coordinates_like(features)
            for direction, of_direction in zip((1.0, -1.0), context, strict=True):
                of_direction += [coordinates, jnp.full_like(coordinates[..., :1], direction)]
        # Each direction sees its own cost volume first, so that one decoder can serve both.
        forward_input = jnp.concatenate([next_costs, previous_costs, *context[0]], axis=-1)
        backward_input = jnp.concatenate([previous_costs, next_costs, *context[1]], axis=-1)

        def decoder(name: str) -> Decoder:
            return Decoder(self.architecture, name=name)

        if self.architecture.shared_decoders:
            forward_decoder = backward_decoder = decoder("decoder")
        else:
            forward_decoder, backward_decoder = decoder("forward"), decoder("backward")
        velocities = forward_decoder(forward_input), backward_decoder(backward_input)
        if self.architecture.incremental:
            velocities = tuple(cells / self.unit for cells in velocities)
            if coarser:
                velocities = forward + velocities[0], backward + velocities[1]
        if not self.occlusion_head:
            return velocities, None
        occlusion_input = [forward_input] if coarser else [forward_input, features]
        return velocities, nn.softmax(decoder("occlusion")(jnp.concatenate(occlusion_input, axis=-1)))


class Decoder(nn.Module):
    """Plain stack of 3x3 convolutions, the last of which is linear and has two channels.

    Attributes:
      architecture: of the network.
    """

    architecture: Architecture

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for layer, channels in enumerate(self.architecture.decoder_channels, 1):
            x = _leaky_relu(conv(channels, bias_init=self.architecture.bias_init, name=f"conv{layer}")(x))
        start = {"kernel_init": NEAR_ZERO} if self.architecture.incremental else {}
        return conv(2, bias_init=self.architecture.bias_init, last=True, name="output", **start)(x)


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


def _normalised_over_channels(features: jax.Array) -> jax.Array:
    """Brings every cell's features to zero mean and unit variance."""
    precise = features.astype(jnp.float32)
    centred = precise - jnp.mean(precise, axis=-1, keepdims=True)
    return (centred / jnp.sqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-6)).astype(features.dtype)


def _warp(features: jax.Array, flow: jax.Array) -> jax.Array:
    """Samples features [B, h, w, C] where flow [B, h, w, 2], in cells, points; outside lies the border's value."""
    warped, _ = jax.vmap(lambda x, f: warp_by_flow(x, f, padding="border"))(features, flow)
    return warped.astype(features.dtype)
