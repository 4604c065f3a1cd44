import numpy as np
import pytest
import torch

from geoset.evaluation.features import effective_rank, sample_cells


def effective_rank_in_numpy(features):
    """The participation ratio, from the eigenvalues of the covariance of unit features."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    values = np.linalg.eigvals(np.cov(unit, rowvar=False)).real
    return values.sum() ** 2 / (values**2).sum()


def test_effective_rank_is_that_of_numpy():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 16)) * rng.uniform(0.1, 3, 16) + rng.normal(size=16)
    expected = effective_rank_in_numpy(features)
    assert 5 < expected < 15
    assert effective_rank(torch.from_numpy(features)).item() == pytest.approx(expected, rel=1e-9)


def test_both_ends_of_a_line_are_one_direction():
    """Unit features (1,0), (-1,0): covariance diag(1, 0)."""
    assert effective_rank(torch.tensor([[3.0, 0.0], [-5.0, 0.0]])).item() == pytest.approx(1)


def test_two_directions_of_unequal_weight():
    """Centred, (+-1, 0) three times and (0, +-1) once have shares 3/4 and 1/4 of the variance,
    and 1 / (9/16 + 1/16) = 1.6.
    """
    x = torch.tensor([[1.0, 0], [-1, 0]] * 3 + [[0, 1], [0, -1]])
    assert effective_rank(x).item() == pytest.approx(1.6, rel=1e-6)


def test_collapsed_features_have_rank_1():
    torch.manual_seed(0)
    collapsed = torch.ones(1, 32) + 1e-3 * torch.randn(500, 1) * torch.randn(1, 32)
    assert effective_rank(collapsed).item() == pytest.approx(1, abs=0.01)
    assert effective_rank(torch.ones(500, 32)).item() == pytest.approx(1, abs=0.01)


def test_isotropic_features_have_rank_of_their_dimension():
    torch.manual_seed(0)
    assert effective_rank(torch.randn(100_000, 24)).item() == pytest.approx(24, rel=1e-3)
    assert effective_rank(torch.cat([torch.eye(24), -torch.eye(24)])).item() == pytest.approx(24)


def test_rank_ignores_length_order_and_rotation():
    torch.manual_seed(0)
    features = torch.randn(300, 12, dtype=torch.float64) * torch.linspace(0.1, 2, 12)
    expected = effective_rank(features).item()
    rotation, _ = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64))
    changed = [
        features * torch.rand(300, 1, dtype=torch.float64).add(0.1),
        features[torch.randperm(300)],
        features @ rotation,
        features.repeat(2, 1),
    ]
    for other in changed:
        assert effective_rank(other).item() == pytest.approx(expected, rel=1e-9)


def test_sampled_cells_are_whole_feature_vectors_drawn_evenly():
    """The vector of cell (v, y, x) is (number of the cell, minus that)."""
    number = torch.arange(2.0 * 3 * 4).view(2, 1, 3, 4)
    features = torch.cat([number, -number], dim=1).requires_grad_()
    found = sample_cells(features, 24_000, torch.Generator().manual_seed(0))
    assert found.shape == (24_000, 2)
    assert not found.requires_grad
    assert torch.equal(found[:, 0], -found[:, 1])
    counts = torch.bincount(found[:, 0].long(), minlength=24)
    assert (counts - 1000).abs().max() < 150  # five standard deviations


def test_samples_depend_on_the_generator_only():
    features = torch.randn(2, 8, 5, 5).half()
    first, again, other = (
        sample_cells(features, 50, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
