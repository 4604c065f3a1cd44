"""The network to pre-train, and what is trained beside it and thrown away afterwards."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from geoset.models.point_unet import PointUNet


class Outputs(NamedTuple):
    """What the losses look at.

    features: (V,C,h,w) of the image network
    depth: (V,h,w) predicted metres; None without that head
    pixels, points: (V,S,E) features of sampled pixels and of the points they see, in the space in
        which they are compared; None without points
    """

    features: Tensor
    depth: Tensor | None
    pixels: Tensor | None
    points: Tensor | None


class PretrainNetwork(nn.Module):
    """An image network, with a depth head and a 3D network beside it where a loss wants them.

    image: the network that is kept
    depth: predict depth, by a 1x1 convolution of the features
    geo_channels: size of the space in which pixels and points are compared, through a linear layer
        on either side (Pri3D); None without a 3D network
    geo_width: factor on the width of the 3D network
    """

    def __init__(
        self,
        image: nn.Module,
        *,
        depth: bool = False,
        geo_channels: int | None = None,
        geo_width: float = 1.0,
    ) -> None:
        super().__init__()
        self.image = image
        if depth:
            self.depth_head = nn.Conv2d(image.out_channels, 1, 1)
        if geo_channels:
            self.point = PointUNet(width=geo_width)
            self.pixel_head = nn.Linear(image.out_channels, geo_channels)
            self.point_head = nn.Linear(self.point.out_channels, geo_channels)

    def forward(self, images: Tensor, points=None, depth: bool = False) -> Outputs:
        """Map images (V,3,H,W) in 0..1, and the points that they see, to what the losses need.

        points: voxels of the views' surroundings, and samples of them with the pixel that sees
            each (`data.points.PointBatch`); None leaves the 3D network out
        depth: predict depth as well
        """
        features = self.image(images)
        pixel_rows = point_rows = None
        if points is not None:
            cells = _cells(points.pixel, images.shape[-2:], features)
            pixel_rows = self.pixel_head(cells)
            of_voxels = self.point(points.voxels, points.colors, points.view)
            point_rows = self.point_head(of_voxels[points.voxel])
        return Outputs(
            features,
            self.depth_head(features).squeeze(1) if depth else None,
            pixel_rows,
            point_rows,
        )


def _cells(pixel: Tensor, image_size: tuple[int, int], features: Tensor) -> Tensor:
    """Return the features (V,S,C) of the cells that hold pixels (x, y) (V,S,2) of each view."""
    (height, width), (h, w) = image_size, features.shape[-2:]
    x, y = pixel.long().unbind(-1)
    view = torch.arange(len(features), device=features.device)[:, None]
    cell = (view * h + y * h // height) * w + x * w // width
    rows = features.permute(0, 2, 3, 1).flatten(0, 2)
    return rows.index_select(0, cell.flatten()).unflatten(0, cell.shape)
