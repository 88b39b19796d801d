"""Image sizes on the command line."""

import re

from dopi_jax.errors import UserError


def parse_size(text: str, option: str) -> tuple[int, int]:
    """Returns the (height, width) in pixels that a text such as 256x832 says.

    Args:
      text: What was typed.
      option: The option's name, for the message.

    Raises:
      UserError: It is no size.
    """
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise UserError(f"{option} is {text!r}: expected height x width in pixels, such as 256x832")
    return int(match[1]), int(match[2])
