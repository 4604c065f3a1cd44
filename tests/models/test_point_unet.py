import pytest
import torch
import torch.nn.functional as F
from torch import nn

from geoset import GeosetError
from geoset.models import point_unet
from geoset.models.point_unet import PointUNet


def blob(seed=0, count=400, extent=40):
    """Distinct voxels of one view, in no order, and their colours."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randint(0, extent, (count, 3), generator=generator).unique(dim=0)
    cells = cells[torch.randperm(len(cells), generator=generator)]
    return cells, torch.rand(len(cells), 3, generator=generator)


def network(width=0.125):
    """A network whose normalisation has seen data, so that its features are of size 1."""
    torch.manual_seed(0)
    net = PointUNet(out_channels=24, width=width)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 1.0
    voxels, colors = blob(seed=9)
    net(voxels, colors, (voxels[:, 0] > 20).long())
    return net.eval()


def of_one_view(net, voxels, colors):
    with torch.no_grad():
        return net(voxels, colors, torch.zeros(len(voxels), dtype=torch.int64))


def assert_close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


def test_a_row_for_each_voxel_in_their_order():
    net, (voxels, colors) = network(), blob()
    found = of_one_view(net, voxels, colors)
    assert found.shape == (len(voxels), 24)
    assert found.std(0).min() > 0.01
    order = torch.randperm(len(voxels), generator=torch.Generator().manual_seed(1))
    assert_close(of_one_view(net, voxels[order], colors[order]), found[order])


def test_a_voxel_is_a_finest_cell():
    """The first convolution is the dense one, read off at the voxels."""
    net, (voxels, colors) = network(), blob(extent=12)
    convolution = net.unet.conv1.conv
    found = []
    handle = convolution.register_forward_hook(lambda module, inputs, out: found.append(out))
    of_one_view(net, voxels, colors)
    handle.remove()
    dense = torch.zeros(1, 3, 12, 12, 12)
    x, y, z = voxels.T
    dense[0, :, x, y, z] = colors.T
    kernel = convolution.weights.detach().view(3, 3, 3, 3, -1).permute(4, 3, 0, 1, 2)
    expected = F.conv3d(dense, kernel, padding=1)[0, :, x, y, z].T
    # Nodes have an order of their own, along the curve of the octree.
    assert_close(*(rows[rows[:, 0].argsort()] for rows in (found[0], expected)))


def test_views_do_not_see_each_other():
    net = network()
    views = [blob(0), blob(1, count=50, extent=300), blob(2)]
    alone = [of_one_view(net, *view) for view in views]
    voxels, colors = (torch.cat(parts) for parts in zip(*views, strict=True))
    view = torch.repeat_interleave(torch.arange(3), torch.tensor([len(v) for v, _ in views]))
    shuffled = torch.randperm(len(view), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = net(voxels[shuffled], colors[shuffled], view[shuffled])
    assert_close(found, torch.cat(alone)[shuffled])


def test_a_view_without_voxels_leaves_a_gap():
    net, (voxels, colors) = network(), blob()
    with torch.no_grad():
        found = net(voxels, colors, torch.full((len(voxels),), 2))
    assert_close(found, of_one_view(net, voxels, colors))


@pytest.mark.parametrize("far", [100, 3000, 60000])
def test_the_extent_does_not_matter(far):
    net, (voxels, colors) = network(), blob()
    found = of_one_view(
        net, torch.cat([voxels, torch.tensor([[far, far, 5]])]), torch.cat([colors, colors[:1]])
    )
    assert_close(found[:-1], of_one_view(net, voxels, colors))


def test_all_voxels_moved_by_a_coarsest_cell():
    net, (voxels, colors) = network(), blob()
    moved = of_one_view(net, voxels + torch.tensor([16, 48, 0]), colors)
    assert_close(moved, of_one_view(net, voxels, colors))


def test_a_voxel_moved_by_a_cell_moves_its_feature():
    net, (voxels, colors) = network(), blob(extent=20)
    free = voxels[0] + torch.tensor([1, 0, 0])
    assert not (voxels == free).all(1).any()
    moved = voxels.clone()
    moved[0] = free
    change = (of_one_view(net, moved, colors) - of_one_view(net, voxels, colors)).abs()
    assert change[0].max() > 0.01


def test_a_colour_reaches_beyond_its_neighbours():
    net, (voxels, colors) = network(), blob(extent=20)
    changed = colors.clone()
    changed[0] = 1 - changed[0]
    change = of_one_view(net, voxels, changed) - of_one_view(net, voxels, colors)
    distance = (voxels - voxels[0]).abs().amax(1)
    assert change[distance > 8].abs().max() > 1e-3


def test_every_parameter_is_trained():
    net, (voxels, colors) = network().train(), blob()
    features = net(voxels, colors, (voxels[:, 0] > 20).long())
    (
        features * torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    ).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_a_step_repeats_to_the_bit():
    voxels, colors = blob()

    def step():
        net = network().train()
        net(voxels, colors, (voxels[:, 0] > 20).long()).square().sum().backward()
        return [parameter.grad for parameter in net.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(step(), step(), strict=True))


def test_blocks_of_rows_give_what_all_rows_at_once_give(monkeypatch):
    voxels, colors = blob(count=2000, extent=16)

    def features_and_gradients(rows):
        monkeypatch.setattr(point_unet, "ROWS", rows)
        net = network().train()
        features = net(voxels, colors, (voxels[:, 0] > 8).long())
        features.square().sum().backward()
        assert net.unet.conv1.conv.max_buffer == rows * 27 * 3
        return [features.detach(), *(parameter.grad for parameter in net.parameters())]

    at_once, blocks = features_and_gradients(10**6), features_and_gradients(100)
    for found, expected in zip(blocks, at_once, strict=True):
        assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_float32_under_autocast():
    net, (voxels, colors) = network(), blob()
    expected = of_one_view(net, voxels, colors)
    with torch.autocast("cpu", torch.bfloat16):
        found = of_one_view(net, voxels, colors)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_size():
    full, reduced = (sum(p.numel() for p in PointUNet(width=w).parameters()) for w in (1.0, 0.25))
    assert 36e6 < full < 40e6  # MinkUNet-34 has 37.9 million
    assert reduced < full / 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"voxels": torch.zeros(4, 3)}, r"voxels are \(4, 3\) torch.float32; expected \(N,3\)"),
        ({"voxels": torch.zeros(4, 2).long()}, r"voxels are \(4, 2\) torch.int64; expected"),
        ({"colors": torch.zeros(4, 1)}, r"colors are \(4, 1\) torch.float32; expected \(4,3\)"),
        ({"colors": torch.zeros(4, 3).byte()}, r"colors are \(4, 3\) torch.uint8; expected"),
        ({"view": torch.zeros(3).long()}, r"view is \(3,\) torch.int64; expected \(4,\) integers"),
        ({"view": torch.zeros(4)}, r"view is \(4,\) torch.float32; expected \(4,\) integers"),
        ({"voxels": torch.tensor([[0, 0, -3]] * 4)}, "voxels lie at cells -3 to 0; expected 0 to"),
        ({"voxels": torch.tensor([[0, 2**16, 0]] * 4)}, "at cells 0 to 65536; expected 0 to 65535"),
        (
            {
                "voxels": torch.zeros(0, 3).long(),
                "colors": torch.zeros(0, 3),
                "view": torch.zeros(0).long(),
            },
            "there are no voxels",
        ),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {
        "voxels": torch.arange(12).view(4, 3),
        "colors": torch.zeros(4, 3),
        "view": torch.zeros(4, dtype=torch.int64),
    }
    with pytest.raises(GeosetError, match=message):
        network()(**arguments | change)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_channels": 0}, "in_channels=0, out_channels=96: expected at least 1 each"),
        ({"out_channels": 0}, "in_channels=3, out_channels=0: expected"),
        ({"width": 0.0}, "width=0.0: expected a positive multiple of 1/32"),
        ({"width": 0.3}, "width=0.3: expected a positive multiple of 1/32"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(GeosetError, match=message):
        PointUNet(**options)
