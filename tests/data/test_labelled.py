import numpy as np
import pytest
import torch

from geoset.data.labelled import read_labelled
from geoset.errors import GeosetError
from scan_folders import write_folder_scan

K = np.array([[40.0, 0, 15.5], [0, 40, 11.5], [0, 0, 1]])
SHAPE = (24, 32)


def write_scan(path, frames, first=0, labels=True):
    """Frame k is of colour (k, 2k, 255) and labelled k on the left, and 0, none, on the right."""
    numbers = range(first, first + frames)
    images = [np.full((*SHAPE, 3), (k, 2 * k, 255), np.uint8) for k in numbers]
    maps = [np.repeat([[k, 0]], 24, axis=0).repeat(16, axis=1) for k in numbers]
    depths = [np.ones(SHAPE, np.float32)] * frames
    return write_folder_scan(
        path, images, depths, [np.eye(4)] * frames, K, labels=maps if labels else None
    )


def test_frames_are_spread_evenly_over_each_scan(tmp_path):
    scans = [write_scan(tmp_path / "a", 9, first=1), write_scan(tmp_path / "b", 2, first=20)]
    found = read_labelled(scans, 3)
    assert found.images.dtype == torch.uint8
    assert found.images.shape == (5, 3, 24, 32)
    assert found.images[:, :, 0, 0].tolist() == [[k, 2 * k, 255] for k in (1, 5, 9, 20, 21)]


def test_label_k_is_class_k_minus_one_and_0_is_none(tmp_path):
    found = read_labelled([write_scan(tmp_path / "a", 3, first=1)], 3)
    assert found.labels.dtype == torch.int64
    assert found.labels.shape == (3, 24, 32)
    for k in range(3):
        assert found.labels[k, :, :16].unique().tolist() == [k]
        assert found.labels[k, :, 16:].unique().tolist() == [-1]


def test_a_scan_without_labels(tmp_path):
    scan = write_scan(tmp_path / "a", 2, labels=False)
    with pytest.raises(GeosetError, match="no label images 'semantic'; available: none"):
        read_labelled([scan], 2)
