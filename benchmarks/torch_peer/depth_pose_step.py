"""The train step of phase 1 in PyTorch: depth and pose (paper eq. 13)."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.torch_peer import geometry, losses
from benchmarks.torch_peer.depth_pose_networks import DispResNet6, PoseNetB6
from benchmarks.torch_peer.step import Masks, Step

_SMOOTHNESS_WEIGHT = 0.2


class DepthPoseStep(Step):
    """Trains DispResNet6 and PoseNetB6, row "full" of Table II."""

    def __init__(
        self, batch: Mapping[str, np.ndarray], learning_rate: float, device: torch.device, bfloat16: bool = False
    ):
        """See `Step`."""
        super().__init__({"depth": DispResNet6(), "pose": PoseNetB6()}, {}, batch, learning_rate, device, bfloat16)

    def loss(self, masks: Masks) -> Tensor:
        """See `Step`."""
        depth_net, pose_net = self.trained["depth"], self.trained["pose"]
        disparity = self.run(depth_net, self.target)
        with torch.no_grad(), _kept_statistics(depth_net):
            of_sources = self.run(depth_net, self.sources.flatten(0, 1))
        of_sources = of_sources.reshape(*self.sources.shape[:2], *disparity.shape[2:])
        poses = self.run(pose_net, self.target, self.sources)
        depth = 1 / disparity[:, 0]
        total = _SMOOTHNESS_WEIGHT * losses.edge_aware_smoothness(losses.max_normalized_depth(disparity), self.target)
        for index in range(2):
            pose = geometry.poses_from_vectors(poses[:, index])
            visible = masks(depth.detach(), 1 / of_sources[:, index], self.K, pose.detach()).visible
            warped = geometry.warp_by_depth(self.sources[:, index], depth, self.K, pose)
            error = losses.photometric_error(self.target, warped)
            total = total + losses.masked_mean(error, visible & losses.less_than_mean_mask(error, visible))
        return total.mean()


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
