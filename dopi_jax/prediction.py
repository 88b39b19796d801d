"""Predictions of a trained model for a video, as numpy arrays."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Predictions for a video of N frames, at the frames' own size; None where the model has no network for it.

    Attributes:
      disparity: float32 [N, H, W], positive, in units of the model's own.
      depth: float32 [N, H, W], 1 / disparity.
      poses: float32 [N, 4, 4], from each camera to the first, translation in the unit of depth.
      flow: float32 [N-1, H, W, 2], from each frame to the next, in pixels.
      flow_back: float32 [N-1, H, W, 2], from each frame but the first to the one before it.
      visible: bool [N-1, H, W], which pixels of each frame can be seen in the next: by flow where there is flow, else by
        depth and motion.
    """

    disparity: np.ndarray | None = None
    depth: np.ndarray | None = None
    poses: np.ndarray | None = None
    flow: np.ndarray | None = None
    flow_back: np.ndarray | None = None
    visible: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class FramePrediction:
    """Predictions for one frame of a video, at the frame's own size; None where there is none.

    Attributes:
      disparity: float32 [H, W], positive, in units of the model's own.
      depth: float32 [H, W], 1 / disparity.
      pose: float32 [4, 4], from this camera to the first one's, translation in the unit of depth.
      flow: float32 [H, W, 2], to the next frame, in pixels.
      flow_back: float32 [H, W, 2], to the frame before.
      visible: bool [H, W], which pixels can be seen in the next frame.
    """

    disparity: np.ndarray | None = None
    depth: np.ndarray | None = None
    pose: np.ndarray | None = None
    flow: np.ndarray | None = None
    flow_back: np.ndarray | None = None
    visible: np.ndarray | None = None
