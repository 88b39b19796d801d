"""Every hyper-parameter, once: its default, its unit, and where it comes from.

The defaults are the paper's, at the paper's size. A file in configs/ changes the few values that make its experiment, and
`--config.section.field=value` changes one more. "D" numbers name the places where the paper's text and the published code
differ; docs/paper_and_code.md lists them.
"""

import dataclasses
import typing
from dataclasses import dataclass, field


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
    camera_height: float = 0.0
    height: int = 256  # pixels
    width: int = 832
    augment: bool = True  # flip and scale-crop
    colour_jitter: float = 0.0  # largest relative change of brightness, contrast, saturation in what the networks see
    splice: bool = False  # show the depth network, every second time, images that are put together of two
    cache: bool = True  # keep decoded frames in memory if all of them fit into 4 GiB
    on_device: bool = False  # keep all training frames in every accelerator's memory: height x width x 3 bytes each
    max_bad_frames: float = 0.01  # share of the training frames that may be unreadable; beyond it the training ends
    # of one's own footage: "fx,fy,cx,cy" in pixels or a file with them; empty: the field of view, intrinsics.txt beside the
    # frames, EXIF, or an announced guess. "learned", for any data: the same without this field is where training starts, and
    # phase 1 learns one factor on the focal length
    intrinsics: str = ""
    field_of_view: float = 0.0  # of one's own footage, horizontal, in degrees; 0: unknown
    stride: int = 0  # of one's own footage, frames from one of a snippet to the next; 0: by measured motion

    @property
    def learns_focal_length(self) -> bool:
        """Whether depth and motion go with a focal length that is learnt with them."""
        return self.intrinsics == "learned"


@dataclass
class ModelConfig:
    """The networks."""

    depth: str = "resnet6"  # "resnet6" | "resnet_s6" | "small" | "lite" (D1)
    pose: str = "b6"  # "b6" | "small" | "lite"
    pretrained: bool = True  # whether a new run of "lite" networks starts from ImageNet weights
    pose_refinements: int = 0  # how often the pose network looks again, at sources warped by depth and the motion so far
    flow: str = "back2future"  # "back2future" | "small" | "lite"; phase 2 alone has it
    flow_bias: str = "zero"  # how its biases start: "zero" | "uniform", from U(0, 1) as in the published code
    rotation: str = "euler"  # "euler" | "quaternion" | "so3"


@dataclass
class ReconstructionConfig:
    """How an image that was reconstructed from its neighbour is compared, and which pixels count, in both phases."""

    occlusion: bool = True  # multiply by the masks of eq. 5 ("Occ")
    # "projection" (the paper's) | "depth_comparison" | in phase 2 also "forward_backward" (docs/occlusion.md)
    occlusion_rule: str = "projection"
    occlusion_tolerance: float = 0.0  # relative depth difference within one surface; 0 is the paper's, 0.05 for comparison
    occlusion_rounds: int = 1  # mutual projections (Remark 1)
    less_than_mean: bool = True  # multiply by the mask of eq. 6 ("LTM")
    less_than_mean_factor: float = 1.0  # times the mean; 3 is about what the published code does in phase 1 (D7)
    census: bool = False  # compare images by their census distance instead of eq. 3; not in the paper
    ssim_weight: float = 0.85  # 1 - lambda_sigma of eq. 3
    penalty: str = "charbonnier"  # "charbonnier" | "power" (D2)
    sum_channels: bool = False  # add the error over channels instead of averaging it (D6)
    mask_inside_penalty: bool = False  # masked pixels add the constant rho(0), without gradient (D8)


