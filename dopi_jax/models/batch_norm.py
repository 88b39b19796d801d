"""Batch normalisation of [B, H, W, C] by the statistics of the whole batch on all devices, or by recorded ones."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

MOMENTUM = 0.9  # of the recorded statistics
EPSILON = 1e-5


class BatchNorm(nn.Module):
    """What `nn.BatchNorm` computes, with the same variables, in float32.

    Its gradient is written out: differentiated step by step it has twice the operations, which a compiler has to take away.

    Attributes:
      axis_name: the mapped axis to average the statistics over, None on a single device.
    """

    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Normalises.

        Args:
          x: [B, H, W, C].
          train: True uses and records the batch's statistics, False uses the recorded ones.

        Returns:
          float32 [B, H, W, C].
        """
        shape = x.shape[-1:]
        recorded = [
            self.variable("batch_stats", name, start, shape, jnp.float32)
            for name, start in (("mean", jnp.zeros), ("var", jnp.ones))
        ]
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        x = x.astype(jnp.float32)
        if not train:
            mean, variance = (of_training.value for of_training in recorded)
            return (x - mean) * (jax.lax.rsqrt(variance + EPSILON) * scale) + bias
        axis_name = None if self.is_initializing() else self.axis_name
        normalised, *of_batch = normalise(x, scale, bias, axis_name)
        if not self.is_initializing():
            for of_training, statistic in zip(recorded, of_batch, strict=True):
                of_training.value = MOMENTUM * of_training.value + (1 - MOMENTUM) * jax.lax.stop_gradient(statistic)
        return normalised


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalise(
    x: jax.Array, scale: jax.Array, bias: jax.Array, axis_name: str | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Brings every channel to the mean `bias` and the standard deviation `scale`.

    Args:
      x: [B, H, W, C].
      scale: [C].
      bias: [C].
      axis_name: see `BatchNorm`.

    Returns:
      [B, H, W, C]; and mean and variance [C] of x, through which no gradient goes.
    """
    return _forward(x, scale, bias, axis_name)[0]


def _forward(x, scale, bias, axis_name):
    mean, of_squares = _averaged(axis_name, jnp.mean(x, (0, 1, 2)), jnp.mean(x * x, (0, 1, 2)))
    variance = jnp.maximum(of_squares - mean * mean, 0.0)
    inverse = jax.lax.rsqrt(variance + EPSILON)
    return ((x - mean) * (inverse * scale) + bias, mean, variance), (x, scale, mean, inverse)


def _backward(axis_name, kept, gradients):
    x, scale, mean, inverse = kept
    gradient = gradients[0]
    deviation = (x - mean) * inverse
    to_bias, to_scale = jnp.sum(gradient, (0, 1, 2)), jnp.sum(gradient * deviation, (0, 1, 2))
    # Mean and deviation of the whole batch hold whatever x is: what would change them is taken out of the gradient.
    cells = x.size // x.shape[-1]
    of_mean, of_deviation = _averaged(axis_name, to_bias / cells, to_scale / cells)
    return (gradient - of_mean - deviation * of_deviation) * (inverse * scale), to_scale, to_bias


normalise.defvjp(_forward, _backward)


def _averaged(axis_name, *values):
    return values if axis_name is None else jax.lax.pmean(values, axis_name)
