import math

import pytest
import torch

from geoset.losses import find_set_matches, set_info_nce
from geoset.losses.sets import _random_cells
from loss_cases import draw_sets, groups_of
from reference import losses as reference


def test_random_pixels_take_each_value_they_can_as_often_as_they_should():
    # One feature cell spans two pixels. Set 0 has three pixels in view 0, two of them in one cell;
    # all else is constant, so that only which cell set 0 takes is random: p = 2/3 and 1/3.
    u, v, p, q = (
        torch.tensor(xy, dtype=torch.float64) for xy in ([1.0, 0], [0.6, 0.8], [0, 1], [0.8, 0.6])
    )
    features = torch.stack([torch.stack([u, v, p]), torch.stack([p, p, q])]).mT[:, :, None]
    set_ids = torch.tensor([[[0, 0, 0, -1, 1, 1]], [[0, 0, 0, -1, 1, 1]]])
    pairs = torch.tensor([[0, 1]])
    mean = (2 * u + v) / 3

    def loss(query, key):
        """Of set 0 seen as `query` or, as a negative of set 1, as `key`."""
        terms = [
            reference.info_nce(query, [p], [q], 0.4),
            reference.info_nce(p, [q], [p], 0.4),
            reference.info_nce(p, [mean], [p], 0.4),
            reference.info_nce(q, [p], [key], 0.4),
        ]
        return (sum(terms) / 4).item()

    expected = {
        loss(query, key): query_chance * key_chance
        for query, query_chance in ((u, 2 / 3), (v, 1 / 3))
        for key, key_chance in ((u, 2 / 3), (v, 1 / 3))
    }
    generator = torch.Generator().manual_seed(0)
    draws = 600
    seen = dict.fromkeys(expected, 0)
    for _ in range(draws):
        found = set_info_nce(
            features, set_ids, pairs, aggregation="random_pixel", generator=generator
        )
        nearest = min(expected, key=lambda value: abs(value - found.loss.item()))
        assert found.loss.item() == pytest.approx(nearest, abs=1e-9)
        seen[nearest] += 1
    for value, probability in expected.items():
        spread = math.sqrt(probability * (1 - probability) / draws)
        assert seen[value] / draws == pytest.approx(probability, abs=4 * spread)


def test_random_pixels_follow_the_generator():
    features, set_ids, pairs = draw_sets(6)

    def run(seed, keys="both_views"):
        return set_info_nce(
            features,
            set_ids,
            pairs,
            aggregation="random_pixel",
            keys=keys,
            group_ids=groups_of(set_ids),
            generator=torch.Generator().manual_seed(seed),
        ).loss

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    (gradient,) = torch.autograd.grad(run(1), features)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("aggregation", ["mean", "random_pixel"])
def test_random_pixels_of_uniform_sets_equal_the_mean(aggregation):
    # Every set has one feature in a view, whichever pixel is drawn.
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(4, 3, 2, 3, generator=generator, dtype=torch.float64)
    set_ids = torch.arange(6).view(1, 2, 3).expand(4, 2, 3)
    pairs = torch.tensor([[0, 1], [2, 3]])
    expected = reference.set_info_nce(features, set_ids, pairs)[0]
    found = set_info_nce(features, set_ids, pairs, aggregation=aggregation, generator=generator)
    torch.testing.assert_close(found.loss, expected, rtol=0, atol=1e-12)


def test_every_pixel_of_a_scattered_set_is_as_likely():
    _, set_ids, pairs = draw_sets(8)
    matches = find_set_matches(set_ids, pairs, (3, 4))
    draws = 4000
    projections = torch.arange(len(matches.size)).repeat(draws, 1)
    drawn = _random_cells(matches, projections, torch.Generator().manual_seed(0))
    for projection, size in enumerate(matches.size.tolist()):
        runs = matches.owner == projection
        share = torch.zeros(5 * 3 * 4).index_add(0, matches.cell[runs], matches.count[runs] / size)
        frequency = torch.bincount(drawn[:, projection], minlength=len(share)) / draws
        spread = (share * (1 - share) / draws).sqrt()
        assert ((frequency - share).abs() <= 5 * spread).all()
