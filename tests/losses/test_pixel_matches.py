import pytest
import torch

from geoset import GeosetError
from geoset.losses import match_pixels
from loss_cases import draw_scene, plane_in_front
from reference import losses as reference


def test_a_wall_seen_from_the_side():
    # 0.1 m to the right at 2 m depth and f = 100: everything lands 5 pixels further left.
    found = match_pixels(*plane_in_front((0.1, 0, 0)), samples=24 * 27)
    assert found.available.tolist() == [24 * 27]
    torch.testing.assert_close(found.target, found.source - torch.tensor([5.0, 0]))
    columns, counts = found.source[0, :, 0].unique(return_counts=True)
    assert columns.tolist() == [x + 0.5 for x in range(5, 32)]
    assert (counts == 24).all()


def test_a_wall_seen_from_nearer():
    # Half a metre closer: away from the centre by 2 / 1.5, and inside from there on.
    found = match_pixels(*plane_in_front((0, 0, 0.5), second_depth=1.5), samples=4096)
    center = torch.tensor([16.0, 12], dtype=torch.float64)
    torch.testing.assert_close(found.target, center + (found.source - center) * 2 / 1.5)
    assert found.available.tolist() == [24 * 18]


@pytest.mark.parametrize(("second_depth", "matches"), [(1.96, 768), (2.06, 0), (1.94, 0), (0, 0)])
def test_depth_must_agree(second_depth, matches):
    found = match_pixels(*plane_in_front(second_depth=second_depth))
    assert found.available.tolist() == [matches]


def test_points_behind_the_camera_do_not_match():
    depth, K, pose, pairs = plane_in_front()
    pose[1] = torch.diag(torch.tensor([-1.0, 1, -1, 1]))
    depth[:] = 0.02  # so near that z = -0.02 would still agree with it
    assert match_pixels(depth, K, pose, pairs).available.tolist() == [0]


def test_invalid_depth_does_not_match():
    depth, K, pose, pairs = plane_in_front()
    depth[0, 0, :3] = torch.tensor([0.0, torch.nan, torch.inf])
    depth[1, 5, :3] = torch.tensor([0.0, torch.nan, torch.inf])
    assert match_pixels(depth, K, pose, pairs).available.tolist() == [768 - 6]


def test_missing_depth_is_no_surface_at_zero():
    depth, K, pose, pairs = plane_in_front(second_depth=0)
    depth[0] = 0.02  # within the tolerance of the 0 that stands for none
    assert match_pixels(depth, K, pose, pairs).available.tolist() == [0]


def test_matches_equal_the_pixel_by_pixel_search():
    depth, K, pose, pairs = draw_scene(0)
    available = match_pixels(depth, K, pose, pairs).available.tolist()
    for pair, count in zip(pairs, available, strict=True):
        expected = reference.match_pixels(depth, K, pose, *pair.tolist(), tolerance=0.05)
        # As many samples as matches: each is drawn exactly once.
        found = match_pixels(depth, K, pose, pair[None], samples=count)
        assert count == len(expected) > 50
        landing = dict(
            zip(map(tuple, found.source[0].tolist()), found.target[0].tolist(), strict=True)
        )
        assert landing.keys() == expected.keys()
        for source, target in expected.items():
            assert landing[source] == pytest.approx(target, abs=1e-9)


def test_poses_far_from_the_origin_lose_nothing():
    depth, K, pose, pairs = draw_scene(1, torch.float32)
    near = match_pixels(depth, K, pose, pairs, generator=torch.Generator().manual_seed(0))
    pose[:, :3, 3] += torch.tensor([4e5, 5e6, 100])
    far = match_pixels(depth, K, pose, pairs, generator=torch.Generator().manual_seed(0))
    assert torch.equal(near.available, far.available)
    torch.testing.assert_close(near.target, far.target, rtol=0, atol=1e-3)


def test_autocast_does_not_move_landings():
    depth, K, pose, pairs = draw_scene(1, torch.float32)
    plain = match_pixels(depth, K, pose, pairs, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        found = match_pixels(depth, K, pose, pairs, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.target, plain.target)


def test_samples_repeat_only_when_matches_are_few():
    depth, K, pose, pairs = plane_in_front()
    enough = match_pixels(depth, K, pose, pairs, samples=700)
    assert len(enough.source[0].unique(dim=0)) == 700
    depth[0].flatten()[:-5] = 0
    few = match_pixels(depth, K, pose, pairs, samples=1000)
    _, counts = few.source[0].unique(dim=0, return_counts=True)
    # Binomial(1000, 1/5): 200 with a standard deviation of 13.
    assert len(counts) == 5
    assert counts.min() > 140
    assert counts.max() < 260


def test_samples_are_uniform_and_follow_the_generator():
    arguments = plane_in_front()

    def run(seed):
        generator = torch.Generator().manual_seed(seed)
        return match_pixels(*arguments, samples=300, generator=generator).source

    assert torch.equal(run(0), run(0))
    mean = torch.cat([run(seed) for seed in range(20)]).mean(dim=(0, 1))
    # 6000 samples of a uniform 32 x 24: standard errors 0.12 and 0.09.
    torch.testing.assert_close(mean, torch.tensor([16.0, 12]).double(), rtol=0, atol=0.5)


def test_rotations_may_be_scaled_and_intrinsics_skewed():
    # Inverses are exact, not only for rigid poses and zero skew.
    depth, K, pose, pairs = draw_scene(6)
    K[:, 0, 1] = 1.5
    pose[1, :3, :3] *= 1.01
    available = match_pixels(depth, K, pose, pairs[:1]).available.item()
    found = match_pixels(depth, K, pose, pairs[:1], samples=available)
    landing = dict(zip(*(map(tuple, side[0].tolist()) for side in found[:2]), strict=True))
    expected = reference.match_pixels(depth, K, pose, 0, 1, tolerance=0.05)
    assert landing.keys() == expected.keys()
    for source, target in expected.items():
        assert landing[source] == pytest.approx(target, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": torch.ones(24, 32)}, r"depth is \(24, 32\); expected \(V,H,W\)"),
        ({"K": torch.eye(3)}, r"K is \(3, 3\); expected \(2, 3, 3\), one a view"),
        ({"world_from_camera": torch.eye(4)}, r"world_from_camera is \(4, 4\); expected \(2, 4"),
        ({"view_pairs": torch.tensor([[0, 2]])}, "name views 0 to 2; expected 0 to 1"),
        ({"samples": 0}, "samples=0: expected at least 1"),
        ({"tolerance": 0.0}, "tolerance=0.0: expected a positive number of metres"),
    ],
)
def test_match_pixels_names_bad_input(change, message):
    names = ("depth", "K", "world_from_camera", "view_pairs")
    arguments = dict(zip(names, plane_in_front(), strict=True)) | change
    with pytest.raises(GeosetError, match=message):
        match_pixels(**arguments)
