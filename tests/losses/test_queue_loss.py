import math

import pytest
import torch
import torch.nn.functional as F

from geoset import GeosetError
from geoset.losses.moco import queue_info_nce
from reference import moco as reference
from reference.ranks import run_as_two_processes


def draw_case(queries=5, queue=7, channels=4):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2 * queries + queue, channels, generator=generator, dtype=torch.float64)
    parts = F.normalize(rows, dim=1).split([queries, queries, queue])
    return parts[0].requires_grad_(), parts[1], parts[2]


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_equals_the_plain_loop(temperature):
    queries, keys, queue = draw_case()
    found = queue_info_nce(queries, keys, queue, temperature).loss
    expected = reference.queue_info_nce(queries, keys, queue, temperature)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    gradients = [torch.autograd.grad(loss, queries)[0] for loss in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-10)


def test_by_hand():
    # At temperature 0.5 the first query is its key, and at right angles to one of the queue and
    # opposite to the other: log(1 + e^-2 + e^-4). The second is at right angles to its key and to
    # the last of the queue, and is the first of it: log(2 + e^2).
    queries = torch.tensor([[1.0, 0], [0, 1]])
    keys = torch.tensor([[1.0, 0], [1, 0]])
    queue = torch.tensor([[0.0, 1], [-1, 0]])
    found = queue_info_nce(queries, keys, queue, 0.5)
    first = math.log(1 + math.exp(-2) + math.exp(-4))
    second = math.log(2 + math.exp(2))
    assert found.loss.item() == pytest.approx((first + second) / 2, abs=1e-6)
    assert found.chance.item() == pytest.approx(math.log(3))
    assert found.positive.item() == pytest.approx(1 / 2)
    assert found.negative.item() == pytest.approx((0 - 1 + 1 + 0) / 4, abs=1e-7)


def test_equal_features_cost_what_chance_says():
    found = queue_info_nce(torch.ones(3, 1), torch.ones(3, 1), torch.ones(9, 1))
    assert found.loss.item() == pytest.approx(math.log(10), abs=1e-6)
    assert found.chance.item() == pytest.approx(math.log(10), abs=1e-6)


def test_two_processes_have_the_mean_of_all_queries(monkeypatch):
    queries, keys, queue = draw_case()
    whole = queue_info_nce(queries, keys, queue)

    def share(rows):
        return lambda: queue_info_nce(queries[rows], keys[rows], queue, across_ranks=True)

    shares = run_as_two_processes(monkeypatch, share(slice(0, 2)), share(slice(2, 5)))
    torch.testing.assert_close(sum(found.loss for found in shares) / 2, whole.loss)
    for found in shares:
        torch.testing.assert_close(found[1:], whole[1:])


def test_a_temperature_of_nothing():
    with pytest.raises(GeosetError, match="temperature=0: expected a positive number"):
        queue_info_nce(*draw_case(), 0)
