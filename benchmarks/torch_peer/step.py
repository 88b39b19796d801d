"""The train step of phase 1 in PyTorch: forward, backward, Adam."""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.torch_peer import geometry, losses
from benchmarks.torch_peer.networks import DispResNet6, PoseNetB6

Masks = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

_SMOOTHNESS_WEIGHT = 0.2


class Step:
    """Networks, their optimiser and a batch."""

    def __init__(self, batch: dict[str, np.ndarray], learning_rate: float, device: torch.device):
        """Draws weights.

        Args:
          batch: As `dopi_jax` takes it: `target` [B, H, W, 3], `sources` [B, 2, H, W, 3], `intrinsics` [B, 3, 3].
          learning_rate: Of Adam.
          device: Where to.
        """
        torch.manual_seed(0)
        self.depth_net, self.pose_net = DispResNet6().to(device), PoseNetB6().to(device)
        parameters = [*self.depth_net.parameters(), *self.pose_net.parameters()]
        self._optimizer = torch.optim.Adam(parameters, learning_rate)
        self._target = torch.from_numpy(batch["target"]).to(device).permute(0, 3, 1, 2).contiguous()
        self._sources = torch.from_numpy(batch["sources"]).to(device).permute(0, 1, 4, 2, 3).contiguous()
        self._K = torch.from_numpy(batch["intrinsics"]).to(device)

    def loss(self, masks: Masks) -> Tensor:
        """Returns the objective of the batch.

        Args:
          masks: (target depth, source depth, intrinsics, poses) -> visible pixels.
        """
        disparity = self.depth_net(self._target)
        with torch.no_grad(), _kept_statistics(self.depth_net):
            of_sources = self.depth_net(self._sources.flatten(0, 1)).reshape(*self._sources.shape[:2], *disparity.shape[2:])
        poses = self.pose_net(self._target, self._sources)
        depth = 1 / disparity[:, 0]
        total = _SMOOTHNESS_WEIGHT * losses.smoothness(disparity, self._target)
        for index in range(2):
            pose = geometry.poses_from_vectors(poses[:, index])
            visible = masks(depth.detach(), 1 / of_sources[:, index], self._K, pose.detach())
            warped = geometry.warp(self._sources[:, index], depth, self._K, pose)
            total = total + losses.reconstruction(self._target, warped, visible)
        return total.mean()

    def take(self, masks: Masks) -> float:
        """Takes one step and returns the loss before it, which waits for the device."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = self.loss(masks)
        loss.backward()
        self._optimizer.step()
        return loss.item()


@contextlib.contextmanager
def _kept_statistics(network: nn.Module) -> Iterator[None]:
    """Keeps running statistics as they are inside, while batch statistics normalise (D21)."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
