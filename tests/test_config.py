"""Configs: the rows of Table II, what is refused and how it is told, and the way to disk and back."""

import dataclasses
import math

import pytest

from dopi_jax.config import ABLATIONS, Config, apply_flow_variant, apply_variant, check, field_types, from_json, to_json
from dopi_jax.errors import UserError
from dopi_jax.models import DepthNet, PoseNet


def changed(**fields):
    """The default config with fields set by dotted name, dots written as double underscores."""
    config = Config()
    for name, value in fields.items():
        section, field = name.split("__")
        setattr(getattr(config, section), field, value)
    return config


def test_the_defaults_are_the_full_method_of_the_paper():
    config = Config()
    check(config)
    assert apply_variant(Config(), "") == config
    assert (config.data.height, config.data.width, config.train.batch_size) == (256, 832, 4)
    assert (config.optimizer.learning_rate, config.optimizer.beta1, config.optimizer.beta2) == (1e-4, 0.9, 0.999)
    assert (config.loss.ssim_weight, config.loss.smoothness, config.train.steps) == (0.85, 0.2, 186_813)


@pytest.mark.parametrize(
    "row, occlusion, less_than_mean, normalization",
    [
        ("basic", False, False, "mean"),
        ("occ", True, False, "mean"),
        ("occ_ltm", True, True, "mean"),
        ("full", True, True, "max"),
    ],
)
def test_variants_are_the_rows_of_table_2(row, occlusion, less_than_mean, normalization):
    config = apply_variant(Config(), row)
    check(config)
    loss = config.loss
    assert (loss.occlusion, loss.less_than_mean, loss.smoothness_normalization) == (occlusion, less_than_mean, normalization)
    assert config.name == ("kitti_depthpose" if row == "full" else f"kitti_depthpose_{row}")


@pytest.mark.parametrize("row", ["", *ABLATIONS])
def test_released_changes_names_and_networks_but_not_the_row(row):
    paper, released = apply_variant(Config(), row), apply_variant(Config(), f"{row},released")
    check(released)
    assert released.name == f"{paper.name}_released"
    assert (released.model.depth, released.loss.penalty, released.train.best_by) == ("resnet_s6", "power", "abs_rel")
    for name in ABLATIONS["full"]:
        assert getattr(released.loss, name) == getattr(paper.loss, name)
    # D6: the published code's row with Occ alone adds the error over the channels.
    assert released.loss.sum_channels == (row == "occ")


@pytest.mark.parametrize("row", ["", *ABLATIONS])
def test_modern_keeps_the_rows_masks_and_networks(row):
    paper, modern = apply_variant(Config(), row), apply_variant(Config(), f"{row},modern")
    check(modern)
    assert modern.name == f"{paper.name}_modern"
    assert modern.model == paper.model
    for name in ("occlusion", "less_than_mean", "ssim_weight", "penalty"):
        assert getattr(modern.loss, name) == getattr(paper.loss, name)
    assert modern.loss.per_pixel_minimum and modern.loss.auto_mask and modern.loss.full_size
    assert (modern.loss.scales, modern.loss.smoothness_normalization) == (3, "mean")


@pytest.mark.parametrize(
    ("variant", "name", "modern", "occlusion"),
    [
        ("", "x", True, False),
        ("basic,modern", "x", True, False),
        (",modern", "x", True, False),
        ("basic", "x_basic", False, False),
        ("full,modern", "x_full_modern", True, True),
        ("full", "x_full", False, True),
    ],
)
def test_a_config_may_have_a_default_of_its_own(variant, name, modern, occlusion):
    config = apply_variant(Config(name="x"), variant, "basic,modern")
    assert (config.name, config.loss.per_pixel_minimum, config.loss.occlusion) == (name, modern, occlusion)


@pytest.mark.parametrize("variant", ["foo", "Full", "full,paper", "full,released,released", "released"])
def test_an_unknown_variant_is_refused_with_the_known_ones(variant):
    with pytest.raises(UserError, match=r"variant is '.*': expected one of basic, occ, occ_ltm, full.*,released"):
        apply_variant(Config(), variant)


