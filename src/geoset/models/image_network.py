"""What all image networks have in common: an encoder, and images as users have them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geoset.errors import GeosetError
from geoset.models.encoder import build_encoder


class ImageNetwork(nn.Module):
    """An encoder that takes RGB images in 0..1 of any size.

    encoder, width, output_stride: as `build_encoder` has them
    """

    def __init__(self, encoder: str, width: float = 1.0, output_stride: int = 32):
        super().__init__()
        self.encoder = build_encoder(encoder, width, output_stride)
        # Not persistent: checkpoints hold the keys of Pri3D and no others.
        for name in ("mean", "std"):
            value = torch.tensor(getattr(self.encoder, name)).view(3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Map RGB images (B,3,H,W), float in 0..1, to the encoder's four maps, finest first.

        The encoder's mean and standard deviation are applied here, not by the caller. Sizes are
        free: for a ViT, images are resized to the nearest multiple of its patch, for others but
        ResNets to that of the coarsest stride; they are never padded.

        Raises:
            GeosetError: the images are not (B,3,H,W), or not floating point.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise GeosetError(
                f"images are {tuple(images.shape)} {images.dtype}; expected (B,3,H,W) floating "
                "point in 0..1: move the channels first and divide bytes by 255"
            )
        height, width = images.shape[-2:]
        images = (images - self.mean) / self.std
        size = self.input_size(height, width)
        if size != (height, width):
            images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        return self.encoder(images)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size that images of (height, width) have for the encoder."""
        multiple = self.encoder.multiple
        rows, columns = (max(1, (n + multiple // 2) // multiple) for n in (height, width))
        return rows * multiple, columns * multiple
