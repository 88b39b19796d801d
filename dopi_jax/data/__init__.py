"""Recorded video as training snippets and evaluation frames, read from the data sets' official folder layouts.

    images · calibration · snippets      a frame, a calibration file, a sequence of frames
    kitti_raw · kitti_odometry           the official layouts as sequences
    cityscapes                           likewise, every second frame and without the bonnet
    kitti_flow                           the pairs of KITTI 2015 with true flow
    tracking · survey · recording        what moves from frame to frame of one's own footage, its shots and stride
    footage · video_frames · preflight   its camera, its frames out of a video, the report before training
    images · video (in sources)          folders of images and videos as sequences
    splits                               which frames train, validate and test
    selection                            config text -> sequences            <- everything above
    velodyne                             laser scan -> ground-truth depth
    augment · pipeline                   sequences -> batches; the only modules that import TensorFlow

Images are uint8 RGB [height, width, 3]; sizes are (height, width); intrinsics are 3x3 in pixels of the image at hand,
pixel centres at integers.
"""

import os

# Before TensorFlow is imported: without these it prints remarks about the processor at every start.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
