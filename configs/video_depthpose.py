"""Phase 1 on your own footage, starting from the shipped model: a video, several, or folders of images.

    python train.py --config configs/video_depthpose.py --config.data.root=walk.mp4
    python train.py --config configs/video_depthpose.py --config.data.root=FOLDER --config.data.intrinsics=700,700,640,360

`dopi-jax video my.mp4 --out DIR` does the same for some minutes, measures whether it helped, and predicts. There is no
number to expect: compare the validation error in metrics.jsonl with that of the first lines.

- Camera: config.data.intrinsics (fx,fy,cx,cy in pixels of the footage, or a file), else config.data.field_of_view in
  degrees, intrinsics.txt beside the frames, a photo's EXIF data, or a guess with a warning. With
  --config.data.intrinsics=learned that is the start, and the focal length is learnt (docs/experiments.md says how
  well).
- Footage: the camera must move through a scene that mostly stands still. A camera that only turns shows no depth. A
  report before training tells what there is to learn from. config.data.stride sets the frames between those of a
  snippet, by default chosen by how much moves. The last tenth of each shot validates.
- Size: 192x352 keeps the shape of 16:9 video; the report names a size for other shapes.
- Start: the weights "driving", near whose depth it is held where the image is plain (loss.distillation); with
  --config.init_from= --config.loss.distillation=0 --config.loss.matched_motion=0 --config.loss.matched_depth=0 ImageNet's
  alone. (Corners take their scale from the motion network, which knows none then: depth would collapse.)
"""

from dopi_jax.config import Config, config_beside

_driving_config = config_beside(__file__, "driving_depthpose")


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II, each optionally with a preset."""
    config = _driving_config(variant)
    config.name = config.name.replace("driving_depthpose", "video_depthpose")
    config.data.height, config.data.width = 192, 352
    config.data.train = ("images:all[:90%]", "video:all[:90%]")
    config.data.validation = ("images:all[90%:]", "video:all[90%:]")
    config.data.pose_test = ()
    config.loss.distillation = 0.5
    config.optimizer.learning_rate = 1e-4
    config.optimizer.decay_after = 0.5
    config.train.average = 0.98
    config.train.steps = 600
    return config
