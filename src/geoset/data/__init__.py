"""Batches of prepared scenes, and the augmentation of their images."""
