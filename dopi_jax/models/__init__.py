"""The networks, as flax.linen modules on float32 [B, H, W, C] batches.

They are pure and independent of losses and devices; only depth has state besides its parameters (batch statistics).
"""

from dopi_jax.models.cost_volume import cost_volume
from dopi_jax.models.depth import DepthNet
from dopi_jax.models.flow import FlowNet
from dopi_jax.models.learned_camera import LearnedCamera, learned_intrinsics
from dopi_jax.models.pose import PoseNet

__all__ = ["DepthNet", "FlowNet", "LearnedCamera", "PoseNet", "cost_volume", "learned_intrinsics"]
