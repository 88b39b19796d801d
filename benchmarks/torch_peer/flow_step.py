"""The train step of phase 2 in PyTorch: optical flow, taught by depth and motion where nothing can be seen (eq. 14)."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.torch_peer import geometry, losses
from benchmarks.torch_peer.depth_pose_networks import DispResNet6, PoseNetB6
from benchmarks.torch_peer.flow_network import Back2Future
from benchmarks.torch_peer.masks import OcclusionMasks
from benchmarks.torch_peer.step import Masks, Step

_CONSISTENCY_WEIGHT = 0.1
_SMOOTHNESS_WEIGHT = 0.005
# Of the camera to t+1, and reversed to t-1, as a pose vector in hundredths: forwards by a twelfth of the untrained depth,
# with a slight turn. Without it untrained teachers see nothing move, and no mask would be put to the test.
_MOTION = (0.3, 0.1, -2.0, 0.0, 1.0, 0.0)


class RigidView(NamedTuple):
    """What depth and motion say about one source at one scale.

    Attributes:
      flow: Rigid flow [B, 2, H, W] in pixels of the scale.
      masks: What can be seen of the target, each [B, H, W].
    """

    flow: Tensor
    masks: OcclusionMasks


class FlowStep(Step):
    """Trains Back2Future, row "full" of Table V; DispResNet6 and PoseNetB6 teach it."""

    def __init__(
        self, batch: Mapping[str, np.ndarray], learning_rate: float, device: torch.device, bfloat16: bool = False
    ):
        """See `Step`."""
        teachers = {"depth": DispResNet6(), "pose": PoseNetB6()}
        super().__init__({"flow": Back2Future()}, teachers, batch, learning_rate, device, bfloat16)
        motion = torch.tensor(_MOTION)
        teachers["pose"].pose_pred.bias.copy_(torch.cat([-motion, motion]))

    def loss(self, masks: Masks) -> Tensor:
        """See `Step`."""
        disparities, poses = self.predict_geometry()
        forward, backward = self.run(self.trained["flow"], self.target, self.sources)
        total = 0
        for scale, flows in enumerate(zip(backward, forward, strict=True)):
            target = F.avg_pool2d(self.target, 2**scale)
            for index, flow in enumerate(flows):
                source = F.avg_pool2d(self.sources[:, index], 2**scale)
                rigid = rigid_view(disparities[:, 0], disparities[:, 1 + index], poses[index], self.K, scale, masks)
                total = total + flow_loss(flow, target, source, rigid)
        return total.mean()

    @torch.no_grad()
    def predict_geometry(self) -> tuple[Tensor, list[Tensor]]:
        """Returns disparities [B, 3, H, W] of the target and its sources, and poses [B, 4, 4] to each source."""
        images = torch.cat([self.target[:, None], self.sources], dim=1)
        disparities = self.run(self.frozen["depth"], images.flatten(0, 1)).reshape(*images.shape[:2], *images.shape[3:])
        vectors = self.run(self.frozen["pose"], self.target, self.sources)
        return disparities, [geometry.poses_from_vectors(vectors[:, index]) for index in range(2)]


@torch.no_grad()
def rigid_view(
    disparity: Tensor, source_disparity: Tensor, poses: Tensor, K: Tensor, scale: int, masks: Masks
) -> RigidView:
    """Returns the rigid flow and the masks of one source, native to a scale (D17, D19).

    Args:
      disparity: Target disparities [B, H, W] of the finest scale.
      source_disparity: Source disparities [B, H, W] of the finest scale.
      poses: Transforms [B, 4, 4] from target to source.
      K: Intrinsics [B, 3, 3] of the finest scale.
      scale: Images are 2^scale times smaller.
      masks: The way to compute masks.
    """
    depth, source_depth = (1 / F.avg_pool2d(of_view, 2**scale) for of_view in (disparity, source_disparity))
    scaled = geometry.shrunk_intrinsics(K, 2**scale)
    return RigidView(geometry.rigid_flow(depth, scaled, poses), masks(depth, source_depth, scaled, poses))


def flow_loss(flow: Tensor, target: Tensor, source: Tensor, rigid: RigidView) -> Tensor:
    """Returns the objective [B] of one source at one scale (eq. 10, 11, 12).

    Args:
      flow: Flows [B, 2, H, W] from target to source in pixels.
      target: Target images [B, 3, H, W].
      source: Source images [B, 3, H, W].
      rigid: What depth and motion say.
    """
    edge, _, blank = rigid.masks
    visible = rigid.masks.visible
    pixels = geometry.displaced(flow)
    warped = geometry.sample(source, pixels) * geometry.is_inside(pixels)[:, None]
    error = losses.photometric_error(target, warped)
    low = losses.less_than_mean_mask(error, visible)
    distance = losses.robust_penalty(flow - rigid.flow).mean(dim=1)
    consistency = losses.masked_mean(distance, low & ~(edge & blank))
    smoothness = losses.edge_aware_smoothness(flow, target)
    reconstruction = losses.masked_mean(error, visible & low)
    return reconstruction + _CONSISTENCY_WEIGHT * consistency + _SMOOTHNESS_WEIGHT * smoothness
