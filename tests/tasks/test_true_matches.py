"""Matches in a box whose colours say where on its walls a point is."""

import pytest
import torch

from geoset.errors import GeosetError
from geoset.evaluation.correspondence import PIXELS, recall
from geoset.geometry.camera import invert, transform
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene
from geoset.recipes import PrepareSettings
from geoset.tasks import correspondence
from geoset.tasks.correspondence import chosen_frames, find_matches, guesses, true_matches
from reference.box_room import CAMERA, POSES, see, write_box_room
from reference.correspondence import viewing_angle

SIZE = (CAMERA.height, CAMERA.width)


def prepared(folder, **options):
    prepare_scene(
        write_box_room(folder / "room", **options), folder / "out", PrepareSettings(image_size=SIZE)
    )
    return PreparedScene(folder / "out/room")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("matches"))


def colors(images):
    """Colours about those of the middle of the box: their directions tell its points apart."""
    return images.float() - 125


def errors_of(found, matches):
    return (found - matches.target).norm(dim=1)


@pytest.mark.parametrize("depths", ["images", "none"])
def test_matches_are_where_the_geometry_puts_them(scene, tmp_path, depths):
    if depths == "none":
        scene = prepared(tmp_path, depths=None)
        assert not scene.has_depth
    matches = true_matches(scene, "all", samples=50)
    assert len(matches.source) == 150  # the fourth frame looks the other way
    rows = enumerate(zip(matches.source, matches.target, matches.angle.tolist(), strict=True))
    for row, (source, target, angle) in rows:
        first, second = matches.frames[matches.pair[row]]
        x, y = source.int().tolist()
        point = see(CAMERA, POSES[first]).points[y, x]
        pixel, _ = CAMERA.project(transform(invert(POSES[second]), point))
        assert target.tolist() == pytest.approx(pixel.tolist(), abs=0.3)
        expected = viewing_angle(point, *(POSES[i][:3, 3] for i in (first, second)))
        assert angle == pytest.approx(expected, abs=0.2)


def test_features_that_tell_points_apart_are_found(scene):
    matches = true_matches(scene, "all")
    found = find_matches(colors, matches)
    share = recall(errors_of(found, matches), matches.angle, matches.pair).share[-1]
    assert share[PIXELS.index(5)] > 0.9
    assert errors_of(found, matches).median() < 1.5


def test_features_that_say_nothing_are_at_chance(scene):
    """A circle of 20 pixels holds at most pi * 400 of 96 x 128 pixels, a tenth."""
    generator = torch.Generator().manual_seed(0)

    def noise(images):
        return torch.randn(1, 16, *SIZE, generator=generator)

    matches = true_matches(scene, "all")
    for found in (find_matches(noise, matches), guesses(matches)["chance: any pixel"]):
        share = recall(errors_of(found, matches), matches.angle, matches.pair).share[-1]
        assert 0.01 < share[PIXELS.index(20)] < 0.11
    assert guesses(matches)["the same pixel"] is matches.source


def test_a_frame_is_encoded_once(scene):
    encoded = []

    def features(images):
        encoded.append(images)
        return colors(images)

    matches = true_matches(scene, "all", samples=5)
    find_matches(features, matches)
    assert len(encoded) == 3 < len(matches.frames.flatten())


def test_matches_are_a_function_of_the_seed(scene):
    first, again, other = (true_matches(scene, "all", samples=9, seed=s) for s in (0, 0, 1))
    assert torch.equal(first.source, again.source)
    assert not torch.equal(first.source, other.source)


def test_pairs_are_bounded_and_of_the_chosen_frames(scene, monkeypatch):
    every = true_matches(scene, "every:2", samples=9)
    assert set(every.frames.flatten()) <= {0, 2}
    monkeypatch.setattr(correspondence, "BLOCK", 2)
    few = true_matches(scene, "all", pairs=3, samples=9)
    assert few.frames.shape == (3, 2) and len(few.source) <= 27
    assert (few.frames[:, 0] < few.frames[:, 1]).all()
    assert few.pair.unique().tolist() == [0, 1, 2]


def test_a_pair_of_few_matches_counts_for_no_more(scene, monkeypatch):
    """As if only 3 matches of each pair were there, of the 9 asked for."""
    real = correspondence.match_pixels

    def few(*args, **options):
        found = real(*args, **options)
        return found._replace(available=found.available.clamp(max=3))

    monkeypatch.setattr(correspondence, "match_pixels", few)
    matches = true_matches(scene, "all", samples=9)
    assert torch.bincount(matches.pair).tolist() == [3] * len(matches.frames)


def test_chosen_frames():
    assert chosen_frames(11, "every:5").tolist() == [0, 5, 10]
    assert chosen_frames(3, "all").tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("count", "frames", "message"),
    [
        (9, "some", "frames is 'some', expected all, or every:5 for every fifth frame"),
        (9, "every:0", "frames is 'every:0', expected all"),
        (9, "every:", "frames is 'every:', expected all"),
        (9, "all:3", "frames is 'all:3', expected all"),
        (5, "every:5", "leaves 1 of 5 frames, expected two or more: choose a smaller step"),
    ],
)
def test_frames_that_cannot_be_chosen(count, frames, message):
    with pytest.raises(GeosetError, match=message):
        chosen_frames(count, frames)


def test_frames_that_share_nothing(scene, monkeypatch):
    monkeypatch.setattr(correspondence, "MIN_OVERLAP", 1.1)
    with pytest.raises(GeosetError, match="no two of the frames 'all' see a common point"):
        true_matches(scene, "all")
