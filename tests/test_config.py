"""Configs: the rows of Table II, what is refused and how it is told, and the way to disk and back."""

import dataclasses
import math
from dataclasses import MISSING

import pytest

from dopi_jax.config import ABLATIONS, Config, apply_flow_variant, apply_variant, check, field_types, from_json, to_json
from dopi_jax.config.ranges import Choices, FolderName, Interval, allowed_in
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
        (changed(train__steps=-1), r"config.train.steps is -1: expected 1 to 2147483647"),
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
        (changed(optimizer__decay_after=450.0), r"config.optimizer.decay_after is 450.0: expected 0 to 1"),
        (changed(optimizer__decay_after=math.nan), r"config.optimizer.decay_after is nan"),
        (changed(train__steps=1.5), r"config.train.steps is 1.5: expected int"),
        (changed(train__steps=True), r"config.train.steps is True: expected int"),
        (changed(data__augment=1), r"config.data.augment is 1: expected bool"),
        (changed(loss__smoothness="a"), r"config.loss.smoothness is 'a': expected float"),
        (changed(loss__smoothness=False), r"config.loss.smoothness is False: expected float"),
        (changed(data__train="kitti_raw:eigen"), r"config.data.train is 'kitti_raw:eigen': expected a tuple of strings"),
        (changed(data__train=(5,)), r"config.data.train is \(5,\): expected a tuple of strings"),
        (changed(model__depth="lite", data__width=400), r"config.data.width is 400: .* multiple of 32, .*, such as 384"),
        (changed(optimizer__encoder_rate=-1.0), r"config.optimizer.encoder_rate is -1.0: expected 0 to 1000"),
        (changed(model__depth="resnet50"), r"config.model.depth is 'resnet50': expected one of resnet6, resnet_s6, lite"),
        (changed(model__rotation="matrix"), r"config.model.rotation is 'matrix': expected one of"),
        (changed(loss__penalty="l1"), r"config.loss.penalty is 'l1': expected one of charbonnier, power"),
        (changed(train__best_by="loss"), r"config.train.best_by is 'loss': expected one of"),
        (changed(train__best_by="epe"), r"config.train.best_by is 'epe': expected one of .*abs_rel in phase 'depthpose'"),
        (changed(data__train=()), r"config.data.train is \(\): expected at least one selection"),
        (changed(data__root="a\0b"), r"config.data.root is 'a\\x00b': expected text without control characters"),
        (changed(data__train=("a\n",)), r"config.data.train is 'a\\n': expected text without control characters"),
        (changed(optimizer__learning_rate=10**400), r"config.optimizer.learning_rate is a number of 1329 bits"),
        (changed(train__seed=10**20), r"config.train.seed is 100000000000000000000: expected 0 to 4294967295"),
        (changed(train__seed=10**5000), r"config.train.seed is a number of 16610 bits: expected 0 to 4294967295"),
        (changed(train__precision=10**5000), r"config.train.precision is a number of 16610 bits: expected str"),
        (Config(train=5), r"config.train is 5: expected TrainConfig"),
        (Config(train=Config().loss), r"config.train is LossConfig\(.*: expected TrainConfig"),
        (Config(phase="pose"), r"config.phase is 'pose': expected one of depthpose, flow"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(config, sentence):
    with pytest.raises(UserError, match=f"^{sentence}"):
        check(config)


FIELDS = {
    f"{section}.{name}".lstrip("."): (section, name)
    for section, kind in [("", Config), *((f.name, f.type) for f in dataclasses.fields(Config) if f.default is MISSING)]
    for name in (f.name for f in dataclasses.fields(kind) if f.default is not MISSING)
}


def outside(allowed, kind):
    """Values next to what a field allows."""
    match allowed:
        case Interval():
            (low, high), (with_low, with_high) = allowed.bounds, allowed.is_closed
            if kind is int:
                return [int(low) - with_low, int(high) + with_high]
            below, above = math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
            return [below if with_low else low, above if with_high else high, math.nan, math.inf, -math.inf]
        case Choices():
            return [0, 3] if kind is int else ["Small", ""]
        case FolderName():
            return ["", ".", "..", "../x", "a/b", "/a", "a\\b", "-a", "~", " a", "a" * 101]


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_says_what_it_may_hold_and_nothing_else_is_taken(field):
    section, name = FIELDS[field]
    config = Config()
    holder = getattr(config, section) if section else config
    kind, default = field_types()[field], getattr(holder, name)
    allowed = allowed_in(type(holder)).get(name)
    if allowed is None:
        assert kind in (bool, str, tuple), "a number has an interval"
        wrong = {bool: [1, "True"], str: [1, None, "a\0"], tuple: ["a", [], (1,)]}[kind]
    else:
        wrong = [*outside(allowed, kind), None, True, 1 if kind is str else "1"]
    for value in wrong:
        setattr(holder, name, value)
        with pytest.raises(UserError, match=rf"^config\.{field} is .*: expected "):
            check(config)
    setattr(holder, name, default)
    check(config)


@pytest.mark.parametrize(
    "text, inside, outside, words",
    [
        ("[0, 1)", [0, 0.5, 0.9999], [-1e-9, 1, 1 - 1e-12], "0 or more and less than 1"),
        ("(0, 1]", [1e-30, 1], [0, 1e-60, 1.0001], "more than 0 and at most 1"),
        ("[-2, 1e6]", [-2, 1e6], [-3, 1e7], "-2 to 1e6"),
        ("(-1, 1)", [0], [-1, 1], "more than -1 and less than 1"),
    ],
)
def test_intervals(text, inside, outside, words):
    """A float counts as the float32 that steps compute with: 1 - 1e-12 is 1, and 1e-60 is 0."""
    interval = Interval(text)
    assert all(value in interval for value in inside)
    assert not any(value in interval for value in (*outside, math.nan, math.inf, -math.inf))
    assert str(interval) == words


def test_a_field_that_a_config_file_misspells_is_told_with_the_nearest():
    config = Config()
    config.train.step = 5
    with pytest.raises(UserError, match=r"^config.train.step is set, but no config has this field: .*config.train.steps$"):
        check(config)


@pytest.mark.parametrize("decay_after, steps", [(1.0, 20), (0.99, 20), (0.6, 1)])
def test_a_rate_that_is_to_fall_evenly_has_steps_to_fall_in(decay_after, steps):
    config = changed(optimizer__decay="linear", optimizer__decay_after=decay_after, train__steps=steps)
    with pytest.raises(UserError, match=rf"decay is 'linear', but decay_after is {decay_after}.* none of the {steps} steps"):
        check(config)
    config.optimizer.decay_after = 0.5
    check(config)
    config.optimizer.decay, config.optimizer.decay_after = "step", 1.0  # never, as in the paper
    check(config)


def test_check_takes_a_whole_number_for_a_float():
    config = changed(optimizer__learning_rate=1)
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
    assert from_json('{"loss": {"vehicle_motion": 5.0}}') == Config()  # of an earlier version


@pytest.mark.parametrize(
    "text, sentence",
    [
        ('{"train": {"stpes": 5}}', "field config.train.stpes, which this version of dopi_jax does not know"),
        ('{"name": "x", "flow": {}}', "field config.flow, which"),
        ('{"name": ', "the stored config is not JSON"),
        ("[1, 2]", r"the stored config has \[1, 2\] for config, expected its fields"),
        ('{"train": 5}', "the stored config has 5 for config.train, expected its fields"),
        ('{"data": {"train": 5}}', r"cannot be read \(config.data.train is 5: expected a tuple of strings"),
        ('{"train": {"steps": "5"}}', r"cannot be read \(config.train.steps is '5': expected int"),
        ('{"model": {"depth": ["lite"]}}', r"cannot be read \(config.model.depth is \('lite',\): expected str"),
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
