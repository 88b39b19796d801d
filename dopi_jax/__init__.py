"""Unsupervised depth, camera motion and optical flow with occlusion from 3D geometry, in JAX."""
