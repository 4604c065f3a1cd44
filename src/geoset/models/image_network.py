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

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Map RGB images (B,3,H,W), float in 0..1, to the encoder's four maps by name.

        Names say the stride, finest first: "stride4" (B,C,H/4,W/4) to "stride32" for most encoders;
        where maps share a stride they are numbered from shallow to deep, "stride16_1" to
        "stride16_4" for a ViT. The encoder's mean and standard deviation are applied here, not by
        the caller. Sizes are free: for a ViT, images are resized to the nearest multiple of its
        patch, for others but ResNets to that of the coarsest stride; they are never padded.

        Raises:
            GeosetError: the images are not (B,3,H,W), or not floating point.
        """
        return named_maps(self.encoder, self.maps(images))

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return what `encode` does as a list, finest first."""
        return encoder_maps(self.encoder, images, self.mean, self.std)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size that images of (height, width) have for the encoder."""
        return input_size(self.encoder, height, width)


def encoder_maps(encoder: nn.Module, images: Tensor, mean: Tensor, std: Tensor) -> list[Tensor]:
    """Map images, as for `ImageNetwork.encode`, to the maps of an encoder, finest first.

    encoder: of `build_encoder`; mean, std: its own, (3,1,1)
    """
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise GeosetError(
            f"images are {tuple(images.shape)} {images.dtype}; expected (B,3,H,W) floating "
            "point in 0..1: move the channels first and divide bytes by 255"
        )
    images = (images - mean) / std
    if encoder.multiple > 1:
        # Also where the size is right already, which costs a copy: ONNX knows no sizes to compare.
        size = input_size(encoder, *images.shape[-2:])
        images = F.interpolate(images, size, mode="bilinear", align_corners=False)
    return encoder(images)


def named_maps(encoder: nn.Module, maps: list[Tensor]) -> dict[str, Tensor]:
    """Return the maps of an encoder by the names that `map_names` gives them."""
    return dict(zip(map_names(encoder), maps, strict=True))


def map_names(encoder: nn.Module) -> list[str]:
    """Return the names of an encoder's maps: their strides, numbered where several share one."""
    strides = encoder.reductions
    return [
        f"stride{stride}"
        + (f"_{1 + strides[:place].count(stride)}" if strides.count(stride) > 1 else "")
        for place, stride in enumerate(strides)
    ]


def input_size(encoder: nn.Module, height: int, width: int) -> tuple[int, int]:
    """Return the multiple of what an encoder asks for that is nearest to a size, at least one."""
    multiple = encoder.multiple
    # `max` would decide by the size of one image what an exported graph does with all.
    rows, columns = (torch.sym_max(1, (n + multiple // 2) // multiple) for n in (height, width))
    return rows * multiple, columns * multiple
