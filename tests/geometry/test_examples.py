"""The examples in the docstrings of the geometry library, run as they stand there."""

import doctest
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry

FUNCTIONS = sorted(name for name in geometry.__all__ if inspect.isfunction(getattr(geometry, name)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_example(name):
    names = {"geometry": geometry, "jax": jax, "jnp": jnp, "np": np}
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(geometry, name), name, globs=names)
    assert example.examples, f"{name} has no example"
    told = []
    doctest.DocTestRunner().run(example, out=told.append)
    assert not told, "".join(told)