@dataclass
class LossConfig(ReconstructionConfig):
    """The objective of phase 1: depth and pose (paper eq. 13)."""

    reconstruction: float = 1.0  # weight w_R
    smoothness: float = 0.2  # weight w_S
    scales: int = 1  # disparities trained on, finest first, each against images of its size (D11)
    smoothness_normalization: str = "max"  # "max" (eq. 9, "MN") | "mean" (the baseline of Fig. 10)
    normalize_all_disparities: bool = False  # divide disparity by its maximum before everything, not in smoothness only (D9)
    # what ",modern" adds, after monodepth2 and SC-SfMLearner; not in the paper
    per_pixel_minimum: bool = False  # the source that fits best at a pixel is the one that counts there
    auto_mask: bool = False  # a pixel counts only where the warped source fits better than the source as it is
    full_size: bool = False  # disparities of all scales are enlarged and compared with images of full size
    consistency: float = 0.0  # weight of the contradiction between the depths of target and sources
    vehicle_motion: float = 0.0  # weight of what a car hardly does: move sideways or upwards, change its speed at once
    matched_motion: float = 0.0  # weight of the pose network's difference to the motion of matched corners, which warps
    matched_depth: float = 0.0  # weight of the difference of depth to that of these corners, by the same motion
    distillation: float = 0.0  # weight of the departure from the depth of `init_from`, where the image is plain

    @property
    def needs_source_depth(self) -> bool:
        """Whether the depth of the sources enters at all."""
        return self.occlusion or self.consistency > 0

    @property
    def needs_matches(self) -> bool:
        """Whether corners followed between frames enter at all."""
        return self.matched_motion > 0 or self.matched_depth > 0


@dataclass
class FlowLossConfig(ReconstructionConfig):
    """The objective of phase 2: optical flow (paper eq. 14), summed over the scales of the network."""

    reconstruction: float = 1.0  # weight w_R
    consistency: float = 0.1  # weight w_C ("Cons")
    smoothness: float = 0.005  # weight w_S
    consistency_ltm: str = "none"  # "none" (D13) | "photometric" (eq. 12) | "residual": less than the mean distance
    finest_only: bool = False  # consistency and smoothness on the finest scale alone (D12)
    # what ",modern" adds, after UnFlow, UFlow and SMURF; not in the paper
    smoothness_order: int = 1  # of the differences of flow: 1 (the paper's) | 2
    smoothness_sharpness: float = 1.0  # times the difference of colours that lets flow change
    students: float = 0.0  # weight of what flow of a cut-out misses of that of the whole images, where these show it
    matched_flow: float = 0.0  # weight of the distance of flow to corners followed from frame to frame, in pixels
    matched_motion: bool = False  # the rigid flow follows such corners, the networks give its depth and scale
    shown_rigid: float = 0.0  # share of the snippets of which the network "lite" is shown the rigid flow beside the images

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

    learning_rate: float = 1e-4  # D29
    decay: str = "step"  # how the rate falls: "step": to a tenth | "linear": evenly, to nothing at the end of the training
    decay_after: float = 1.0  # share of the steps after which it falls; 1: never, as in the paper
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    encoder_rate: float = 1.0  # times learning_rate for the encoder of "lite", which starts from good features


@dataclass
class TrainConfig:
    """The schedule, and what is written when; all periods in steps."""

    steps: int = 186_813  # Table II, the full row
    batch_size: int = 4  # snippets over all devices
    seed: int = 0
    # of the mean of the parameters over about 1 / (1 - average) steps, which is what is evaluated; 0: the last ones are
    average: float = 0.0
    # of the networks in a train step: "float32" (whose products are TF32 on a GPU) | "bfloat16"; parameters, geometry,
    # losses and evaluation are float32 always
    precision: str = "float32"
    log_every: int = 50
    image_every: int = 1_000
    validate_every: int = 1_000
    validation_batches: int = 50  # at most, spread evenly over the validation snippets
    checkpoint_every: int = 1_000
    keep_checkpoints: int = 3  # the last ones; the best by validation is kept besides
    # "photometric" | "latest", which trusts the schedule; phase 1 also "abs_rel" (needs lidar in the validation drives),
    # phase 2 "epe" (D23)
    best_by: str = "photometric"


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

    name: str = "kitti_depthpose"
    phase: str = "depthpose"  # "depthpose" (phase 1) | "flow" (phase 2)
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
