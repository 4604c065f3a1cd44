import re
from pathlib import Path

import numpy as np
import pytest

from geoset.geometry.camera import Camera
from geoset.scans.scan import Frame, FrameError, Scan, count_reasons

CAMERA = Camera(np.array([[50.0, 0, 20], [0, 50, 15], [0, 0, 1]]), 40, 30)


def frame(height=30, width=40):
    return Frame(
        name="seq-01/7",
        camera=CAMERA,
        world_from_camera=np.eye(4),
        read_image=lambda: np.zeros((height, width, 3), np.uint8),
        read_depth=lambda: np.zeros((height, width), np.float32),
        depth_camera=CAMERA,
    )


def test_images_fit_their_cameras():
    assert frame().image().shape == (30, 40, 3)
    assert frame().depth().shape == (30, 40)
    np.testing.assert_array_equal(frame().depth_camera_from_camera, np.eye(4))


@pytest.mark.parametrize(("read", "kind"), [(Frame.image, "colour"), (Frame.depth, "depth")])
def test_image_that_changed_its_size(read, kind):
    text = f"seq-01/7: {kind} image is 41x30, expected 40x30"
    with pytest.raises(FrameError, match=re.escape(text)) as found:
        read(frame(width=41))
    assert found.value.reason == f"{kind} image of another size than its camera"


def test_scan_is_named_after_its_folder(tmp_path, monkeypatch):
    (tmp_path / "kitchen").mkdir()
    monkeypatch.chdir(tmp_path / "kitchen")
    assert Scan(Path(), "layout", []).name == "kitchen"


def test_reasons_are_counted_most_frequent_first():
    rejected = [("a", "dark"), ("b", "lost"), ("c", "lost"), ("d", "dark"), ("e", "lost")]
    assert list(count_reasons(rejected).items()) == [("lost", 3), ("dark", 2)]
    assert count_reasons([]) == {}
