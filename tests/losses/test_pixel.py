import math

import pytest
import torch

from geoset import GeosetError
from geoset.losses import PixelMatches, match_pixels, pixel_info_nce, view_loss
from reference import losses as reference


def camera_matrices(views, focal=100.0, center=(16.0, 12.0)):
    K = torch.tensor([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1]], dtype=torch.float64)
    return K.repeat(views, 1, 1), torch.eye(4, dtype=torch.float64).repeat(views, 1, 1)


def plane_in_front(shift=(0.0, 0.0, 0.0), second_depth=2.0, dtype=torch.float64):
    """A wall at z = 2 of the first camera, seen again from a camera moved by `shift`."""
    depth = torch.full((2, 24, 32), 2.0, dtype=dtype)
    depth[1] = second_depth
    K, pose = camera_matrices(2)
    pose[1, :3, 3] = torch.tensor(shift)
    return depth, K, pose, torch.tensor([[0, 1]])


def test_pixel_loss_by_hand():
    # Unit rows (1,0), (0,1) on both sides: every positive dot is 1, every negative 0, so each of
    # the four queries costs -log(e^2 / (e^2 + 1)) at temperature 0.5; swapped rows: log(1 + e^2).
    a = torch.tensor([[1.0, 0], [0, 1]])
    b = torch.tensor([[2.0, 0], [0, 3]])
    assert pixel_info_nce(a, b, 0.5).item() == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)
    swapped = pixel_info_nce(a, b.flip(0), 0.5)
    assert swapped.item() == pytest.approx(math.log(1 + math.exp(2)), abs=1e-6)


def test_pixel_loss_equals_the_plain_loop():
    a, b = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a.requires_grad_()
    b.requires_grad_()
    found, expected = pixel_info_nce(a, b), reference.pixel_info_nce(a, b, 0.4)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for x, y in zip(
        torch.autograd.grad(found, (a, b)), torch.autograd.grad(expected, (a, b)), strict=True
    ):
        torch.testing.assert_close(x, y, rtol=0, atol=1e-12)


def test_pixel_loss_keeps_or_widens_the_precision():
    a, b = torch.randn(2, 9, 5).half()
    with torch.autocast("cpu", torch.bfloat16):
        found = pixel_info_nce(a, b)
    assert torch.equal(found, pixel_info_nce(a.float(), b.float()))
    assert pixel_info_nce(a.double(), b.double()).dtype == torch.float64


def test_pixel_loss_of_no_rows_is_a_connected_zero():
    a = torch.zeros(0, 5, requires_grad=True)
    loss = pixel_info_nce(a, a)
    loss.backward()
    assert loss.item() == 0


def test_pixel_loss_names_bad_input():
    with pytest.raises(GeosetError, match=r"a is \(3, 5\), b is \(2, 5\); expected \(N,C\) both"):
        pixel_info_nce(torch.zeros(3, 5), torch.zeros(2, 5))
    with pytest.raises(GeosetError, match="temperature=-1: expected a positive number"):
        pixel_info_nce(torch.zeros(3, 5), torch.zeros(3, 5), -1)


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


def draw_scene(seed, dtype=torch.float64):
    """A wavy wall with holes, seen by four cameras; depths only roughly consistent."""
    generator = torch.Generator().manual_seed(seed)
    K, pose = camera_matrices(4, focal=20.0)
    K[:, 0, 0] += torch.arange(4)
    angle = 0.2 * torch.randn(4, 3, generator=generator, dtype=torch.float64)
    skew = torch.zeros(4, 3, 3, dtype=torch.float64)
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = angle.unbind(1)
    pose[:, :3, :3] = torch.linalg.matrix_exp(skew - skew.mT)
    pose[:, :3, 3] = 0.1 * torch.randn(4, 3, generator=generator, dtype=torch.float64)
    depth = 2 + 0.2 * torch.rand(4, 24, 32, generator=generator, dtype=torch.float64)
    depth[torch.rand(4, 24, 32, generator=generator) < 0.1] = 0
    return depth.to(dtype), K, pose, torch.tensor([[0, 1], [2, 3], [3, 0], [1, 1]])


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


def test_pairs_without_matches_are_left_out_and_counted():
    depth, K, pose, _ = plane_in_front()
    depth = torch.cat([depth, torch.zeros(1, 24, 32)])
    K, pose = K[[0, 1, 1]], pose[[0, 1, 1]]
    pairs = torch.tensor([[0, 2], [0, 1], [2, 1]])
    found = match_pixels(depth, K, pose, pairs, samples=10)
    assert found.available.tolist() == [0, 768, 0]
    features = torch.randn(3, 4, 12, 16, dtype=torch.float64)
    loss = view_loss(features, found, (24, 32), pairs)
    assert (loss.pairs.item(), loss.empty_pairs.item()) == (1, 2)
    alone = view_loss(features, PixelMatches(*(x[1:2] for x in found)), (24, 32), pairs[1:2])
    for name in ("loss", "chance", "positive", "negative"):
        torch.testing.assert_close(getattr(loss, name), getattr(alone, name), rtol=0, atol=1e-12)


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


