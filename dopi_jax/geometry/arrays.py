"""Conversion of arguments to arrays of one floating-point type."""

import chex
import jax
import jax.numpy as jnp


def float_type(*values: chex.ArrayTree) -> jnp.dtype:
    """Returns float64 if one of the values is an array of that type, which needs `JAX_ENABLE_X64`; else float32.

    Python's numbers, alone or in lists, have no precision of their own: they take that of the arrays.

    Args:
      *values: Arrays, or what `jnp.asarray` takes.
    """
    return jnp.dtype(jnp.float64 if any(map(_is_double, values)) else jnp.float32)


def as_float(*values: chex.ArrayTree) -> chex.Array | list[chex.Array]:
    """Returns values as arrays of their `float_type`: one array, or as many as there are values."""
    dtype = float_type(*values)
    arrays = [jnp.asarray(value, dtype) for value in values]
    return arrays[0] if len(arrays) == 1 else arrays


def _is_double(value: chex.ArrayTree) -> bool:
    if all(isinstance(leaf, int | float) for leaf in jax.tree.leaves(value)):
        return False
    array = jnp.asarray(value)
    return array.dtype == jnp.float64 and not array.weak_type
