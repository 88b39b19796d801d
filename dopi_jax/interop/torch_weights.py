"""Weights of the original PyTorch networks, as variables of the same networks here.

What differs is only names and the order of axes, so each network is a table of name rules. No PyTorch is needed: any
mapping of names to arrays will do.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from dopi_jax.errors import UserError
from dopi_jax.models import DepthNet, PoseNet

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Where a tensor of a PyTorch layer goes: the collection, the name in it, and the order of its axes there."""

    collection: str
    name: str
    axes: tuple[int, ...] = (0,)


BIAS = Tensor("params", "bias")
# What each kind of layer holds, by the last part of the PyTorch name.
CONV = {"weight": Tensor("params", "kernel", (2, 3, 1, 0)), "bias": BIAS}
# PyTorch stores a transposed convolution's kernel as [in, out, row, column]; `UpConv` does not flip it either.
UP_CONV = {"weight": Tensor("params", "kernel", (2, 3, 0, 1)), "bias": BIAS}
BATCH_NORM = {
    "weight": Tensor("params", "scale"),
    "bias": BIAS,
    "running_mean": Tensor("batch_stats", "mean"),
    "running_var": Tensor("batch_stats", "var"),
}


@dataclasses.dataclass(frozen=True)
class Rule:
    """One line of a network's table: layers whose PyTorch name matches `pattern` are found here at `path`."""

    pattern: str
    path: str
    kind: Mapping[str, Tensor]


DEPTH_RULES = (
    Rule(r"conv1\.0", r"conv1_0", CONV),
    Rule(r"conv1\.2", r"conv1_1", CONV),
    Rule(r"(i?conv\d)\.(\d+)\.(conv[12])", r"\1/block\2/\3", CONV),
    Rule(r"(i?conv\d)\.(\d+)\.downsample\.0", r"\1/block\2/shortcut", CONV),
    Rule(r"(i?conv\d)\.(\d+)\.downsample\.1", r"\1/block\2/shortcut_norm", BATCH_NORM),
    Rule(r"(upconv\d)\.0", r"\1", UP_CONV),
    Rule(r"predict_(disp\d)\.0", r"\1", CONV),
)

POSE_RULES = (
    Rule(r"(conv\d)\.0", r"\1", CONV),
    Rule(r"pose_pred", r"pose", CONV),
)


def _depth_shapes(tensors: Mapping[str, np.ndarray]) -> Any:
    # The two variants have the same layers but for the number of blocks, and stage 4 is the first to differ.
    variant = "resnet_s6" if "conv4.2.conv1.weight" in tensors else "resnet6"
    image = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)
    return jax.eval_shape(DepthNet(variant).init, jax.random.key(0), image)


def _pose_shapes(tensors: Mapping[str, np.ndarray]) -> Any:
    output_bias = tensors.get("pose_pred.bias", np.zeros(12))
    num_refs = max(1, output_bias.size // 6)
    image = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)
    return jax.eval_shape(PoseNet(num_refs).init, jax.random.key(0), image, [image] * num_refs)


@dataclasses.dataclass(frozen=True)
class Network:
    """How to convert one network.

    Attributes:
      reference: the PyTorch class or classes that can be converted.
      rules: where each layer goes.
      shapes: gives the shapes of the variables of the variant that a state dict holds.
    """

    reference: str
    rules: tuple[Rule, ...]
    shapes: Callable[[Mapping[str, np.ndarray]], Any]


NETWORKS = {
    "depth": Network("DispResNet6 or DispResNetS6", DEPTH_RULES, _depth_shapes),
    "pose": Network("PoseNetB6", POSE_RULES, _pose_shapes),
}


def convert(state_dict: Mapping[str, Any], network: str = "depth") -> dict[str, Any]:
    """Converts the state dict of an original PyTorch network to variables for `apply`.

    The depth variant ("resnet6" or "resnet_s6") and the number of pose sources are found from the tensors.

    Args:
      state_dict: tensor names to arrays (whatever `np.asarray` takes), or a checkpoint that holds such a mapping under
        "state_dict"; a leading "module." of the names is ignored.
      network: "depth" (DispResNet6, DispResNetS6) or "pose" (PoseNetB6).

    Returns:
      Nested dicts of float32 numpy arrays: {"params", "batch_stats"} for depth, {"params"} for pose.

    Raises:
      UserError: the network is unknown, or a tensor is missing, unexpected or of the wrong shape.
    """
    if network not in NETWORKS:
        raise UserError(f"cannot convert network {network!r}, expected one of: {', '.join(NETWORKS)}")
    reference = NETWORKS[network].reference
    tensors = _tensors(state_dict)
    expected = {path: leaf.shape for path, leaf in flatten_dict(NETWORKS[network].shapes(tensors)).items()}

    converted: dict[Path, np.ndarray] = {}
    for name, tensor in tensors.items():
        target = _destination(name, NETWORKS[network].rules)
        if target is None or target[0] not in expected:
            raise UserError(f"tensor {name!r} is not part of {reference}: give the state dict of that network")
        path, axes = target
        if tensor.ndim != len(axes) or tensor.transpose(axes).shape != expected[path]:
            # Tell the expected shape in the order of axes that the user's file has.
            shape = tuple(np.array(expected[path])[np.argsort(axes)].tolist())
            raise UserError(f"tensor {name!r} has shape {tensor.shape}, but {reference} has {shape} there")
        converted[path] = np.ascontiguousarray(tensor.transpose(axes), dtype=np.float32)

    missing = sorted("/".join(path) for path in expected.keys() - converted.keys())
    if missing:
        raise UserError(
            f"{len(missing)} of {len(expected)} tensors of {reference} are missing, the first is the one for "
            f"{missing[0]!r}: give the whole state dict"
        )
    return unflatten_dict(converted)


def _tensors(state_dict: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Unwraps a checkpoint, leaving out the step counters of batch normalisations."""
    state_dict = state_dict.get("state_dict", state_dict)
    return {
        name.removeprefix("module."): np.asarray(tensor)
        for name, tensor in state_dict.items()
        if not name.endswith("num_batches_tracked")
    }


def _destination(name: str, rules: tuple[Rule, ...]) -> tuple[Path, tuple[int, ...]] | None:
    """Finds the path of a tensor in the variables and the order of its axes there, None where no rule applies."""
    layer, _, part = name.rpartition(".")
    for rule in rules:
        if part in rule.kind and (match := re.fullmatch(rule.pattern, layer)):
            tensor = rule.kind[part]
            return (tensor.collection, *match.expand(rule.path).split("/"), tensor.name), tensor.axes
    return None
