"""The "lite" flow network: pretrained features matched, the best of match and rigid flow at each pixel, and a correction."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.models.cost_volume import costs_around, displacements, normalised, window_mean
from dopi_jax.models.efficientnet import EfficientNetLite0
from dopi_jax.models.flow_edges import sharpen_flow
from dopi_jax.models.fusion import fuse_flows
from dopi_jax.models.layers import NEAR_ZERO, conv, coordinates_like, upsample_bilinear

STRIDES = (16, 8, 4)  # of the levels of matching, coarse to fine
MATCH_ITERATIONS = 2  # at each of them
SEARCH_RADIUS = 4  # cells
SHARPNESS = 40.0  # of the softmax over correlation coefficients
WINDOW = 5  # cells on a side, over which correlations are averaged before that softmax
REFINE_ITERATIONS = 3
COST_CHANNELS, CONTEXT_CHANNELS, HIDDEN_CHANNELS, STATE_CHANNELS = 48, 32, 64, 48
COST_GAIN, FAR = 5.0, 10.0  # bring correlations and cells to about 1
NEIGHBOURS = 9  # cells whose corrections a pixel's is a mean of


class LiteFlowNet(nn.Module):
    """Optical flow of pairs of images.

    Features that ImageNet has trained are matched from coarse to fine, from no motion and, where depth and motion are known,
    from the rigid flow. Each pixel takes the flow with the lower census error: the match on moving objects, the rigid flow
    where the pixel is occluded or without texture. Edges move to where the images have them. A trained correction follows;
    no gradient goes through the rest.
    """

    def setup(self):
        self.encoder = EfficientNetLite0(max(STRIDES))
        self.refine = Refinement()

    def features(self, images: jax.Array) -> list[jax.Array]:
        """Returns features of images [B, H, W, 3] in [-1, 1] at the strides of `STRIDES`."""
        coarse_first = self.encoder(images)[: -len(STRIDES) - 1 : -1]
        return [jax.lax.stop_gradient(x) for x in coarse_first]

    def __call__(
        self,
        images: tuple[jax.Array, jax.Array],
        features: tuple[list[jax.Array], list[jax.Array]],
        rigid: jax.Array | None,
    ) -> list[jax.Array]:
        """Returns the flow from the first to the second images.

        Args:
          images: both [B, H, W, 3] in [-1, 1].
          features: `features` of both.
          rigid: rigid flow [B, H, W, 2] in pixels, NaN in samples without; None without depth and motion.

        Returns:
          Flow [B, H, W, 2] in pixels, then [B, ceil(H / 2), ceil(W / 2), 2] and [B, ceil(H / 4), ceil(W / 4), 2] in pixels
          of those sizes.
        """
        flow = jax.lax.stop_gradient(jax.vmap(sharpen_flow)(self._best(images, features, rigid), *images))
        finest = self.refine(*(of_image[-1] for of_image in features), flow)
        return [finest, *(_shrunk(finest, scale) for scale in (1, 2))]

    def _best(
        self,
        images: tuple[jax.Array, jax.Array],
        features: tuple[list[jax.Array], list[jax.Array]],
        rigid: jax.Array | None,
    ) -> jax.Array:
        size = images[0].shape[1:3]
        here, there = (list(map(normalised, of_image)) for of_image in features)
        from_rest = match(here, there, None, size)
        if rigid is None:
            return from_rest
        is_known = jnp.isfinite(rigid[:, :1, :1])
        rigid = jnp.where(is_known, rigid, 0.0)
        others = jnp.stack([from_rest, match(here, there, rigid, size)], axis=1)
        return jnp.where(is_known, jax.vmap(fuse_flows)(rigid, others, *images), from_rest)


def match(
    here: list[jax.Array], there: list[jax.Array], start: jax.Array | None, size: tuple[int, int]
) -> jax.Array:
    """Returns the flow by which features are most alike, coarse to fine.

    Args:
      here: of the first images, coarse first, each [B, h, w, C], as `normalised` returns them.
      there: of the second images.
      start: flow [B, H, W, 2] to start from, in pixels; None for no motion.
      size: (H, W) of the images.

    Returns:
      Flow [B, H, W, 2] in pixels.
    """
    flow = None
    for stride, first, second in zip(STRIDES, here, there, strict=True):
        if flow is not None:
            flow = 2 * upsample_bilinear(flow)[:, : first.shape[1], : first.shape[2]]
        elif start is None:
            flow = jnp.zeros((*first.shape[:3], 2))
        else:
            flow = jax.image.resize(start, (*first.shape[:3], 2), "bilinear") / stride
        for _ in range(MATCH_ITERATIONS):
            flow += expected_step(costs_around(first, second, flow, SEARCH_RADIUS))[0]
    return STRIDES[-1] * upsample_bilinear(flow, STRIDES[-1])[:, : size[0], : size[1]]


def expected_step(costs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the mean displacement [B, h, w, 2] under a softmax over averaged costs [B, h, w, 81], and that average."""
    averaged = window_mean(costs, WINDOW)
    return nn.softmax(SHARPNESS * averaged) @ displacements(SEARCH_RADIUS), averaged


