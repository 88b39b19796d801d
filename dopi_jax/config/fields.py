"""Every hyper-parameter, once: its default, its unit, and where it comes from.

The defaults are the paper's, at the paper's size. A file in configs/ changes the few values that make its experiment, and
`--config.section.field=value` changes one more. A number's interval follows its default, and of choices the first is the
default; check.py refuses what lies outside. "D" numbers name the places where the paper's text and the published code
differ; docs/paper_and_code.md lists them.
"""

import dataclasses
import typing
from dataclasses import dataclass, field

from dopi_jax.config.ranges import folder_name, number, one_of

_COUNT = "[1, 2147483647]"  # of 32 bits, as steps are counted in
_WEIGHT = "[0, 1e6]"


@dataclass
class DataConfig:
    """Where frames come from and what is done to them."""

    # a folder with kitti_raw/ and so on, a prepared set, own images or video, or several of these, separated by commas;
    # empty: the environment variable DOPI_DATA
    root: str = ""
    train: tuple[str, ...] = ("kitti_raw:eigen",)  # selections "set:which[from:to]", see dopi_jax.data.select
    validation: tuple[str, ...] = ("kitti_raw:eigen_val",)
    pose_test: tuple[str, ...] = ("kitti_odometry:09", "kitti_odometry:10")  # sequences that --task pose evaluates
    # in metres above the road, of the camera of pose_test: --task pose then also gives drift in metres by it; 0: unknown
    camera_height: float = number(0.0, "[0, 100]")
    height: int = number(256, "[32, 8192]")  # pixels
    width: int = number(832, "[32, 8192]")
    augment: bool = True  # flip and scale-crop
    # largest relative change of brightness, contrast, saturation in what the networks see
    colour_jitter: float = number(0.0, "[0, 1)")
    # change what the networks see beyond what cameras do: gamma, uneven light, exchanged colours, blur, noise, patches
    strong_augment: bool = False
    splice: bool = False  # show the depth network, every second time, images that are put together of two
    cache: bool = True  # keep decoded frames in memory if all of them fit into 4 GiB
    on_device: bool = False  # keep all training frames in every accelerator's memory: height x width x 3 bytes each
    # share of the training frames that may be unreadable; beyond it the training ends
    max_bad_frames: float = number(0.01, "[0, 1]")
    # of one's own footage: "fx,fy,cx,cy" in pixels or a file with them; empty: the field of view, intrinsics.txt beside the
    # frames, EXIF, or an announced guess. "learned", for any data: the same without this field is where training starts, and
    # phase 1 learns one factor on the focal length
    intrinsics: str = ""
    field_of_view: float = number(0.0, "[0, 180)")  # of one's own footage, horizontal, in degrees; 0: unknown
    # of one's own footage, frames from one of a snippet to the next; 0: by measured motion
    stride: int = number(0, "[0, 10000]")

    @property
    def learns_focal_length(self) -> bool:
        """Whether depth and motion go with a focal length that is learnt with them."""
        return self.intrinsics == "learned"


@dataclass
class ModelConfig:
    """The networks."""

    depth: str = one_of("resnet6", "resnet_s6", "lite")  # D1
    pose: str = one_of("b6", "lite")
    pretrained: bool = True  # whether a new run of "lite" networks starts from ImageNet weights
    # how often the pose network looks again, at sources warped by depth and the motion so far
    pose_refinements: int = number(0, "[0, 10]")
    flow: str = one_of("back2future", "lite")  # phase 2 alone has it
    flow_bias: str = one_of("zero", "uniform")  # how its biases start; uniform: from U(0, 1) as in the published code
    rotation: str = one_of("euler", "quaternion", "so3")


@dataclass
class ReconstructionConfig:
    """How an image that was reconstructed from its neighbour is compared, and which pixels count, in both phases."""

    occlusion: bool = True  # multiply by the masks of eq. 5 ("Occ")
    occlusion_rule: str = one_of("projection", "depth_comparison")  # the paper's is the first (docs/occlusion.md)
    # relative depth difference within one surface; 0 is the paper's, 0.05 for comparison
    occlusion_tolerance: float = number(0.0, "[0, 1]")
    occlusion_rounds: int = number(1, "[1, 100]")  # mutual projections (Remark 1)
    less_than_mean: bool = True  # multiply by the mask of eq. 6 ("LTM")
    # times the mean; 3 is about what the published code does in phase 1 (D7)
    less_than_mean_factor: float = number(1.0, "(0, 1e6]")
    census: bool = False  # compare images by their census distance instead of eq. 3; not in the paper
    ssim_weight: float = number(0.85, "[0, 1]")  # 1 - lambda_sigma of eq. 3
    penalty: str = one_of("charbonnier", "power")  # D2
    sum_channels: bool = False  # add the error over channels instead of averaging it (D6)
    mask_inside_penalty: bool = False  # masked pixels add the constant rho(0), without gradient (D8)


