import pytest
import torch

from geoset.evaluation import neighbours
from geoset.evaluation.neighbours import neighbour_votes
from reference.neighbours import votes_of


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [1, 4, 20, 99])
@pytest.mark.parametrize("block", [1, 2**24])
def test_votes_are_those_of_a_loop(monkeypatch, block, count):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    queries, bank = drawn(6, 5), drawn(30, 5, seed=1)
    labels = torch.arange(30) % 4
    found = neighbour_votes(queries, bank, labels, 4, neighbours=count, temperature=0.2)
    expected = [
        votes_of(query, bank.tolist(), labels.tolist(), 4, count, 0.2) for query in queries.tolist()
    ]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_the_nearer_neighbour_outvotes_two_that_are_farther():
    """Cosines 1, 0.6, 0.6 at 0.07: e^(0.4/0.07) = 303 votes against 2."""
    bank = torch.tensor([[2.0, 0], [0.6, 0.8], [3.0, -4.0]])
    found = neighbour_votes(torch.tensor([[5.0, 0]]), bank, torch.tensor([1, 0, 0]), 3)
    assert found[0].tolist() == pytest.approx([2 / 305, 303 / 305, 0], abs=1e-4)


def test_sharp_votes_do_not_overflow():
    found = neighbour_votes(drawn(2, 3), drawn(9, 3), torch.zeros(9).long(), 1, temperature=1e-3)
    torch.testing.assert_close(found, torch.ones(2, 1))
