"""Random flip, scaling and cropping of a snippet with intrinsics that stay exact; as in the paper, no colour jitter.

All three frames get the same transform. Images are moved so that, with pixel centres at integers, a point that
projected to (x, y) with the old intrinsics projects to where its colour went with the new ones.
"""

import tensorflow as tf

MAX_SCALE = 1.1


def augment(images: tf.Tensor, intrinsics: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Flips with probability 1/2, then scales each axis by its own factor in [1, 1.1] and crops to the same size.

    Args:
      images: float32 [N, H, W, 3]; all get the same transform.
      intrinsics: float32 [3, 3] in pixels of these images.
      seed: int64 [2]; the same seed gives the same transform, whatever was drawn before.

    Returns:
      The images and intrinsics transformed, in the same shapes.
    """
    last = tf.cast(tf.shape(images)[1:3] - 1, tf.float32)[::-1]
    draws = tf.random.stateless_uniform([5], seed)
    scale = 1.0 + (MAX_SCALE - 1.0) * draws[1:3]
    # Whole-pixel offsets for which every output pixel samples inside the image.
    offset = tf.floor(draws[3:5] * (tf.floor((scale - 1.0) * last) + 1.0))
    if draws[0] < 0.5:  # tf.data's map turns this into a graph conditional
        images, intrinsics = flip_horizontally(images, intrinsics)
    return scale_and_crop(images, intrinsics, scale, offset)


def flip_horizontally(images: tf.Tensor, intrinsics: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mirrors left and right: column x goes to W - 1 - x, so cx' = W - 1 - cx (D28).

    Args:
      images: float32 [N, H, W, 3].
      intrinsics: float32 [3, 3] in pixels of these images.

    Returns:
      The images and intrinsics mirrored.
    """
    last = tf.cast(tf.shape(images)[2] - 1, tf.float32)
    mirrored = tf.stack([intrinsics[0, 0], intrinsics[0, 1], last - intrinsics[0, 2]])
    return tf.reverse(images, axis=[2]), tf.concat([mirrored[None], intrinsics[1:]], axis=0)


def scale_and_crop(
    images: tf.Tensor, intrinsics: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Moves the content at (x, y) to scale·(x, y) - offset by bilinear sampling, keeping the image size.

    Args:
      images: float32 [N, H, W, 3].
      intrinsics: float32 [3, 3] in pixels of these images.
      scale: float32 [2], (x, y), at least 1.
      offset: float32 [2], (x, y) in pixels of the scaled image, in 0..(scale - 1)·(size - 1).

    Returns:
      The images and intrinsics scaled and cropped.
    """
    (scale_x, scale_y), (offset_x, offset_y) = tf.unstack(scale), tf.unstack(offset)
    zero = tf.zeros(())
    # Rows of the map from output to input pixels: x = (x' + offset_x) / scale_x.
    input_from_output = [1 / scale_x, zero, offset_x / scale_x, zero, 1 / scale_y, offset_y / scale_y, zero, zero]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(input_from_output)[None],
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",  # rounding may put the last pixel 1e-5 outside
    )
    output_from_input = tf.stack(
        [tf.stack([scale_x, zero, -offset_x]), tf.stack([zero, scale_y, -offset_y]), tf.constant([0.0, 0.0, 1.0])]
    )
    return tf.ensure_shape(moved, images.shape), output_from_input @ intrinsics
