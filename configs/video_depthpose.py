"""Phase 1 on one's own footage, a video, several, or folders of images: the shipped model, trained on.

`dopi-jax video my.mp4 --out DIR` does it for some minutes, sees whether it helped, and predicts.

    python train.py --config configs/video_depthpose.py --config.data.root=walk.mp4
    python train.py --config configs/video_depthpose.py --config.data.root=FOLDER --config.data.intrinsics=700,700,640,360

The camera should be known: config.data.intrinsics (fx,fy,cx,cy in pixels of the footage, or a file), a file intrinsics.txt
beside the frames, config.data.field_of_view in degrees, or a photo's EXIF data; else a phone's is taken, with a warning.
With --config.data.intrinsics=learned that is a start, and the focal length is learnt (docs/experiments.md says how well).
Before training a report tells what there is to learn from: the camera must move through a scene that stands still for the
most part, without cuts; a camera that only turns shows no depth. config.data.stride sets how many frames lie between those
of a snippet, which else follows from how much moves. The last tenth of each shot validates.

192x352 keeps the shape of usual video (16:9); the report names a size for footage of another shape. The networks start from
the weights "driving", and where the image is plain depth is held near theirs (loss.distillation); with
--config.init_from= --config.loss.distillation=0 they start from ImageNet's alone. Nothing is assumed of the motion, which
follows corners from frame to frame.
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
