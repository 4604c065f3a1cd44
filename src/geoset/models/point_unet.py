"""The sparse 3D network of the Geo term: features of the voxels of a coloured surface (Pri3D)."""

import ocnn
import torch
from ocnn.nn import OctreeConv
from ocnn.octree import Octree, Points
from torch import Tensor, nn

from geoset.errors import GeosetError

LEAST_DEPTH = 6  # of an octree: four halvings, down to the coarsest level that is not kept dense
MOST_DEPTH = 16  # what the octree's 48-bit keys hold
ROWS = 512  # voxels a CPU convolves at a time: what it gathers of their neighbours stays in cache
GPU_BUFFER = int(2e8)  # numbers gathered at a time; ocnn's own default


class _WideUNet(ocnn.models.UNet):
    """ocnn's U-Net over occupied cells only, its widths times a factor."""

    def __init__(self, in_channels: int, out_channels: int, width: float):
        self.width = width  # asked for by config_network
        super().__init__(in_channels, out_channels, nempty=True)

    def config_network(self) -> None:
        super().config_network()
        self.encoder_channel = [round(self.width * c) for c in self.encoder_channel]
        self.decoder_channel = [round(self.width * c) for c in self.decoder_channel]
        self.head_channel = max(self.out_channels, self.decoder_channel[-1])


class PointUNet(nn.Module):
    """A residual sparse U-Net, MinkUNet-34 in shape, with one feature for each voxel.

    Four levels of 32, 64, 128 and 256 channels, each half as fine as the one before, with 2, 3, 4
    and 6 residual blocks, and back through 256, 128, 96 and 96 with two each.

    in_channels: of the colours; out_channels: of the features
    width: factor on all widths between, a multiple of 1/32; below 1 for training on a CPU

    It computes in float32, also under autocast: ocnn adds up its gradients in the precision of its
    input. Weights are drawn from torch's global generator.

    Raises:
        GeosetError: an argument is not one of those offered.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 96, width: float = 1.0):
        super().__init__()
        if in_channels < 1 or out_channels < 1:
            raise GeosetError(
                f"in_channels={in_channels}, out_channels={out_channels}: expected at least 1 each"
            )
        if width <= 0 or 32 * width % 1:
            raise GeosetError(f"width={width}: expected a positive multiple of 1/32, such as 0.25")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.unet = _WideUNet(in_channels, out_channels, width)

    def forward(self, voxels: Tensor, colors: Tensor, view: Tensor) -> Tensor:
        """Return the features (N,out_channels) float32 of voxels, in their order.

        voxels: (N,3) integers from 0, cells of a grid of each view's own; of a view no two alike
        colors: (N,in_channels) floating point in 0..1, not centred: a cell without voxel is 0
        view: (N,) integers from 0; voxels of different views do not see each other

        Raises:
            GeosetError: an argument is of another shape, there are no voxels, or they lie at
                negative cells or beyond 65535.
        """
        views, depth = self._check(voxels, colors, view)
        self._choose_kernels(voxels.is_cuda)
        with torch.autocast(voxels.device.type, enabled=False):
            octree = Octree(depth, batch_size=views, device=voxels.device)
            points = Points(
                voxels.float() + 0.5, features=colors.float(), batch_id=view, batch_size=views
            )
            node_of_voxel = octree.build_octree(points, bbmin=0, bbmax=2**depth)
            octree.construct_all_neigh()
            return self.unet(octree.features[depth], octree, depth)[node_of_voxel]

    def _check(self, voxels: Tensor, colors: Tensor, view: Tensor) -> tuple[int, int]:
        """Return the number of views, and the depth of an octree whose finest cells are voxels."""
        if voxels.ndim != 2 or voxels.shape[1] != 3 or voxels.is_floating_point():
            raise GeosetError(
                f"voxels are {tuple(voxels.shape)} {voxels.dtype}; expected (N,3) integers"
            )
        if colors.shape != (len(voxels), self.in_channels) or not colors.is_floating_point():
            raise GeosetError(
                f"colors are {tuple(colors.shape)} {colors.dtype}; expected "
                f"({len(voxels)},{self.in_channels}) floating point, a row a voxel"
            )
        if view.shape != (len(voxels),) or view.is_floating_point():
            raise GeosetError(
                f"view is {tuple(view.shape)} {view.dtype}; expected ({len(voxels)},) integers, "
                "one a voxel"
            )
        if not len(voxels):
            raise GeosetError("there are no voxels; expected at least one")
        low, high, last_view = torch.stack(
            [voxels.min(), voxels.max(), view.max()]
        ).tolist()  # waits once, not thrice
        if low < 0 or high >= 2**MOST_DEPTH:
            raise GeosetError(
                f"voxels lie at cells {low} to {high}; expected 0 to {2**MOST_DEPTH - 1}: count "
                "them from the corner of the view's box"
            )
        return last_view + 1, max(LEAST_DEPTH, high.bit_length())

    def _choose_kernels(self, on_gpu: bool) -> None:
        """Follow the tensors: ocnn chose when built, its GPU kernels wherever there is any GPU."""
        for module in self.modules():
            if isinstance(module, OctreeConv):  # OctreeDeconv is one, too
                module.method = module.check_method("triton" if on_gpu else "block_gemm")
                row = module.kdim * module.in_conv
                module.max_buffer = GPU_BUFFER if on_gpu else ROWS * row
