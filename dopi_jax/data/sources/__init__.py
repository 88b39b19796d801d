"""The places that frames come from, a module each; one that is added here can be selected by its name.

A source has

    HOW_TO_GET                                   where the data come from, for messages
    items(root)                                  names of what lies under a root: drives, sequences, cities, folders, videos
    choose(name, at_hand, where)                 which of them a selection's name means
    check_training(selection, items)             refuses or warns of what is tested on
    read(root, item, footage)                    an item's sequences

`prepared` and `kitti_flow` stand apart: a prepared set holds frames of any of the others under their names, with the corners
of `prepared_matches`, and the pairs of KITTI 2015 are for tests alone.
"""

from types import ModuleType

from dopi_jax.data.sources import cityscapes, images, kitti_flow, kitti_odometry, kitti_raw, prepared, video
from dopi_jax.data.sources.choice import EmptySplit, NoFootage

SOURCES: dict[str, ModuleType] = {
    kitti_raw.FOLDER: kitti_raw,
    kitti_odometry.FOLDER: kitti_odometry,
    cityscapes.FOLDER: cityscapes,
    "images": images,
    "video": video,
}
"""By the word before the colon of a selection."""

__all__ = [
    "SOURCES",
    "EmptySplit",
    "NoFootage",
    "cityscapes",
    "images",
    "kitti_flow",
    "kitti_odometry",
    "kitti_raw",
    "prepared",
    "video",
]
