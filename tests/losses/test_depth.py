import math

import pytest
import torch

from geoset import GeosetError
from geoset.losses import depth_loss
from reference import depth as reference
from reference.ranks import run_as_two_processes

TERMS = ("loss", "logarithm", "gradient", "normal")


def draw_case(seed=0, size=(9, 11), small=(4, 5)):
    """Three views of a wavy surface with holes, one of them at the border."""
    generator = torch.Generator().manual_seed(seed)
    depth = 2 + torch.rand(3, *size, generator=generator, dtype=torch.float64)
    depth[0, 4, 5] = depth[1, 0, 2] = depth[1, 8, 10] = 0
    predicted = 2 + torch.rand(3, *small, generator=generator, dtype=torch.float64)
    return predicted.requires_grad_(), depth


@pytest.mark.parametrize("small", [(4, 5), (9, 11), (2, 3)])
def test_equals_the_plain_loop(small):
    predicted, depth = draw_case(small=small)
    found, expected = depth_loss(predicted, depth), reference.depth_loss(predicted, depth)
    for name, value in zip(TERMS, expected, strict=True):
        torch.testing.assert_close(getattr(found, name), value, rtol=0, atol=1e-10, msg=name)
    gradients = (torch.autograd.grad(loss, predicted)[0] for loss in (found.loss, expected[0]))
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-10)
    assert found.valid.item() == 3 * 9 * 11 - 3


def test_gradient_by_differences():
    predicted, depth = draw_case(1, small=(3, 3))
    assert torch.autograd.gradcheck(lambda p: depth_loss(p, depth).loss, predicted)


def test_a_wall_that_is_off_by_a_constant():
    # |e| = 0.3 everywhere; slopes and normals agree, so each logarithm of them is log 0.5.
    found = depth_loss(torch.full((1, 3, 4), 2.3), torch.full((1, 6, 8), 2.0))
    assert found.logarithm.item() == pytest.approx(math.log(0.8), abs=1e-5)
    assert found.gradient.item() == pytest.approx(2 * math.log(0.5), abs=1e-5)
    assert found.normal.item() == pytest.approx(0, abs=1e-6)
    expected = (math.log(0.8) + 2 * math.log(0.5)) / 3
    assert found.loss.item() == pytest.approx(expected, abs=1e-5)


def test_a_tilted_wall_taken_for_an_upright_one():
    # Depth 2 + x / 8 has a Sobel derivative of 8 / 8 = 1 along x: the normals (-1, 0, 1) and
    # (0, 0, 1) are at 45 degrees, and the gradient term is log(1 + 0.5) + log(0 + 0.5).
    depth = (2 + torch.arange(8.0) / 8).expand(1, 6, 8)
    for turned in (depth, depth.mT):
        found = depth_loss(torch.full((1, 3, 4), 2.0), turned)
        assert found.gradient.item() == pytest.approx(math.log(1.5 * 0.5), abs=1e-5)
        assert found.normal.item() == pytest.approx(1 - math.sqrt(0.5), abs=1e-6)


def test_a_perfect_prediction():
    _, depth = draw_case()
    depth[:] = depth.clamp(min=1)
    found = depth_loss(depth, depth)
    assert found.loss.item() == pytest.approx(math.log(0.5), abs=1e-12)


def test_invalid_depth_is_left_out_whatever_stands_there():
    predicted, depth = draw_case()
    expected = depth_loss(predicted, depth)
    found = depth_loss(predicted, depth.masked_fill(depth == 0, torch.nan))
    assert found.loss == expected.loss
    (gradient,) = torch.autograd.grad(found.loss, predicted)
    assert gradient.isfinite().all()


def test_a_hole_takes_out_the_windows_that_touch_it():
    # One hole in the middle of 5x5: of the 3x3 windows none is left, of the pixels 24.
    depth = torch.full((1, 5, 5), 2.0)
    depth[0, 2, 2] = 0
    found = depth_loss(torch.full((1, 5, 5), 2.3), depth)
    assert (found.gradient.item(), found.normal.item(), found.valid.item()) == (0, 0, 24)
    assert found.logarithm.item() == pytest.approx(math.log(0.8), abs=1e-5)


def test_nothing_valid_is_a_connected_zero():
    predicted = torch.rand(2, 3, 4, requires_grad=True)
    found = depth_loss(predicted, torch.zeros(2, 6, 8))
    found.loss.backward()
    assert (found.loss.item(), found.valid.item()) == (0, 0)
    assert torch.equal(predicted.grad, torch.zeros_like(predicted))


def test_the_order_of_views_does_not_matter():
    predicted, depth = draw_case()
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        depth_loss(predicted[order], depth[order]).loss, depth_loss(predicted, depth).loss
    )


def test_two_processes_are_one(monkeypatch):
    predicted, depth = draw_case()
    expected = depth_loss(predicted, depth)
    found = run_as_two_processes(
        monkeypatch,
        lambda: depth_loss(predicted[:1], depth[:1], across_ranks=True),
        lambda: depth_loss(predicted[1:], depth[1:], across_ranks=True),
    )
    mean = (found[0].loss + found[1].loss) / 2
    torch.testing.assert_close(mean, expected.loss)
    gradients = (torch.autograd.grad(loss, predicted)[0] for loss in (mean, expected.loss))
    torch.testing.assert_close(*gradients)
    assert [terms.valid.item() for terms in found] == [98, 196]
    for terms in found:
        for name in TERMS[1:]:
            torch.testing.assert_close(getattr(terms, name), getattr(expected, name))


def test_half_precision_is_widened():
    predicted, depth = (x.detach().float() for x in draw_case())
    predicted = predicted.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = depth_loss(predicted, depth)
    assert found.loss.dtype == torch.float32
    assert torch.equal(found.loss, depth_loss(predicted.float(), depth).loss)


def test_nothing_waits_for_the_device():
    predicted, depth = draw_case()
    with torch.profiler.profile() as profile:
        depth_loss(predicted, depth).loss.backward()
    operators = {event.name for event in profile.events()}
    assert "aten::max_pool2d" in operators
    assert operators.isdisjoint({"aten::_local_scalar_dense", "aten::nonzero"})


@pytest.mark.parametrize(
    ("predicted", "depth", "message"),
    [
        ((2, 1, 3, 4), (2, 6, 8), r"predicted is \(2, 1, 3, 4\), depth is \(2, 6, 8\); expected"),
        (
            (2, 3, 4),
            (3, 6, 8),
            r"predicted is \(2, 3, 4\), depth is \(3, 6, 8\); .* one map a view",
        ),
        ((2, 3, 4), (2, 2, 8), r"depth maps are \(2, 8\); expected at least 3x3"),
    ],
)
def test_bad_input_is_named(predicted, depth, message):
    with pytest.raises(GeosetError, match=message):
        depth_loss(torch.ones(predicted), torch.ones(depth))
