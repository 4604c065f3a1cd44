"""What the viewer shows and does, without a browser."""

import numpy as np
import pytest
from inward_room import inward_mesh

from geoset.errors import GeosetError
from geoset.prepare.groups import write_grouping
from geoset.prepare.scene import PreparedScene
from geoset.recipes import PrepareSettings
from geoset.tasks.prepare import prepare
from geoset.viewer.session import Session
from geoset.viewer.surface_colors import NOTHING, count_colors, frame_counts, label_colors
from reference.box_room import CAMERA, POSES, write_box_room


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("box")
    write_box_room(folder / "scans/box", mesh=inward_mesh())
    settings = PrepareSettings(image_size=(96, 128), min_overlap=0.05)
    prepare(folder / "scans", folder / "prepared", settings)
    return folder / "prepared/box"


@pytest.fixture
def session(prepared, tmp_path):
    return Session([PreparedScene(prepared)], tmp_path / "labels")


def test_colorings(prepared, session):
    scene = session.scene
    assert session.colorings == ["colour", "sets: geometric", "frames that see it", "names"]
    groups = np.arange(scene.sets().max() + 1, dtype=np.int32) % 2
    write_grouping([scene], "two", "geometric", [groups], 2, {"by": "hand"})
    with_features = Session([PreparedScene(prepared)], session.folder, lambda s: s.colors[::-1])
    assert with_features.colorings[2] == "groups: two"
    assert with_features.colorings[-1] == "features"
    for coloring in with_features.colorings:
        colors = with_features.surface_colors(coloring)
        assert (colors.shape, colors.dtype) == (scene.vertices.shape, np.uint8), coloring
    assert len(np.unique(with_features.surface_colors("groups: two"), axis=0)) == 2
    assert np.array_equal(with_features.surface_colors("features"), scene.colors[::-1])


def test_counts_and_their_colors(session):
    counts = frame_counts(session.scene)
    seen = [np.unique(session.scene.vertex_map(i)) for i in range(4)]
    assert counts.sum() == sum((vertices >= 0).sum() for vertices in seen)
    colors = count_colors(np.array([0, 1, 2, 4])).astype(int)
    assert colors[0].tolist() == [NOTHING] * 3
    assert (np.diff(colors[1:].sum(axis=1)) > 0).all()
    assert label_colors(np.array([-1, 3]))[0].tolist() == [NOTHING] * 3


def test_a_click_names_the_set_under_it(session):
    ray = POSES[0][:3, :3] @ (0, 0, 1)
    vertex = session.scene.vertex_map(0)[int(CAMERA.K[1, 2]), int(CAMERA.K[0, 2])]
    given = session.name_under("wall", POSES[0][:3, 3], ray)
    assert given == ("geometric", session.scene.sets()[vertex], "wall")
    ((name, color, share),) = session.legend()
    assert (name, share) == ("wall", np.mean(session.scene.sets() == given.label))
    assert session.surface_colors("names")[vertex].tolist() == list(color)
    kept = Session([PreparedScene(session.scene.path)], session.folder)
    assert kept.names.given == [given]
    assert kept.undo() == given
    assert Session([PreparedScene(session.scene.path)], session.folder).undo() is None
    with pytest.raises(GeosetError, match="no set of layer 'geometric' there; click"):
        session.name_under("wall", (50.0, 0, 0), (1.0, 0, 0))
    with pytest.raises(GeosetError, match="1 classes are named"):
        session.export()


def test_a_frame_and_its_pairs(session):
    assert list(session.pictures(1)) == ["frame 1", "sets: geometric", "depth, bright is near"]
    assert {picture.shape for picture in session.pictures(1).values()} == {(96, 128, 3)}
    scene, pairs = session.scene, session.pairs_of(1)
    expected = {
        (int(a + b - 1), float(overlap))
        for (a, b), overlap in zip(scene.pairs, scene.overlap, strict=True)
        if 1 in (a, b)
    }
    assert {pair[:2] for pair in pairs} == expected
    assert len(pairs) >= 2
    overlaps = [overlap for _, overlap, _ in pairs]
    assert overlaps == sorted(overlaps, reverse=True)


def test_the_overview_is_from_above(session):
    place, middle = session.overview()
    assert np.allclose(session.up, (0, 0, 1), atol=0.05)
    assert place[2] > session.scene.vertices[:, 2].max()
    assert np.allclose(middle, (1.01, 0.76, 0.635), atol=0.06)
