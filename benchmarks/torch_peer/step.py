"""What the train steps of both phases share in PyTorch: networks, the batch, Adam's update."""

import abc
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.torch_peer.masks import OcclusionMasks

Masks = Callable[[Tensor, Tensor, Tensor, Tensor], OcclusionMasks]
"""(target depth, source depth, intrinsics, poses) to what can be seen of the target."""


class Step(abc.ABC):
    """Networks, an optimiser and a batch.

    Attributes:
      trained: Networks that the step trains, by the names that `TrainState` has for them.
      frozen: Networks that it only asks, likewise, in evaluation mode.
      target: Images [B, 3, H, W] in [-1, 1].
      sources: Images [B, 2, 3, H, W], at (t-1, t+1).
      K: Intrinsics [B, 3, 3].
    """

    def __init__(
        self,
        trained: Mapping[str, nn.Module],
        frozen: Mapping[str, nn.Module],
        batch: Mapping[str, np.ndarray],
        learning_rate: float,
        device: torch.device,
        bfloat16: bool = False,
    ):
        """Draws weights and brings everything to the device.

        Args:
          trained: See above.
          frozen: See above.
          batch: As our train step takes it: `frames` uint8 [B, 3, H, W, 3], `intrinsics` [B, 3, 3].
          learning_rate: Of Adam.
          device: Where to.
          bfloat16: Whether the networks compute in bfloat16, as far as PyTorch's autocast finds it harmless.
        """
        torch.manual_seed(0)
        for network in (*trained.values(), *frozen.values()):
            initialise(network)
            network.to(device)
        for network in frozen.values():
            network.eval().requires_grad_(False)
        self.trained, self.frozen = trained, frozen
        images = torch.from_numpy(batch["frames"]).to(device).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
        self.target, self.sources = images[:, 1].contiguous(), images[:, ::2].contiguous()
        self.K = torch.from_numpy(batch["intrinsics"]).to(device)
        self._bfloat16 = bfloat16
        self._optimizer = torch.optim.Adam(self.parameters(), learning_rate)

    def parameters(self) -> list[nn.Parameter]:
        """Returns what is trained."""
        return [parameter for network in self.trained.values() for parameter in network.parameters()]

    def run(self, network: nn.Module, *images: Tensor) -> Any:
        """Returns what a network makes of images, in its precision, as float32."""
        with torch.autocast(self.target.device.type, torch.bfloat16, enabled=self._bfloat16):
            return _as_float32(network(*images))

    @abc.abstractmethod
    def loss(self, masks: Masks) -> Tensor:
        """Returns the objective of the batch, with masks computed in the way that is given."""

    def take(self, masks: Masks) -> float:
        """Takes one step and returns the loss before it, which waits for the device."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = self.loss(masks)
        loss.backward()
        self._optimizer.step()
        return loss.item()


def _as_float32(results: Any) -> Any:
    return results.float() if isinstance(results, Tensor) else type(results)(map(_as_float32, results))


def initialise(network: nn.Module) -> None:
    """Starts every convolution from Xavier's uniform weights and no bias, as ours do."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
