import torch
import torch.nn.functional as F

from geoset.models.decoder import FLAT_WIDTH, FlatDecoder


def maps(*scales):
    generator = torch.Generator().manual_seed(1)
    return [scale * torch.randn(2, 8, 3, 4, generator=generator) for scale in scales]


def decoder():
    torch.manual_seed(0)
    return FlatDecoder((8, 8, 8), out_channels=5).eval()


def test_flat_decoder_written_out():
    """Normalise each map over its channels, project, sum; up twice; a 1x1 convolution."""
    network = decoder()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.3)
    with torch.no_grad():
        found = network(maps(1, 2, 3))
        x = torch.zeros(2, FLAT_WIDTH, 3, 4)
        for (norm, conv), one in zip(network.projections, maps(1, 2, 3), strict=True):
            spread = one.var(dim=1, correction=0, keepdim=True)
            unit = (one - one.mean(dim=1, keepdim=True)) / (spread + norm.eps).sqrt()
            unit = unit * norm.weight[:, None, None] + norm.bias[:, None, None]
            x += torch.einsum("bchw,dc->bdhw", unit, conv.weight[:, :, 0, 0])
            x += conv.bias[:, None, None]
        x = network.up2(network.up1(x, (6, 8)), (12, 16))
        expected = F.conv2d(x, network.conv0.weight, network.conv0.bias)
    assert found.shape == (2, 5, 12, 16)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max())


def test_no_depth_outweighs_another():
    network = decoder()
    with torch.no_grad():
        same, scaled = network(maps(1, 1, 1)), network(maps(1, 1000, 1))
    torch.testing.assert_close(scaled, same, rtol=1e-3, atol=1e-3)
