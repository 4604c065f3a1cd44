"""Cameras, meshes, fusion, ray casting and over-segmentation: numpy and numba, never torch."""