@pytest.mark.parametrize(
    "config, sentence",
    [
        (changed(train__steps=-1), r"config.train.steps is -1: expected more than 0"),
        (changed(train__batch_size=0), r"config.train.batch_size is 0"),
        (changed(data__width=0), r"config.data.width is 0"),
        (changed(train__average=1.0), r"config.train.average is 1.0: expected 0 or more and less than 1"),
        (changed(data__colour_jitter=-0.1), r"config.data.colour_jitter is -0.1"),
        (changed(loss__consistency=math.nan), r"config.loss.consistency is nan"),
        (changed(model__pose_refinements=-1), r"config.model.pose_refinements is -1"),
        (changed(optimizer__learning_rate=0.0), r"config.optimizer.learning_rate is 0.0"),
        (changed(optimizer__learning_rate=math.nan), r"config.optimizer.learning_rate is nan"),
        (changed(optimizer__learning_rate=math.inf), r"config.optimizer.learning_rate is inf"),
        (changed(optimizer__decay="cosine"), r"config.optimizer.decay is 'cosine': expected one of step, linear"),
        (changed(optimizer__decay_after=450.0), r"config.optimizer.decay_after is 450.0: expected a share of the steps"),
        (changed(optimizer__decay_after=math.nan), r"config.optimizer.decay_after is nan"),
        (changed(train__steps=1.5), r"config.train.steps is 1.5: expected int"),
        (changed(train__steps=True), r"config.train.steps is True: expected int"),
        (changed(data__augment=1), r"config.data.augment is 1: expected bool"),
        (changed(loss__smoothness="a"), r"config.loss.smoothness is 'a': expected float"),
        (changed(loss__smoothness=False), r"config.loss.smoothness is False: expected float"),
        (changed(data__train="kitti_raw:eigen"), r"config.data.train is 'kitti_raw:eigen': expected a tuple of strings"),
        (changed(data__train=(5,)), r"config.data.train is \(5,\): expected a tuple of strings"),
        (changed(model__depth="lite", data__width=400), r"config.data.width is 400: .* multiple of 32, .*, such as 384"),
        (changed(optimizer__encoder_rate=-1.0), r"config.optimizer.encoder_rate is -1.0: expected a factor, 0 or more"),
        (changed(model__depth="resnet50"), r"config.model.depth is 'resnet50': expected one of resnet6, resnet_s6, small"),
        (changed(model__rotation="matrix"), r"config.model.rotation is 'matrix': expected one of"),
        (changed(loss__penalty="l1"), r"config.loss.penalty is 'l1': expected one of charbonnier, power"),
        (changed(train__best_by="loss"), r"config.train.best_by is 'loss': expected one of"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(config, sentence):
    with pytest.raises(UserError, match=f"^{sentence}"):
        check(config)


def test_check_takes_a_whole_number_for_a_float_and_any_seed():
    config = changed(optimizer__learning_rate=1, train__seed=0)
    check(config)
    assert isinstance(config.optimizer.learning_rate, float)


def test_every_network_can_be_chosen():
    for variant in DepthNet.VARIANTS:
        check(changed(model__depth=variant))
    for variant in PoseNet.VARIANTS:
        check(changed(model__pose=variant))


@pytest.mark.parametrize("variant", ["basic", "full,released"])
def test_json_brings_back_the_same_config(variant):
    config = apply_variant(Config(), variant)
    config.data.train = ("kitti_odometry:03[:600]", "kitti_raw:eigen")
    assert from_json(to_json(config)) == config


def test_json_of_an_older_version_gets_defaults_for_what_it_lacks():
    assert from_json('{"train": {"steps": 5}}') == changed(train__steps=5)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ('{"train": {"stpes": 5}}', "field config.train.stpes, which this version of dopi_jax does not know"),
        ('{"name": "x", "flow": {}}', "field config.flow, which"),
        ('{"name": ', "the stored config is not JSON"),
        ("[1, 2]", r"the stored config has \[1, 2\] for config, expected its fields"),
        ('{"train": 5}', "the stored config has 5 for config.train, expected its fields"),
    ],
)
def test_a_stored_config_that_cannot_be_read_is_refused(text, sentence):
    with pytest.raises(UserError, match=sentence):
        from_json(text)


def test_field_types_name_every_field_once():
    types = field_types()
    assert types["optimizer.learning_rate"] is float
    assert types["data.train"] is tuple
    assert types["name"] is str
    values = [getattr(Config(), field.name) for field in dataclasses.fields(Config)]
    sections = [value for value in values if dataclasses.is_dataclass(value)]
    assert len(types) == len(values) - len(sections) + sum(len(dataclasses.fields(section)) for section in sections)


@pytest.mark.parametrize(
    "row, occlusion, less_than_mean, consistency",
    [("basic", False, False, 0), ("occ", True, False, 0), ("occ_ltm", True, True, 0), ("full", True, True, 0.1)],
)
def test_variants_of_phase_2_are_the_rows_of_table_5(row, occlusion, less_than_mean, consistency):
    config = apply_flow_variant(Config(phase="flow"), row)
    check(config)
    loss = config.flow_loss
    assert (loss.occlusion, loss.less_than_mean, loss.consistency) == (occlusion, less_than_mean, consistency)
    assert (loss.reconstruction, loss.smoothness, loss.less_than_mean_factor) == (1.0, 0.005, 1.0)
    assert loss.needs_depthpose == (row != "basic")
    released = apply_flow_variant(Config(phase="flow"), f"{row},released")
    check(released)
    assert released.name == f"{config.name}_released" and released.flow_loss.consistency_ltm == "none"
    assert (released.flow_loss.finest_only, released.flow_loss.sum_channels, released.train.best_by) == (True, True, "epe")


@pytest.mark.parametrize("side", ["height", "width"])
def test_sides_that_the_flow_network_cannot_halve_are_refused(side):
    config = Config(phase="flow")
    setattr(config.data, side, 416)
    with pytest.raises(UserError, match=rf"config.data.{side} is 416: expected a multiple of 64, .* such as 384"):
        check(config)
