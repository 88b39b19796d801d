"""Recorded video as training snippets and evaluation frames.

    images · intrinsics · calibration    a frame, a camera, a calibration file
    snippets · splits                    a sequence of frames; which frames train, validate and test
    tracking                             corners followed from frame to frame
    survey · recording                   what moves in one's own footage, its shots and stride
    footage · video_frames               its camera, its frames out of a video
    sources/                             where frames come from, a module each, and the table of them
    selection                            config text -> sequences            <- sources
    velodyne · improved_depth            laser scans, or several and stereo, as ground-truth depth
    inputs                               the inputs that `predict` takes
    preflight                            the report on one's own footage before training
    prepare                              frames of any source -> one set that trains anywhere
    order · reader                       the order of snippets, and reading their frames
    tf_loader · grain_loader             samples -> batches; tf_loader is the only module that imports TensorFlow
    pipeline                             sequences -> batches                <- everything above

Images are uint8 RGB [height, width, 3]; sizes are (height, width); intrinsics are 3x3 in pixels of the image at hand,
pixel centres at integers.
"""

import os

# Before TensorFlow is imported: without these it prints remarks about the processor at every start.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
