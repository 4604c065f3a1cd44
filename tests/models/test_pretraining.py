"""Which pixel is compared with which point: each feature says where it comes from."""

import pytest
import torch
from torch import nn

from geoset.data.points import PointBatch
from geoset.models.pretraining import PretrainNetwork

VIEWS, HEIGHT, WIDTH = 3, 8, 12  # of images; features have half the resolution


class Places(nn.Module):
    """Features that are the view, the row and the column of a cell."""

    out_channels = 3

    def forward(self, images):
        h, w = HEIGHT // 2, WIDTH // 2
        axes = torch.arange(VIEWS), torch.arange(h), torch.arange(w)
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=1).float()


class Numbers(nn.Module):
    """Features that are the number of a voxel, its first coordinate, and its view."""

    def forward(self, voxels, colors, view):
        return torch.stack([torch.arange(len(voxels)), voxels[:, 0], view], dim=1).float()


@pytest.fixture
def network():
    made = PretrainNetwork(Places(), depth=True, geo_channels=3, geo_width=0.125)
    made.point, made.point_head = Numbers(), nn.Linear(3, 3)
    for head in (made.pixel_head, made.point_head):
        head.weight, head.bias = nn.Parameter(torch.eye(3)), nn.Parameter(torch.zeros(3))
    # 100 for each view, 10 for each row, 1 for each column
    made.depth_head.weight = nn.Parameter(torch.tensor([100.0, 10.0, 1.0])[None, :, None, None])
    made.depth_head.bias = nn.Parameter(torch.zeros(1))
    return made


def test_pixels_and_points_of_the_same_sample_stand_side_by_side(network):
    generator = torch.Generator().manual_seed(0)
    samples, per_view = 20, 5
    x = torch.randint(WIDTH, (VIEWS, samples), generator=generator)
    y = torch.randint(HEIGHT, (VIEWS, samples), generator=generator)
    view = torch.arange(VIEWS).repeat_interleave(per_view)
    voxels = torch.randint(50, (VIEWS * per_view, 3), generator=generator, dtype=torch.int32)
    number = torch.randint(per_view, (VIEWS, samples), generator=generator)
    voxel = number + per_view * torch.arange(VIEWS)[:, None]
    points = PointBatch(
        voxels,
        torch.zeros(VIEWS * per_view, 3),
        view,
        torch.stack([x, y], dim=-1),
        voxel,
        torch.full((VIEWS,), samples),
    )
    found = network(torch.zeros(VIEWS, 3, HEIGHT, WIDTH), points)
    assert found.pixels.shape == found.points.shape == (VIEWS, samples, 3)
    assert found.depth is None
    for v in range(VIEWS):
        for s in range(samples):
            assert found.pixels[v, s].tolist() == [v, y[v, s] // 2, x[v, s] // 2]
            k = int(voxel[v, s])
            assert found.points[v, s].tolist() == [k, voxels[k, 0], v]


def test_depth_is_of_its_own_cell(network):
    found = network(torch.zeros(VIEWS, 3, HEIGHT, WIDTH), depth=True)
    assert found.depth.shape == (VIEWS, HEIGHT // 2, WIDTH // 2)
    assert found.depth[2, 3, 5].item() == 235
    assert found.depth[1, 0, 4].item() == 104
    assert found.pixels is None and found.points is None


def test_all_heads_teach_the_image_network():
    torch.manual_seed(0)
    image = nn.Conv2d(3, 4, 1)
    image.out_channels = 4
    network = PretrainNetwork(image, depth=True, geo_channels=3, geo_width=0.125)
    network.point = Numbers()
    network.point_head = nn.Linear(3, 3)
    points = PointBatch(
        torch.ones(1, 3, dtype=torch.int32), torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64),
        torch.zeros(1, 1, 2, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.int64),
        torch.ones(1),
    )  # fmt: skip
    found = network(torch.rand(1, 3, HEIGHT, WIDTH), points, depth=True)
    for output in (found.features, found.depth, found.pixels):
        (gradient,) = torch.autograd.grad(output.sum(), image.weight, retain_graph=True)
        assert gradient.abs().sum() > 0
