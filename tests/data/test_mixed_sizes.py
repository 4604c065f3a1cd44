"""A scene of lying and upright images, as phones take them."""

import numpy as np
import pytest

from geoset.data.pairs import PairBatches
from geoset.geometry.camera import Camera
from geoset.geometry.ply import write_ply
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene
from geoset.recipes import PrepareSettings
from geoset.tasks.correspondence import true_matches
from reference.box_room import box_mesh, look_at, see
from scan_formats.nerfstudio import edit_json, write_nerfstudio

LYING = Camera(np.array([[50.0, 0, 32], [0, 50.0, 24], [0, 0, 1]]), 64, 48)
UPRIGHT = Camera(np.array([[50.0, 0, 24], [0, 50.0, 32], [0, 0, 1]]), 48, 64)
CAMERAS = [LYING, UPRIGHT, LYING, UPRIGHT, LYING]
POSES = [look_at((0.6 + 0.05 * k, 0.5, 0.6), (2.0, 1.2 - 0.1 * k, 0.4)) for k in range(5)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    depths = [see(*view).depth for view in zip(CAMERAS, POSES, strict=True)]
    scan = write_nerfstudio(
        folder / "scans/phone",
        [np.full((*depth.shape, 3), 40 * k, np.uint8) for k, depth in enumerate(depths)],
        [np.round(1000 * depth).astype(np.uint16) for depth in depths],
        POSES,
        LYING,
        per_frame=True,
    )

    def turn(content):
        for frame, camera in zip(content["frames"], CAMERAS, strict=True):
            frame |= {"w": camera.width, "h": camera.height}
            frame |= {"cx": camera.K[0, 2], "cy": camera.K[1, 2]}
        return content

    edit_json(scan / "transforms.json", turn)
    write_ply(scan / "mesh.ply", box_mesh())
    prepare_scene(scan, folder, PrepareSettings(image_size=(48, 64), min_overlap=0))
    return PreparedScene(folder / "phone")


def test_both_are_stored_as_they_were_taken(scene):
    assert scene.sizes.tolist() == [[c.height, c.width] for c in CAMERAS]
    assert len(scene.pairs) == 10


def test_a_batch_has_views_of_one_size(scene):
    batches = PairBatches([scene], 1, seed=0)
    assert batches.mixed == 6 and batches.steps_per_epoch == 4
    seen = [batches[step] for step in range(4)]
    frames = sorted(tuple(batch.views[:, 1].tolist()) for batch in seen)
    assert frames == [(0, 2), (0, 4), (1, 3), (2, 4)]
    for batch in seen:
        expected = (64, 48) if (batch.views[:, 1] % 2).all() else (48, 64)
        assert batch.images.shape[2:] == batch.set_ids["geometric"].shape[1:] == expected


def test_matches_are_of_the_frames_of_most(scene):
    matches = true_matches(scene, "all")
    assert matches.size == (48, 64)
    assert matches.frames.tolist() == [[0, 2], [0, 4], [2, 4]]