@pytest.mark.parametrize("feature_size", [(12, 16), (5, 7), (24, 32)])
def test_view_loss_equals_the_plain_loop(feature_size):
    depth, K, pose, pairs = draw_scene(2)
    matches = match_pixels(
        depth, K, pose, pairs, samples=12, generator=torch.Generator().manual_seed(0)
    )
    features = torch.randn(4, 3, *feature_size, dtype=torch.float64, requires_grad=True)
    found = view_loss(features, matches, (24, 32), pairs)
    expected, positive, negative = reference.view_loss(features, matches, (24, 32), pairs, 0.4)
    torch.testing.assert_close(found.loss, expected, rtol=0, atol=1e-10)
    gradients = (torch.autograd.grad(loss, features)[0] for loss in (found.loss, expected))
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-10)
    assert found.chance.item() == pytest.approx(math.log(12))
    assert (found.pairs.item(), found.empty_pairs.item()) == (4, 0)
    assert found.positive.item() == pytest.approx(positive.item(), abs=1e-10)
    assert found.negative.item() == pytest.approx(negative.item(), abs=1e-10)


def test_view_loss_logs_mean_dot_products():
    # Two pixels a view, features (1,0) and (0,1), matched to themselves: dots 1, and 0 across.
    depth = torch.ones(2, 1, 2)
    K, pose = camera_matrices(2, focal=1.0, center=(1.0, 0.5))
    pairs = torch.tensor([[0, 1]])
    matches = match_pixels(depth, K, pose, pairs, samples=2)
    features = torch.eye(2)[None, :, None].repeat(2, 1, 1, 1)
    found = view_loss(features, matches, (1, 2), pairs, temperature=1.0)
    assert found.loss.item() == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-6)
    assert (found.positive.item(), found.negative.item()) == (1, 0)


def test_view_loss_without_matches_is_a_connected_zero():
    arguments = plane_in_front(second_depth=0)
    features = torch.randn(2, 4, 12, 16, requires_grad=True)
    found = view_loss(features, match_pixels(*arguments, samples=7), (24, 32), arguments[-1])
    found.loss.backward()
    assert (found.loss.item(), found.pairs.item(), found.empty_pairs.item()) == (0, 0, 1)
    assert (found.positive.item(), found.negative.item()) == (0, 0)
    assert found.chance.item() == pytest.approx(math.log(7))
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_view_loss_without_pairs_is_a_connected_zero():
    *views, pairs = plane_in_front()
    features = torch.randn(2, 4, 12, 16, requires_grad=True)
    found = view_loss(features, match_pixels(*views, pairs[:0]), (24, 32), pairs[:0])
    found.loss.backward()
    assert (found.loss.item(), found.pairs.item(), found.empty_pairs.item()) == (0, 0, 0)
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_view_loss_of_one_sample_has_no_negatives():
    arguments = plane_in_front()
    features = torch.randn(2, 4, 12, 16)
    found = view_loss(features, match_pixels(*arguments, samples=1), (24, 32), arguments[-1])
    assert (found.loss.item(), found.chance.item(), found.negative.item()) == (0, 0, 0)


def test_gradients_are_those_of_finite_differences():
    depth, K, pose, pairs = draw_scene(4)
    depth[2] = 0  # the second and third pair match nothing
    matches = match_pixels(depth, K, pose, pairs, samples=4)
    features = torch.randn(4, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(
        lambda f: view_loss(f, matches, (24, 32), pairs, 0.3).loss, features, fast_mode=True
    )
    a, b = torch.randn(2, 4, 3, dtype=torch.float64).requires_grad_()
    torch.autograd.gradcheck(pixel_info_nce, (a, b))


def test_order_of_pairs_and_of_views_is_irrelevant():
    depth, K, pose, pairs = draw_scene(5)
    features = torch.randn(4, 3, 12, 16, dtype=torch.float64)
    matches = match_pixels(depth, K, pose, pairs, samples=20)
    expected = view_loss(features, matches, (24, 32), pairs).loss
    order = torch.tensor([2, 0, 3, 1])
    shuffled = PixelMatches(*(x[order] for x in matches))
    for found in (
        view_loss(features, shuffled, (24, 32), pairs[order]).loss,
        view_loss(features[order], matches, (24, 32), order.argsort()[pairs]).loss,
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


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


def test_view_loss_repeats_to_the_bit():
    depth, K, pose, pairs = draw_scene(3)
    features = torch.randn(4, 16, 12, 16, requires_grad=True)
    matches = match_pixels(depth, K, pose, pairs)
    runs = [
        torch.autograd.grad(view_loss(features, matches, (24, 32), pairs).loss, features)[0]
        for _ in range(4)
    ]
    assert all(torch.equal(runs[0], run) for run in runs)


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


def test_view_loss_names_bad_input():
    arguments = plane_in_front()
    matches = match_pixels(*arguments)
    with pytest.raises(GeosetError, match=r"features are \(2, 24, 32\)"):
        view_loss(torch.zeros(2, 24, 32), matches, (24, 32), arguments[-1])
    with pytest.raises(GeosetError, match="temperature=0: expected"):
        view_loss(torch.zeros(2, 4, 12, 16), matches, (24, 32), arguments[-1], temperature=0)
    with pytest.raises(GeosetError, match="matches are of 1 pairs, view_pairs has 2; expected"):
        view_loss(torch.zeros(2, 4, 12, 16), matches, (24, 32), arguments[-1].repeat(2, 1))