@dataclass
class LossConfig(ReconstructionConfig):
    """The objective of phase 1: depth and pose (paper eq. 13)."""

    reconstruction: float = number(1.0, _WEIGHT)  # weight w_R
    smoothness: float = number(0.2, _WEIGHT)  # weight w_S
    scales: int = number(1, "[1, 6]")  # disparities trained on, finest first, each against images of its size (D11)
    smoothness_normalization: str = one_of("max", "mean")  # eq. 9, "MN", or the baseline of Fig. 10
    normalize_all_disparities: bool = False  # divide disparity by its maximum before everything, not in smoothness only (D9)
    # what ",modern" adds, after monodepth2 and SC-SfMLearner; not in the paper
    per_pixel_minimum: bool = False  # the source that fits best at a pixel is the one that counts there
    auto_mask: bool = False  # a pixel counts only where the warped source fits better than the source as it is
    full_size: bool = False  # disparities of all scales are enlarged and compared with images of full size
    consistency: float = number(0.0, _WEIGHT)  # weight of the contradiction between the depths of target and sources
    # weight of the pose network's difference to the motion of matched corners, which warps
    matched_motion: float = number(0.0, _WEIGHT)
    # weight of the difference of depth to that of these corners, by the same motion
    matched_depth: float = number(0.0, _WEIGHT)
    # weight of the departure from the depth of `init_from`, where the image is plain
    distillation: float = number(0.0, _WEIGHT)
    # weight of the departure from what the sources make of the depth of `init_from` along the motion of these corners
    motion_stereo: float = number(0.0, _WEIGHT)

    @property
    def needs_source_depth(self) -> bool:
        """Whether the depth of the sources enters at all."""
        return self.occlusion or self.consistency > 0

    @property
    def needs_matches(self) -> bool:
        """Whether corners followed between frames enter at all."""
        return self.matched_motion > 0 or self.matched_depth > 0 or self.motion_stereo > 0

    @property
    def needs_known_depth(self) -> bool:
        """Whether the depth network that the run starts from enters."""
        return self.distillation > 0 or self.motion_stereo > 0


@dataclass
class FlowLossConfig(ReconstructionConfig):
    """The objective of phase 2: optical flow (paper eq. 14), summed over the scales of the network."""

    # the two of phase 1, or where flow there and back do not agree
    occlusion_rule: str = one_of("projection", "depth_comparison", "forward_backward")
    reconstruction: float = number(1.0, _WEIGHT)  # weight w_R
    consistency: float = number(0.1, _WEIGHT)  # weight w_C ("Cons")
    smoothness: float = number(0.005, _WEIGHT)  # weight w_S
    consistency_ltm: str = one_of("none", "photometric", "residual")  # D13, eq. 12, or less than the mean distance
    finest_only: bool = False  # consistency and smoothness on the finest scale alone (D12)
    # what ",modern" adds, after UnFlow, UFlow and SMURF; not in the paper
    smoothness_order: int = one_of(1, 2)  # of the differences of flow
    smoothness_sharpness: float = number(1.0, "[0, 1e6]")  # times the difference of colours that lets flow change
    # weight of what flow of a cut-out misses of that of the whole images, where these show it
    students: float = number(0.0, _WEIGHT)
    # weight of the distance of flow to corners followed from frame to frame, in pixels
    matched_flow: float = number(0.0, _WEIGHT)
    matched_motion: bool = False  # the rigid flow follows such corners, the networks give its depth and scale
    # share of the snippets of which the network "lite" is shown the rigid flow beside the images
    shown_rigid: float = number(0.0, "[0, 1]")

    @property
    def needs_matches(self) -> bool:
        """Whether corners followed between frames enter at all."""
        return self.matched_motion or self.matched_flow > 0

    @property
    def needs_returning_flow(self) -> bool:
        """Whether the flow from the sources to the target enters: what it does not undo is hidden."""
        return self.occlusion_rule == "forward_backward" or self.students > 0

    @property
    def needs_depthpose(self) -> bool:
        """Whether depth and motion enter at all; in "basic" they do not."""
        return self.occlusion or self.consistency > 0 or self.shown_rigid > 0


