"""In which form something is computed that has several: all give the same, and which is fast depends on the device.

A form that only a CPU gains from is left out on every other device, which would compile it for longer and run it no faster.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax

_PORTABLE, _ACCELERATOR, _CPU = "portable", "accelerator", "cpu"
_forms: contextvars.ContextVar[str | None] = contextvars.ContextVar("forms", default=None)


def plain_forms() -> contextlib.AbstractContextManager[None]:
    """Makes networks traced inside use the compiler's own convolutions alone, and no loops, on any device.

    They then depend on no device and on no number of images, as what is exported must.
    """
    return _traced_in(_PORTABLE)


def accelerator_forms() -> contextlib.AbstractContextManager[None]:
    """Makes what is traced inside take the forms of a GPU, also where there is none: to export for one, and to compare."""
    return _traced_in(_ACCELERATOR)


@contextlib.contextmanager
def _traced_in(forms: str) -> Iterator[None]:
    token = _forms.set(forms)
    try:
        yield
    finally:
        _forms.reset(token)


def is_plain() -> bool:
    """Returns whether forms that only a CPU gains from are left out: on every other device, and where asked for above.

    The device is JAX's choice when a program is traced: a GPU compiles what a CPU gains from for longer.
    """
    return (_forms.get() or _platform()) != _CPU


def is_portable() -> bool:
    """Returns whether networks are traced inside of `plain_forms`."""
    return _forms.get() == _PORTABLE


def _platform() -> str:
    chosen = jax.config.jax_default_device
    return getattr(chosen, "platform", chosen) or jax.default_backend()
