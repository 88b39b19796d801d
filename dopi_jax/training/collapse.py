"""Warnings of a collapsed training, whose loss is still finite, from the logged diagnostics."""

from collections.abc import Mapping
from typing import NamedTuple

_PATIENCE = 200  # steps; networks may start near a sign, and leave it soon
_LOOKS = 3  # at least, however far apart


class _Sign(NamedTuple):
    """A diagnostic beyond what sound trainings show.

    Attributes:
      name: The diagnostic.
      low: It is below this.
      high: It is above this.
      words: What that means, and what may help.
    """

    name: str
    low: float
    high: float
    words: str


# On the streets and recordings that this project trains on, spread stays above 0.25 once it has begun, kept above 0.2 and
# translation above 0.01; a training whose depth had collapsed had a spread of 5e-7.
_SIGNS = (
    _Sign(
        "disparity_spread",
        0.01,
        float("inf"),
        "disparity is the same all over the image, its spread is {value:.1g} of its mean: depth has collapsed; start again "
        "with a lower config.optimizer.learning_rate or config.loss.smoothness, or from trained networks (config.init_from)",
    ),
    _Sign(
        "saturated",
        -float("inf"),
        0.9,
        "{value:.0%} of the disparities are at an end of their range, where hardly any gradient passes: start again with a "
        "lower config.optimizer.learning_rate",
    ),
    _Sign(
        "kept",
        0.02,
        float("inf"),
        "masks let only {value:.1%} of the pixels count: nothing can be learnt from the others; look at the pictures of the "
        "run, whether frames and intrinsics belong together, and at the masks that the config chooses",
    ),
    _Sign(
        "translation",
        5e-4,
        float("inf"),
        "the camera hardly moves, by {value:.1g} of the unit of depth between frames: depth is not learnt without motion; "
        "choose frames on which it moves, or a larger config.data.stride",
    ),
)


class CollapseMonitor:
    """Watches the logged diagnostics of a training, and reports each lasting sign of collapse once."""

    def __init__(self):
        self._since: dict[str, tuple[int, int]] = {}  # by sign: at which step it began, and looks since then
        self._told: set[str] = set()

    def check(self, step: int, values: Mapping[str, float]) -> list[str]:
        """Returns a sentence for each sign that has lasted long enough and was not reported before.

        Args:
          step: Updates done.
          values: Diagnostics of the step; those that the phase lacks are not looked at.
        """
        sentences = []
        for sign in _SIGNS:
            value = values.get(sign.name)
            if value is None or not (value < sign.low or value > sign.high):
                self._since.pop(sign.name, None)
                continue
            begin, looks = self._since.get(sign.name, (step, 0))
            self._since[sign.name] = begin, looks + 1
            if step - begin >= _PATIENCE and looks + 1 >= _LOOKS and sign.name not in self._told:
                self._told.add(sign.name)
                sentences.append(f"for {step - begin} steps {sign.words.format(value=value)}")
        return sentences
