"""Image encoders: timm backbones that return feature maps of several depths.

An encoder maps images (B,3,H,W) to a list of maps and says of each its width (`channels`) and its
stride (`reductions`): four of growing strides, finest first (ResNets, ConvNeXt), or four of one
stride (ViTs). It also says what it wants of an image: H and W a multiple of `multiple`, and
colours in 0..1 normalised by `mean` and `std`. Networks and decoders ask these and nothing else.
"""

from difflib import get_close_matches

import timm
from torch import Tensor, nn

from geoset.errors import GeosetError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
RESNET_WIDTHS = (64, 128, 256, 512)

EXAMPLES = (
    *("resnet18", "resnet50", "convnext_tiny"),
    *("vit_small_patch14_dinov2", "vit_small_patch16_dinov3"),
)

LEVELS = 4
SAFE_CHANNELS = 8  # from so many on, see _spare_narrow_shortcuts


def build_encoder(name: str, width: float = 1.0, output_stride: int = 32) -> nn.Module:
    """Return a randomly initialised encoder, with its `name` and `width`.

    name: of a backbone of timm, with or without a tag ("convnext_tiny.dinov3_lvd1689m"), but for
        those in RESNETS, which have none. Their parameters bear torchvision's names; those of the
        others timm's, below `model.`
    width: of a ResNet: factor on the width of the four stages, a multiple of 1/32; the stem keeps
        its 64
    output_stride: of a ResNet: 8 or 16 keep the later stages at that stride, and dilate them. Its
        parameters are the same. Others have no such choice, and keep their strides

    Raises:
        GeosetError: the name or the width is not one of those offered, or the backbone makes no
            maps for dense features.
    """
    if not timm.is_model(name):
        close = get_close_matches(name, timm.list_models(), n=5)
        raise GeosetError(
            f"encoder '{name}' is unknown to timm {timm.__version__}; "
            + (f"close to it: {', '.join(close)}. " if close else "")
            + f"Choose for example one of: {', '.join(EXAMPLES)}; timm.list_models() lists all"
        )
    resnet = name.partition(".")[0]
    if resnet in RESNETS and name != resnet:
        raise GeosetError(
            f"encoder '{name}': call it {resnet}, and give other weights than torchvision's as a "
            f"file: torch.save(timm.create_model('{name}', pretrained=True).state_dict(), FILE)"
        )
    if name in RESNETS:
        encoder = _build_resnet(name, width, output_stride)
    elif width == 1:
        encoder = _build_timm(name)
    else:
        raise GeosetError(
            f"encoder width {width:g}: only {', '.join(RESNETS)} have a width; for {name} leave "
            "it at 1, and choose a smaller backbone instead"
        )
    encoder.name, encoder.width = name, width
    return encoder


def _build_resnet(name: str, width: float, output_stride: int) -> nn.Module:
    # The decoder halves the narrowest stage once more: all widths must stay whole numbers.
    if width <= 0 or width * 32 % 1:
        raise GeosetError(
            f"encoder width {width:g}: expected a positive multiple of 1/32; 0.25 is a narrow "
            "network for a CPU, 1 the original"
        )
    encoder = timm.create_model(
        name,
        features_only=True,
        out_indices=(1, 2, 3, 4),
        pretrained=False,
        output_stride=output_stride,
        channels=tuple(int(channels * width) for channels in RESNET_WIDTHS),
        # As in torchvision: with zeros, the branches' first convolutions get no gradient at first.
        zero_init_last=False,
    )
    _spare_narrow_shortcuts(encoder)
    encoder.channels = tuple(encoder.feature_info.channels())
    encoder.reductions = tuple(encoder.feature_info.reduction())
    encoder.multiple = 1
    encoder.mean, encoder.std = IMAGENET_MEAN, IMAGENET_STD
    return encoder


def _spare_narrow_shortcuts(encoder: nn.Module) -> None:
    """Leave pixels out before strided 1x1 convolutions of few channels, not in them.

    It is the same. But oneDNN (with torch 2.15, on CPUs without AVX-512) writes beyond its memory
    in their backward pass, in channels_last: the process dies, there or later.
    """
    for module in encoder.modules():
        if (
            isinstance(module, nn.Conv2d)
            and (module.kernel_size, module.stride) == ((1, 1), (2, 2))
            and module.in_channels < SAFE_CHANNELS
        ):
            module.stride = (1, 1)
            module.register_forward_pre_hook(_every_second_pixel)


def _every_second_pixel(module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    return inputs[0][:, :, ::2, ::2]


def _build_timm(name: str) -> nn.Module:
    try:
        wanted = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # a tag that the backbone does not have
        tagged = ", ".join(timm.list_pretrained(f"{name.partition('.')[0]}.*")) or "none"
        raise GeosetError(
            f"encoder '{name}': timm {timm.__version__} has no such weights; with tags it has "
            f"{tagged}"
        ) from error
    any_size = {"dynamic_img_size": True} if wanted.fixed_input_size else {}
    try:
        encoder = timm.create_model(
            name,
            features_only=True,
            feature_cls="getter",
            out_indices=LEVELS,
            pretrained=False,
            **any_size,
        )
    except (AssertionError, RuntimeError, TypeError) as error:
        raise GeosetError(
            f"encoder '{name}' of timm {timm.__version__} does not make {LEVELS} feature "
            f"maps of images of any size ({error}). Choose for example one of: "
            f"{', '.join(EXAMPLES)}"
        ) from error
    encoder.channels = tuple(encoder.feature_info.channels())
    encoder.reductions = tuple(encoder.feature_info.reduction())
    if len(set(encoder.reductions)) == 1:
        # The last blocks of a ViT are much alike: take four evenly spaced ones instead.
        depth = encoder.out_indices[-1] + 1
        encoder.out_indices = [(i + 1) * depth // LEVELS - 1 for i in range(LEVELS)]
    elif sorted(set(encoder.reductions)) != list(encoder.reductions):
        raise GeosetError(
            f"encoder '{name}' makes maps of strides {', '.join(map(str, encoder.reductions))}; "
            f"expected {LEVELS} that grow, or all the same. Choose for example one of: "
            f"{', '.join(EXAMPLES)}"
        )
    # Then every map covers the whole image: many backbones drop the rows that are left over.
    encoder.multiple = encoder.reductions[-1]
    encoder.mean, encoder.std = tuple(wanted.mean), tuple(wanted.std)
    return encoder
