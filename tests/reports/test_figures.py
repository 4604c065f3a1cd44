"""Pictures of scenes: the same set in the same colour, everywhere."""

import numpy as np
import pytest
from PIL import Image

from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene
from geoset.recipes import PrepareSettings
from geoset.reports import figures
from reference.box_room import POSES, write_box_room


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    scan = write_box_room(folder / "room", POSES[:3])
    prepare_scene(scan, folder / "out", PrepareSettings(image_size=(96, 128)))
    return PreparedScene(folder / "out/room")


@pytest.fixture
def as_they_are(monkeypatch):
    """Tiles are not enlarged."""
    monkeypatch.setattr(figures, "TILE_WIDTH", 1)


def test_colours_are_stable():
    ids = np.array([[-1, 0, 1], [2, 300, 2**32 * 7 + 5]])
    colors = figures.set_colors(ids)
    assert colors.shape == (2, 3, 3) and colors.dtype == np.uint8
    assert colors[0, 0].tolist() == [0, 0, 0]
    for row, column in np.ndindex(ids.shape):
        alone = figures.set_colors(ids[row : row + 1, column])
        np.testing.assert_array_equal(alone[0], colors[row, column])
    np.testing.assert_array_equal(figures.set_colors(ids.astype(np.int64)[::-1]), colors[::-1])


def test_colours_of_neighbouring_ids_are_far_apart():
    colors = figures.set_colors(np.arange(2000)).astype(int)
    assert len(np.unique(colors, axis=0)) > 1980
    assert np.linalg.norm(np.diff(colors, axis=0), axis=1).min() > 10
    assert colors.max(axis=1).min() > 150  # none is dark as "no set" is


def test_sets_are_laid_over_the_image():
    image = np.full((4, 6, 3), 100, dtype=np.uint8)
    set_map = np.array([[5, 5, 5, 8, 8, -1]] * 4)
    picture = figures.paint_sets(image, set_map)
    assert picture.shape == image.shape and picture.dtype == np.uint8
    over = np.round(0.45 * 100 + 0.55 * figures.set_colors(np.array([5, 8])))
    np.testing.assert_allclose(picture[:, [0, 1, 2]], np.broadcast_to(over[0], (4, 3, 3)), atol=1)
    # 8 is darker where it meets 5, and as it is beside it; without a set the image is dim
    np.testing.assert_allclose(picture[:, 3], np.broadcast_to(over[1] / 2, (4, 3)), atol=1)
    np.testing.assert_allclose(picture[:, 4], np.broadcast_to(over[1], (4, 3)), atol=1)
    assert (picture[:, 5] == 25).all()
    assert (image == 100).all()


def test_near_depth_is_bright():
    picture = figures.paint_depth(np.float32([[0, 0.5, 2, 4.5, 90]]))
    assert picture.shape == (1, 5, 3) and picture.dtype == np.uint8
    assert picture[0, 0].tolist() == [0, 0, 0]
    brightness = picture[0, 1:].astype(int).sum(axis=1)
    assert (np.diff(brightness) < 0).all()


@pytest.mark.parametrize("depth", [None, np.float32([[1, 1, 0, 0]])])
def test_coverage(depth):
    image = np.full((1, 4, 3), 120, dtype=np.uint8)
    seen = np.array([[True, False, True, False]])
    red, green = figures.paint_coverage(image, depth, seen)[0, :, :2].astype(int).T
    assert (green > red + 20).tolist() == [True, False, True, False]
    # without depth images, every pixel could have seen a surface
    assert (red > green + 20).tolist() == [False, True, False, depth is None]


def test_tiles_keep_their_pixels(as_they_are):
    first, second, third = (
        np.full((h, w, 3), h, np.uint8) for h, w in ((20, 30), (10, 50), (5, 9))
    )
    sheet = np.asarray(figures.tile([[("a", first), ("long" * 9, second)], [("c", third)]]))
    step, top = figures.MARGIN, figures.MARGIN + figures.CAPTION
    assert sheet.shape == (3 * step + 2 * figures.CAPTION + 25, 3 * step + 80, 3)
    assert (sheet[top : top + 20, step : step + 30] == 20).all()
    assert (sheet[top : top + 10, 2 * step + 30 : 2 * step + 80] == 10).all()
    below = top + 20 + step + figures.CAPTION
    assert (sheet[below : below + 5, step : step + 9] == 5).all()
    assert (sheet[step:top, step : step + 30] < 128).any()  # a caption is written


def test_small_tiles_are_enlarged_by_whole_factors():
    picture = np.arange(6 * 100 * 3, dtype=np.uint8).reshape(6, 100, 3)
    sheet = np.asarray(figures.tile([[("small", picture)]]))
    left, top = figures.MARGIN, figures.MARGIN + figures.CAPTION
    assert sheet.shape == (top + 3 * 6 + 4, 3 * 100 + 8, 3)  # 256 / 100 is nearest to 3
    for shift in range(3):
        part = sheet[top + shift : top + 18 : 3, left + shift : left + 300 : 3]
        np.testing.assert_array_equal(part, picture)


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (2, 2), (9, 3)])
def test_a_sheet_shows_frames_and_a_pair(as_they_are, scene, count, rows):
    sheet = np.asarray(figures.scene_sheet(scene, count))
    step, line = figures.MARGIN, 96 + figures.CAPTION + figures.MARGIN
    assert sheet.shape == ((rows + 1) * line + step, 4 * (128 + step) + step, 3)
    top = step + figures.CAPTION
    np.testing.assert_array_equal(sheet[top : top + 96, step : step + 128], scene.image(0))
    second = sheet[top : top + 96, 2 * step + 128 : 2 * step + 256]
    np.testing.assert_array_equal(second, figures.paint_sets(scene.image(0), scene.set_map(0)))


def test_a_pair_shows_only_the_sets_that_both_see(scene):
    pair = figures.typical_pair(scene)
    assert scene.overlap[pair] == np.sort(scene.overlap)[len(scene.overlap) // 2]
    row = figures.pair_row(scene, pair)
    first, second = scene.pairs[pair]
    shared = sorted({*scene.set_map(first).ravel()} & {*scene.set_map(second).ravel()})
    assert row[1][0].startswith(f"{len(shared)} common sets, overlap {scene.overlap[pair]:.2f}")
    assert row[0][0] == f"pair: {scene.frame_ids[first]}"
    for i, (_, picture) in zip((first, second), (row[1], row[3]), strict=True):
        common = np.where(np.isin(scene.set_map(i), shared), scene.set_map(i), -1)
        np.testing.assert_array_equal(picture, figures.paint_sets(scene.image(i), common))


def test_a_scene_without_depth_or_pairs(as_they_are, tmp_path):
    scan = write_box_room(tmp_path / "room", POSES[:1], depths=None)
    prepare_scene(scan, tmp_path / "out", PrepareSettings(image_size=(96, 128)))
    sheet = figures.scene_sheet(PreparedScene(tmp_path / "out/room"))
    assert sheet.size == (3 * (128 + 4) + 4, 96 + 18 + 4 + 4)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a", "PNG")]
)
def test_a_picture_is_saved_as_its_name_says(tmp_path, name, kind):
    figures.save_picture(Image.new("RGB", (4, 3)), tmp_path / "new" / name)
    with Image.open(tmp_path / "new" / name) as saved:
        assert (saved.format, saved.size) == (kind, (4, 3))
    assert len(list((tmp_path / "new").iterdir())) == 1
