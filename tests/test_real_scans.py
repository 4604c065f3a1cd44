"""Two real scans, sensor noise, holes and all. Skipped, saying so, where they are not at hand."""

from pathlib import Path

import numpy as np
import pytest

from geoset import PreparedScene, open_scan
from geoset.prepare.run import prepare_scene
from geoset.recipes import PrepareSettings

SCANS = Path(__file__).parents[2] / "shared" / "data"
FRAME_STEP = {"redkitchen": 5, "office": 1}


@pytest.fixture(scope="module", params=["redkitchen", "office"])
def scan(request):
    path = SCANS / request.param
    if not path.is_dir():
        pytest.skip(f"no real scan in {path}")
    return path


@pytest.fixture(scope="module")
def scene(scan, tmp_path_factory):
    out = tmp_path_factory.mktemp("real")
    prepare_scene(scan, out, PrepareSettings(frame_step=FRAME_STEP[scan.name]))
    return PreparedScene(out / scan.name)


def test_every_frame_is_usable(scan):
    opened = open_scan(scan)
    assert opened.rejected == []
    assert len(opened.frames) == {"redkitchen": 100, "office": 63}[scan.name]
    depth = opened.frames[0].depth()
    assert 0.5 < np.median(depth[depth > 0]) < 5


def test_most_pixels_with_depth_see_the_surface(scene):
    covered = [frame["covered"] for frame in scene.info["frames"]]
    assert np.mean(covered) > 0.85
    assert scene.info["rejected"] == []


def test_surface_and_sensor_agree(scene):
    residual = [frame["residual"] for frame in scene.info["frames"]]
    assert np.median(residual) < 0.012


def test_a_frame_sees_tens_of_sets_and_one_large_one(scene):
    """Neither shattered walls nor everything in one: the table or the floor is one set."""
    counts, largest = [], []
    for i in range(len(scene)):
        set_map = scene.set_map(i)
        sizes = np.unique(set_map[set_map >= 0], return_counts=True)[1]
        counts.append(len(sizes))
        largest.append(sizes.max() / sizes.sum())
    assert 30 < np.median(counts) < 150
    assert 0.2 < np.median(largest) < 0.8


def test_neighbouring_frames_are_pairs(scene):
    assert len(scene.pairs) >= len(scene)
    neighbours = {(i, i + 1) for i in range(len(scene) - 1)}
    found = {tuple(pair) for pair in scene.pairs.tolist()}
    assert len(neighbours & found) > 0.3 * len(neighbours)
