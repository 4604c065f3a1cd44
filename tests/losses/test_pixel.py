import math

import pytest
import torch

from geoset import GeosetError
from geoset.losses import PixelMatches, match_pixels, pixel_info_nce, view_loss
from loss_cases import camera_matrices, draw_scene, plane_in_front
from reference import losses as reference


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


def test_the_least_temperature_loses_nothing_in_float32():
    # Row 0 agrees, all else is opposite: exponents from -80 to 0.
    a = torch.tensor([[1.0, 0], [-1, 1e-3], [-1, 0]])
    b = torch.tensor([[1.0, 0], [1, 0], [1, 1e-3]])
    found, expected = pixel_info_nce(a, b, 0.025), pixel_info_nce(a.double(), b.double(), 0.025)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert expected.item() == pytest.approx(
        reference.pixel_info_nce(a.double(), b.double(), 0.025).item(), abs=1e-9
    )


def test_pixel_loss_names_bad_input():
    with pytest.raises(GeosetError, match=r"a is \(3, 5\), b is \(2, 5\); expected \(N,C\) both"):
        pixel_info_nce(torch.zeros(3, 5), torch.zeros(2, 5))
    with pytest.raises(GeosetError, match="temperature=-1: expected a positive number"):
        pixel_info_nce(torch.zeros(3, 5), torch.zeros(3, 5), -1)
    with pytest.raises(
        GeosetError, match=r"temperature=0\.02: expected at least 0.025, below which"
    ):
        pixel_info_nce(torch.zeros(3, 5), torch.zeros(3, 5), 0.02)


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
    assert found.chance.item() == 0
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
    assert found.loss.item() == pytest.approx(0, abs=1e-6)
    assert (found.chance.item(), found.negative.item()) == (0, 0)


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


def test_view_loss_repeats_to_the_bit():
    depth, K, pose, pairs = draw_scene(3)
    features = torch.randn(4, 16, 12, 16, requires_grad=True)
    matches = match_pixels(depth, K, pose, pairs)
    runs = [
        torch.autograd.grad(view_loss(features, matches, (24, 32), pairs).loss, features)[0]
        for _ in range(4)
    ]
    assert all(torch.equal(runs[0], run) for run in runs)


def test_view_loss_names_bad_input():
    arguments = plane_in_front()
    matches = match_pixels(*arguments)
    with pytest.raises(GeosetError, match=r"features are \(2, 24, 32\)"):
        view_loss(torch.zeros(2, 24, 32), matches, (24, 32), arguments[-1])
    with pytest.raises(GeosetError, match="temperature=0: expected"):
        view_loss(torch.zeros(2, 4, 12, 16), matches, (24, 32), arguments[-1], temperature=0)
    with pytest.raises(GeosetError, match="matches are of 1 pairs, view_pairs has 2; expected"):
        view_loss(torch.zeros(2, 4, 12, 16), matches, (24, 32), arguments[-1].repeat(2, 1))