@dataclass
class OptimizerConfig:
    """Adam, at a constant rate in the paper."""

    learning_rate: float = number(1e-4, "(0, 1]")  # D29
    # steps over which the rate rises evenly to learning_rate; 0: none
    warmup: int = number(0, "[0, 2147483647]")
    # how the rate falls; step: to a tenth, linear: evenly, to nothing at the end of the training
    decay: str = one_of("step", "linear")
    # share of the steps after which it falls; 1: never, as in the paper
    decay_after: float = number(1.0, "[0, 1]")
    beta1: float = number(0.9, "[0, 1)")
    beta2: float = number(0.999, "[0, 1)")
    epsilon: float = number(1e-8, "[1e-20, 1]")
    clip_norm: float = number(0.0, "[0, 1e6]")  # a longer gradient is shortened to this norm; 0: it is not
    # times learning_rate for the encoder of "lite", which starts from good features
    encoder_rate: float = number(1.0, "[0, 1000]")


@dataclass
class TrainConfig:
    """The schedule, and what is written when; all periods in steps."""

    steps: int = number(186_813, _COUNT)  # Table II, the full row
    batch_size: int = number(4, "[1, 65536]")  # snippets over all devices
    # parts of a device's share of a batch that are done one after the other, for less memory; batch normalisation sees each
    # part by itself
    accumulate: int = number(1, "[1, 65536]")
    # whether the backward pass computes again all but the results of convolutions, for less memory on a GPU
    rematerialise: bool = False
    seed: int = number(0, "[0, 4294967295]")  # of 32 bits, which is what JAX makes keys of
    # of the mean of the parameters over about 1 / (1 - average) steps, which is what is evaluated; 0: the last ones are
    average: float = number(0.0, "[0, 1)")
    # of the networks in a train step; products of float32 are TF32 on a GPU; parameters, geometry, losses and evaluation are
    # float32 always
    precision: str = one_of("float32", "bfloat16")
    # steps whose loss or gradient is not finite are skipped; so many in a row end the training
    max_bad_steps: int = number(10, _COUNT)
    log_every: int = number(50, _COUNT)
    image_every: int = number(1_000, _COUNT)
    validate_every: int = number(1_000, _COUNT)
    validation_batches: int = number(50, _COUNT)  # at most, spread evenly over the validation snippets
    checkpoint_every: int = number(1_000, _COUNT)
    keep_checkpoints: int = number(3, _COUNT)  # the last ones; the best by validation is kept besides
    # latest trusts the schedule; abs_rel is for phase 1 and needs lidar in the validation drives, epe is for phase 2 (D23)
    best_by: str = one_of("photometric", "latest", "abs_rel", "epe")


@dataclass
class PredictionConfig:
    """How trained networks are applied."""

    mirrored_pass: bool = False  # disparity is the mean of that of the image and of its mirror image; takes twice as long
    # frames of any shape are resized to as many pixels as in training, without stretching them; else to height x width
    keep_aspect: bool = False
    matched_motion: bool = False  # motion is fitted to corners followed from frame to frame, the networks give its scale
    # the rigid flow that network "lite" looks at is of depth that the other image makes better, see dopi_jax.motion_stereo
    motion_stereo: bool = False


@dataclass
class Config:
    """One experiment."""

    name: str = folder_name("kitti_depthpose")  # of the run's folder in runs/, where --workdir names no other
    phase: str = one_of("depthpose", "flow")  # phase 1, phase 2
    init_from: str = ""  # what this run starts from, at step 0: a run's folder, a model file, "driving"; any image size
    # phase 2: whose depth and pose networks teach the flow: a phase-1 run's folder (its best), a model file, or "driving"
    depthpose: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    flow_loss: FlowLossConfig = field(default_factory=FlowLossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    prediction: PredictionConfig = field(default_factory=PredictionConfig)

    @property
    def needs_matches(self) -> bool:
        """Whether the phase's objective needs corners followed between frames."""
        return (self.loss if self.phase == "depthpose" else self.flow_loss).needs_matches

    @property
    def predicts_along_matches(self) -> bool:
        """Whether the rigid flow that a flow network is shown goes along the motion of followed corners."""
        return self.prediction.matched_motion or self.flow_loss.matched_motion

    @property
    def trains_camera(self) -> bool:
        """Whether a train step changes a focal length: phase 2 takes what phase 1 has learnt."""
        return self.phase == "depthpose" and self.data.learns_focal_length


def field_types(section: type = Config, prefix: str = "") -> dict[str, type]:
    """Returns the type of every field of a config by dotted name, such as "optimizer.learning_rate"."""
    types = {}
    for name, kind in typing.get_type_hints(section).items():
        if dataclasses.is_dataclass(kind):
            types |= field_types(kind, f"{prefix}{name}.")
        else:
            types[prefix + name] = typing.get_origin(kind) or kind
    return types
