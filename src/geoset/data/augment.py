"""Photometric augmentation of whole batches, on whatever device the images are.

The operations are those of `torchvision.transforms.functional`, with one factor an image instead of
one a call. Random numbers are drawn on the CPU, so that they do not depend on the device, and are
sent there without waiting for it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from geoset.errors import GeosetError
from geoset.recipes import Photometric


def augment(
    images: Tensor, generator: torch.Generator, settings: Photometric | None = None
) -> Tensor:
    """Change the colours and the sharpness of each image independently.

    Colour jitter, grayscale and blur, in this order. torchvision draws the order of the four jitter
    operations for each image; here it is drawn once a call and shared by the batch.

    Args:
        images: (B,3,H,W) RGB, uint8, or float in 0..1.
        generator: on the CPU; the only source of randomness.
        settings: strengths and probabilities; `Photometric()` if None.

    Returns:
        (B,3,H,W) float in 0..1, on the device of `images`.
    """
    settings = settings or Photometric()
    images = images / 255 if images.dtype == torch.uint8 else images.clone()
    order = torch.randperm(4, generator=generator).tolist()
    draws = torch.rand(len(images), 8, generator=generator)

    chosen, at = _chosen(draws[:, 0] < settings.jitter_probability, images)
    images[at] = _jitter(images[at], draws[chosen, 1:5], order, settings)

    chosen, at = _chosen(draws[:, 5] < settings.grayscale_probability, images)
    images[at] = rgb_to_grayscale(images[at]).expand(-1, 3, -1, -1)

    chosen, at = _chosen(draws[:, 6] < settings.blur_probability, images)
    if len(chosen):
        low, high = settings.blur_sigma
        sigma = low + (high - low) * draws[chosen, 7]
        images[at] = gaussian_blur(images[at], sigma, radius=math.ceil(3 * high))
    return images


def _chosen(mask: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices where `mask` (B,) is true, on the CPU and on the device of `images`."""
    indices = mask.nonzero()[:, 0]
    return indices, indices.to(images.device, non_blocking=True)


def _jitter(images: Tensor, draws: Tensor, order: list[int], settings: Photometric) -> Tensor:
    """Apply the four colour operations in `order`; `draws` (B,4) in 0..1 set their strengths."""
    strengths = torch.tensor(
        [settings.brightness, settings.contrast, settings.saturation, settings.hue]
    )
    offsets = (2 * draws - 1) * strengths
    operations = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
    neutral = (1, 1, 1, 0)
    for k in order:
        images = operations[k](images, neutral[k] + offsets[:, k])
    return images


def rgb_to_grayscale(images: Tensor) -> Tensor:
    """Return the luma of `images` (B,3,H,W) as (B,1,H,W)."""
    red, green, blue = images.split(1, dim=1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Scale each of `images` (B,3,H,W) by its `factor` (B,); 0 is black, 1 changes nothing."""
    return (images * _per_image(factor, images)).clamp(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend each image with its mean luma; `factor` (B,): 0 is flat gray, 1 changes nothing."""
    mean = rgb_to_grayscale(images).mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, _per_image(factor, images)).clamp(0, 1)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend each image with its grayscale; `factor` (B,): 0 is grayscale, 1 changes nothing."""
    gray = rgb_to_grayscale(images)
    return torch.lerp(gray, images, _per_image(factor, images)).clamp(0, 1)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of each image by `shift` (B,), in turns; value and saturation stay.

    Hue is that of HSV: red at 0, green at 1/3 and blue at 2/3 of a turn. Back in RGB, a channel is
    brightest where the hue is within 1/6 of its own, and darkest where it is over 1/3 away.
    """
    red, green, blue = images.split(1, dim=1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    scale = 1 / (6 * chroma.where(chroma > 0, 1))
    hue = torch.where(value == green, 1 / 3 + (blue - red) * scale, 2 / 3 + (red - green) * scale)
    hue = torch.where(value == red, (green - blue) * scale, hue) + _per_image(shift, images)
    away = hue - (torch.arange(3, device=images.device) / 3).view(1, 3, 1, 1)
    away = (away - away.round()).abs()
    return value - chroma * (6 * away - 1).clamp(0, 1)


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Blur each image by a Gaussian of its `sigma` (B,), cut at `radius`, borders reflected.

    Raises:
        GeosetError: the images are not larger than `radius`.
    """
    count, channels, height, width = images.shape
    if min(height, width) <= radius:
        raise GeosetError(
            f"images of {width}x{height} are too small for a blur of radius {radius}; "
            f"use larger images, a smaller blur_sigma, or blur_probability 0"
        )
    x = torch.arange(-radius, radius + 1)
    kernel = torch.softmax(-0.5 * (x / sigma[:, None]) ** 2, dim=1).to(images, non_blocking=True)
    kernel = kernel.repeat_interleave(channels, dim=0)[:, None]
    # Every channel of every image is one group with a kernel of its own.
    rows = images.reshape(1, count * channels, height, width)
    rows = F.pad(rows, (radius, radius, radius, radius), mode="reflect")
    rows = F.conv2d(rows, kernel[:, :, None, :], groups=count * channels)
    rows = F.conv2d(rows, kernel[:, :, :, None], groups=count * channels)
    return rows.view_as(images)


def _per_image(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images, non_blocking=True).view(-1, 1, 1, 1)
