"""Weights of the original PyTorch networks, as variables of the same networks here.

What differs is only names and the order of axes and channels, so each network is a table of name rules. No PyTorch is
needed: any mapping of names to arrays will do.
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
from dopi_jax.models import DepthNet, FlowNet, PoseNet
from dopi_jax.models.flow_back2future import SEARCH_RADIUS

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Where a tensor of a PyTorch layer goes.

    Attributes:
      collection: of variables.
      name: in the collection.
      axes: the order of its axes there.
      inputs: for a kernel, the order there of its first input channels; the others stay.
    """

    collection: str
    name: str
    axes: tuple[int, ...] = (0,)
    inputs: tuple[int, ...] = ()


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


# The volumes of costs are enumerated here by dy and, inside, by dx, both rising; in PyTorch by dx and, inside, by dy,
# both falling. There every decoder sees the forward volume first, here it sees that of its own direction first.
DISPLACEMENTS = (2 * SEARCH_RADIUS + 1) ** 2
FORWARD_COSTS = tuple(np.arange(DISPLACEMENTS)[::-1].reshape(2 * (2 * SEARCH_RADIUS + 1,)).T.ravel().tolist())
BACKWARD_COSTS = tuple(DISPLACEMENTS + channel for channel in FORWARD_COSTS)


def _flow_decoder_rules(torch_name: str, name: str, first_inputs: tuple[int, ...]) -> tuple[Rule, ...]:
    """Gives the rules of the decoders "<torch_name><level>", named "level<level>/<name>" here."""
    kernel = dataclasses.replace(CONV["weight"], inputs=first_inputs)
    return (
        Rule(rf"{torch_name}(\d)\.0", rf"level\1/{name}/conv1", CONV | {"weight": kernel}),
        # PyTorch counts the activations, too.
        *(Rule(rf"{torch_name}(\d)\.{2 * i}", rf"level\1/{name}/conv{i + 1}", CONV) for i in range(1, 5)),
        Rule(rf"{torch_name}(\d)\.10", rf"level\1/{name}/output", CONV),
    )


FLOW_RULES = (
    *(
        Rule(rf"conv(\d){letter}\.{index}", rf"pyramid_{image}/conv\1_{index // 2}", CONV)
        for letter, image in (("a", "target"), ("b", "next"), ("c", "previous"))
        for index in (0, 2)
    ),
    *_flow_decoder_rules("decoder_fwd", "forward", FORWARD_COSTS + BACKWARD_COSTS),
    *_flow_decoder_rules("decoder_bwd", "backward", BACKWARD_COSTS + FORWARD_COSTS),
    *_flow_decoder_rules("decoder_occ", "occlusion", FORWARD_COSTS + BACKWARD_COSTS),
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


def _flow_shapes(tensors: Mapping[str, np.ndarray]) -> Any:
    occlusion_head = any(name.startswith("decoder_occ") for name in tensors)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    return jax.eval_shape(FlowNet(occlusion_head=occlusion_head).init, jax.random.key(0), image, [image] * 2)


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
    "flow": Network("Back2Future", FLOW_RULES, _flow_shapes),
}


def convert(state_dict: Mapping[str, Any], network: str = "depth") -> dict[str, Any]:
    """Converts the state dict of an original PyTorch network to variables for `apply`.

    The depth variant ("resnet6" or "resnet_s6"), the number of pose sources and whether flow has its occlusion head are
    found from the tensors. A flow network without the head takes variables that have it.

    Args:
      state_dict: tensor names to arrays (whatever `np.asarray` takes), or a checkpoint that holds such a mapping under
        "state_dict"; a leading "module." of the names is ignored.
      network: "depth" (DispResNet6, DispResNetS6), "pose" (PoseNetB6) or "flow" (Back2Future).

    Returns:
      Nested dicts of float32 numpy arrays: {"params", "batch_stats"} for depth, {"params"} for pose and flow.

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
        path, place = target
        if tensor.ndim != len(place.axes) or tensor.transpose(place.axes).shape != expected[path]:
            # Tell the expected shape in the order of axes that the user's file has.
            shape = tuple(np.array(expected[path])[np.argsort(place.axes)].tolist())
            raise UserError(f"tensor {name!r} has shape {tensor.shape}, but {reference} has {shape} there")
        converted[path] = np.array(tensor.transpose(place.axes), dtype=np.float32, order="C")
        if place.inputs:
            converted[path][..., : len(place.inputs), :] = converted[path][..., place.inputs, :]

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


def _destination(name: str, rules: tuple[Rule, ...]) -> tuple[Path, Tensor] | None:
    """Finds the path of a tensor in the variables and how it lies there, None where no rule applies."""
    layer, _, part = name.rpartition(".")
    for rule in rules:
        if part in rule.kind and (match := re.fullmatch(rule.pattern, layer)):
            tensor = rule.kind[part]
            return (tensor.collection, *match.expand(rule.path).split("/"), tensor.name), tensor
    return None