class Refinement(nn.Module):
    """Corrects a flow by what can be seen around it; untrained it leaves it as it is."""

    @nn.compact
    def __call__(self, here: jax.Array, there: jax.Array, flow: jax.Array) -> jax.Array:
        """Features [B, h, w, C] of both images at the finest stride, flow [B, H, W, 2] in pixels -> the flow, corrected."""
        stride, (height, width) = STRIDES[-1], flow.shape[1:3]
        here, there = normalised(here), normalised(there)
        context = nn.relu(conv(CONTEXT_CHANNELS, 1, name="context")(here))
        still = [context, coordinates_like(here)]
        of_costs = nn.Dense(COST_CHANNELS, name="costs")
        conv1, conv2 = conv(HIDDEN_CHANNELS, name="conv1"), conv(STATE_CHANNELS, name="conv2")
        output = conv(3, kernel_init=nn.initializers.zeros, last=True, name="output")
        start = jax.image.resize(flow, (*here.shape[:3], 2), "bilinear") / stride
        cells, state = start, jnp.zeros((*here.shape[:3], STATE_CHANNELS))
        for _ in range(REFINE_ITERATIONS):
            seen = jax.lax.stop_gradient(cells)
            costs = costs_around(here, there, seen, SEARCH_RADIUS)
            step, averaged = expected_step(costs)
            most_alike = COST_GAIN * jnp.max(averaged, axis=-1, keepdims=True)
            around = [step, most_alike, _bends(seen), seen - start, seen / FAR]
            x = jnp.concatenate([nn.relu(of_costs(COST_GAIN * costs)), *around, *still, state], axis=-1)
            state = jnp.tanh(conv2(nn.leaky_relu(conv1(x), 0.1)))
            out = output(state)
            cells += out[..., :1] * step + out[..., 1:]
        logits = conv(NEIGHBOURS * stride**2, 1, kernel_init=NEAR_ZERO, name="shares")(state).astype(jnp.float32)
        return flow + upsample_by_shares(cells - start, logits, stride)[:, :height, :width]


def upsample_by_shares(flow: jax.Array, logits: jax.Array, factor: int) -> jax.Array:
    """Enlarges a flow, every pixel's being a mean of the nine cells around with shares of its own (as RAFT does).

    Args:
      flow: [B, h, w, 2] in cells.
      logits: [B, h, w, 9 factor^2] that change the shares, which are those of bilinear interpolation where they are 0.
      factor: of the size.

    Returns:
      [B, factor h, factor w, 2] in pixels.
    """
    batch, height, width, _ = flow.shape
    padded = jnp.pad(flow, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    cells = jnp.stack([padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=3)
    place = (jnp.arange(factor) + 0.5) / factor - 0.5
    along = jnp.maximum(0, 1 - jnp.abs(place[:, None] - jnp.arange(-1, 2)))
    start = jnp.log(jnp.einsum("ya,xb->yxab", along, along).reshape(factor, factor, NEIGHBOURS) + 1e-3)
    shares = nn.softmax(logits.reshape(batch, height, width, factor, factor, NEIGHBOURS) + start)
    pixels = factor * jnp.einsum("bhwyxn,bhwnd->bhywxd", shares, cells)
    return pixels.reshape(batch, factor * height, factor * width, 2)


def _bends(flow: jax.Array) -> jax.Array:
    """How far each cell's flow [B, h, w, 2] is from the mean around it."""
    return flow - window_mean(flow, WINDOW)


def _shrunk(flow: jax.Array, scale: int) -> jax.Array:
    """A flow in pixels of an image that is 2^scale times smaller."""
    batch, height, width, _ = flow.shape
    size = -(-height // 2**scale), -(-width // 2**scale)
    return jax.image.resize(flow, (batch, *size, 2), "bilinear") / 2**scale
