"""What a field of a config may hold, stated where the field is: an interval, some choices, or a folder's name.

Each of these takes `value in allowed`, and is its own description for people: "expected 0 or more and less than 1".
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

_KEY = "allowed"  # in a field's metadata
_INTERVAL = re.compile(r"([\[(])(\S+), (\S+)([\])])")
_NAME = re.compile(r"\w[\w .,+=@-]{0,99}")


class Allowed(Protocol):
    """What a field may hold; `str()` says it in words."""

    def __contains__(self, value: Any) -> bool: ...


@dataclass(frozen=True)
class Interval:
    """The numbers between two bounds; NaN is none of them.

    Attributes:
      text: As mathematicians write it: "[0, 1)" is 0 or more and less than 1.
    """

    text: str

    @property
    def bounds(self) -> tuple[float, float]:
        """The lower and the upper one."""
        return float(self._parts[1]), float(self._parts[2])

    @property
    def is_closed(self) -> tuple[bool, bool]:
        """Whether the lower and the upper bound belong to it."""
        return self._parts[0] == "[", self._parts[3] == "]"

    @property
    def _parts(self) -> tuple[str, ...]:
        return _INTERVAL.fullmatch(self.text).groups()

    def __contains__(self, value: float) -> bool:
        if isinstance(value, float):
            # Steps compute in float32, where 0.999999999 is 1 and 1e-50 is 0.
            with np.errstate(over="ignore"):
                return self._holds(value) and self._holds(float(np.float32(value)))
        return self._holds(value)

    def _holds(self, value: float) -> bool:
        (low, high), (with_low, with_high) = self.bounds, self.is_closed
        return (low <= value if with_low else low < value) and (value <= high if with_high else value < high)

    def __str__(self) -> str:
        opening, low, high, closing = self._parts
        if opening + closing == "[]":
            return f"{low} to {high}"
        lower = f"{low} or more" if opening == "[" else f"more than {low}"
        return f"{lower} and {'at most' if closing == ']' else 'less than'} {high}"


@dataclass(frozen=True)
class Choices:
    """One of some values."""

    values: tuple[Any, ...]

    def __contains__(self, value: Any) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))}"


class FolderName:
    """A name that every file system takes for a folder in the one at hand, and nowhere else."""

    def __contains__(self, value: str) -> bool:
        return _NAME.fullmatch(value) is not None

    def __str__(self) -> str:
        return "a folder's name of at most 100 letters, digits and _.,+=@-, that begins with a letter or digit"


def number(default: float, interval: str) -> Any:
    """A field that holds a number in an interval.

    Args:
      default: Where it starts.
      interval: As `Interval` takes it.
    """
    return dataclasses.field(default=default, metadata={_KEY: Interval(interval)})


def one_of(*choices: Any) -> Any:
    """A field that holds one of some values, the first by default."""
    return dataclasses.field(default=choices[0], metadata={_KEY: Choices(choices)})


def folder_name(default: str) -> Any:
    """A field that names a folder."""
    return dataclasses.field(default=default, metadata={_KEY: FolderName()})


def allowed_in(section: type) -> Mapping[str, Allowed]:
    """Returns by name what the fields of a section may hold; switches, texts and sections are not among them."""
    return {field.name: field.metadata[_KEY] for field in dataclasses.fields(section) if _KEY in field.metadata}
