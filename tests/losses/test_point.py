import math

import pytest
import torch

from geoset import GeosetError
from geoset.losses import point_info_nce
from reference import points as reference
from reference.ranks import run_as_two_processes

FIELDS = ("loss", "views", "chance", "positive", "negative")


def draw_case(seed=0, counts=(7, 0, 1, 4), samples=7, channels=5):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, len(counts), samples, channels)
    pixels, points = torch.randn(shape, generator=generator, dtype=torch.float64)
    return pixels.requires_grad_(), points.requires_grad_(), torch.tensor(counts)


@pytest.mark.parametrize("temperature", [0.4, 0.07])
def test_equals_the_plain_loop(temperature):
    pixels, points, count = draw_case()
    found = point_info_nce(pixels, points, count, temperature)
    expected = reference.point_info_nce(pixels, points, count, temperature)
    for name, value in zip(FIELDS, map(torch.as_tensor, expected), strict=True):
        torch.testing.assert_close(getattr(found, name), value, rtol=0, atol=1e-10, msg=name)
    gradients = [torch.autograd.grad(loss, (pixels, points)) for loss in (found.loss, expected[0])]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_gradient_by_differences():
    pixels, points, count = draw_case(1, counts=(3, 0, 2), samples=3, channels=2)
    assert torch.autograd.gradcheck(lambda a, b: point_info_nce(a, b, count).loss, (pixels, points))


def test_by_hand():
    # Unit features (1,0) and (0,1), each pixel matching its point: -log(e^2 / (e^2 + 1)) at
    # temperature 0.5, in either direction. In the second view both pixels are (1,0). Asked by
    # pixels, the first costs the same, and the second, whose point is (0,1), log(1 + e^2). Asked
    # by points, both pixels are alike to either: log 2.
    points = torch.eye(2).repeat(2, 1, 1)
    pixels = points.clone()
    pixels[1, 1] = torch.tensor([1.0, 0])
    found = point_info_nce(3 * pixels, points, torch.tensor([2, 2]), 0.5)
    low, high = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    second = ((low + high) / 2 + math.log(2)) / 2
    assert found.loss.item() == pytest.approx((low + second) / 2, abs=1e-6)
    assert found.chance.item() == pytest.approx(math.log(2))
    assert found.positive.item() == pytest.approx(3 / 4)
    assert found.negative.item() == pytest.approx(1 / 4)


def test_pixels_and_points_may_change_places():
    pixels, points, count = draw_case()
    swapped = point_info_nce(points, pixels, count)
    torch.testing.assert_close(swapped.loss, point_info_nce(pixels, points, count).loss)


def test_equal_features_cost_what_chance_says():
    pixels, points, count = (torch.ones(3, 6, 4), torch.ones(3, 6, 4), torch.tensor([6, 2, 0]))
    found = point_info_nce(pixels, points, count)
    assert found.loss.item() == pytest.approx((math.log(6) + math.log(2)) / 2, abs=1e-6)
    assert found.chance.item() == pytest.approx(found.loss.item(), abs=1e-6)


def test_padding_counts_for_nothing_whatever_stands_there():
    pixels, points, count = draw_case()
    padding = torch.arange(7) >= count[:, None]
    expected = point_info_nce(pixels, points, count)
    spoilt = [side.detach().clone() for side in (pixels, points)]
    for side in spoilt:
        side[padding] = torch.nan
        side.requires_grad_()
    found = point_info_nce(*spoilt, count)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    found.loss.backward()
    expected.loss.backward()
    for side, plain in zip(spoilt, (pixels, points), strict=True):
        assert torch.equal(side.grad, plain.grad)
        assert torch.equal(side.grad[padding], torch.zeros_like(side.grad[padding]))


def test_order_does_not_matter():
    pixels, points, count = draw_case()
    expected = point_info_nce(pixels, points, count).loss
    views = torch.tensor([2, 0, 3, 1])
    found = point_info_nce(pixels[views], points[views], count[views]).loss
    torch.testing.assert_close(found, expected)
    rows = torch.stack([torch.cat([torch.randperm(n), torch.arange(n, 7)]) for n in count.tolist()])
    shuffled = [side.gather(1, rows[..., None].expand_as(side)) for side in (pixels, points)]
    torch.testing.assert_close(point_info_nce(*shuffled, count).loss, expected)


def test_a_view_does_not_see_the_others():
    pixels, points, count = draw_case(counts=(7, 5))
    alone = [point_info_nce(pixels[v : v + 1], points[v : v + 1], count[v : v + 1]) for v in (0, 1)]
    together = point_info_nce(pixels, points, count).loss
    torch.testing.assert_close(together, (alone[0].loss + alone[1].loss) / 2)


def test_nothing_matched_is_a_connected_zero():
    pixels, points, count = draw_case(counts=(0, 0))
    found = point_info_nce(pixels, points, count)
    found.loss.backward()
    assert [value.item() for value in found] == [0, 0, 0, 0, 0]
    for side in (pixels, points):
        assert torch.equal(side.grad, torch.zeros_like(side))


def test_two_processes_are_one(monkeypatch):
    pixels, points, count = draw_case()
    expected = point_info_nce(pixels, points, count)

    def process(part):
        return point_info_nce(pixels[part], points[part], count[part], across_ranks=True)

    # One has a view with samples, the other two, and one without.
    found = run_as_two_processes(
        monkeypatch, lambda: process(slice(0, 1)), lambda: process(slice(1, 4))
    )
    mean = (found[0].loss + found[1].loss) / 2
    torch.testing.assert_close(mean, expected.loss)
    gradients = (torch.autograd.grad(loss, (pixels, points)) for loss in (mean, expected.loss))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)
    assert [terms.views.item() for terms in found] == [1, 2]
    for terms in found:
        for name in ("chance", "positive", "negative"):
            torch.testing.assert_close(getattr(terms, name), getattr(expected, name))


def test_half_precision_is_widened():
    pixels, points, count = (x.detach() for x in draw_case())
    with torch.autocast("cpu", torch.bfloat16):
        found = point_info_nce(pixels.half(), points.half(), count)
    assert found.loss.dtype == torch.float32
    expected = point_info_nce(pixels.half().float(), points.half().float(), count)
    assert torch.equal(found.loss, expected.loss)


def operators(views):
    pixels, points, count = draw_case(counts=(7, 0) * views)
    with torch.profiler.profile() as profile:
        point_info_nce(pixels, points, count).loss.backward()
    return [event.name for event in profile.events()]


def test_nothing_waits_for_the_device():
    found = set(operators(2))
    assert "aten::bmm" in found
    assert found.isdisjoint({"aten::_local_scalar_dense", "aten::nonzero"})


def test_as_many_operators_for_any_number_of_views():
    assert len(operators(2)) == len(operators(40))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": torch.ones(2, 4, 5)}, r"pixels are \(2, 3, 5\), points are \(2, 4, 5\); expe"),
        ({"count": torch.tensor([3])}, r"count is \(1,\) torch.int64; expected \(2,\) integers"),
        ({"count": torch.ones(2)}, r"count is \(2,\) torch.float32; expected \(2,\) integers"),
        ({"temperature": 0}, "temperature=0: expected a positive number"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"pixels": torch.ones(2, 3, 5), "points": torch.ones(2, 3, 5)}
    with pytest.raises(GeosetError, match=message):
        point_info_nce(**arguments | {"count": torch.tensor([3, 3])} | change)
