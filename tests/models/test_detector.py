import pytest
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

import geoset
from geoset import GeosetError
from geoset.models import load
from geoset.models.detector import Detector

CLASSES = ("chair", "table")
SMALL = {"width": 0.125, "sizes": (64,), "max_size": 96}


def detector(encoder="resnet18", classes=CLASSES, **options):
    torch.manual_seed(0)
    return Detector(encoder, classes, **(SMALL | options))


def target(*boxes, size=(64, 80)):
    """Instances that fill their boxes, of classes 1, 2, 1 .."""
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    labels = torch.arange(len(boxes)) % len(CLASSES) + 1
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": labels,
        "masks": masks,
    }


IMAGES = list(torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(1)))
TARGETS = [target((4, 4, 30, 40), (40, 20, 76, 60)), target((10, 8, 60, 50))]
LOSSES = {
    *("loss_classifier", "loss_box_reg", "loss_mask"),
    *("loss_objectness", "loss_rpn_box_reg"),
}


def losses(model, images=IMAGES, targets=TARGETS):
    torch.manual_seed(2)
    return model.train()(list(images), [dict(each) for each in targets])


def without_gradient(model):
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    }


@pytest.mark.parametrize(
    ("encoder", "options"), [("resnet18", {}), ("resnet50", {}), ("convnext_atto", {"width": 1})]
)
def test_gradient_reaches_every_parameter(encoder, options):
    model = detector(encoder, **options)
    found = losses(model)
    assert found.keys() == LOSSES
    sum(found.values()).backward()
    assert without_gradient(model) == set()


def test_frozen_parts_stay():
    model = detector(frozen=True)
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    sum(losses(model).values()).backward()
    torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1).step()
    after = model.encoder.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    expected = {
        f"{stage}.{name}.weight"
        for stage in ("layer2", "layer3", "layer4")
        for name in ("0.conv1", "0.conv2", "0.downsample.0", "1.conv1", "1.conv2")
    }
    assert changed == expected
    trainable = {name for name, p in model.encoder.named_parameters() if p.requires_grad}
    assert trainable == expected


def test_without_freezing_statistics_move():
    model = detector()
    losses(model)
    assert model.encoder.bn1.running_mean.any()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_an_image_without_instances_trains_too():
    model = detector()
    found = losses(model, targets=[TARGETS[0], target()])
    assert all(loss.isfinite() for loss in found.values())
    found = losses(model, targets=[target(), target()])
    sum(found.values()).backward()
    assert found["loss_mask"] == found["loss_box_reg"] == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_detections_are_in_pixels_of_each_image():
    model = detector().eval()
    with torch.no_grad():
        found = model([torch.rand(3, 64, 80), torch.rand(3, 90, 50)])
    for each, (height, width) in zip(found, [(64, 80), (90, 50)], strict=True):
        assert each["masks"].shape[1:] == (1, height, width)
        assert (each["boxes"] >= 0).all()
        assert (each["boxes"] <= torch.tensor([width, height, width, height])).all()
        assert set(each["labels"].tolist()) <= {1, 2}


def test_equal_to_torchvisions_own():
    """The same weights by the same names, and anchors as they are said to be at side 200."""
    ours = detector("resnet18", width=1.0, sizes=(200,), max_size=400, regions=16)
    theirs = MaskRCNN(
        resnet_fpn_backbone(
            backbone_name="resnet18",
            weights=None,
            norm_layer=nn.BatchNorm2d,
            trainable_layers=5,
        ),
        num_classes=3,
        min_size=200,
        max_size=400,
        rpn_anchor_generator=AnchorGenerator(
            ((8,), (16,), (32,), (64,), (128,)), ((0.5, 1.0, 2.0),) * 5
        ),
        box_batch_size_per_image=16,
    )
    theirs.load_state_dict(ours.state_dict())
    found, expected = losses(ours, IMAGES[:1], TARGETS[:1]), losses(theirs, IMAGES[:1], TARGETS[:1])
    for name in LOSSES:
        torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize(
    ("sizes", "smallest"), [((640, 800), 32), ((480,), 19), ((240,), 9), ((96,), 8)]
)
def test_anchors_follow_the_size_of_images(sizes, smallest):
    generator = detector(sizes=sizes, max_size=2000).rpn.anchor_generator
    assert generator.sizes == tuple((smallest * 2**level,) for level in range(5))


def test_width_reaches_the_heads():
    model = detector(width=0.25)
    assert model.backbone.out_channels == 64
    assert model.roi_heads.box_head.fc6.out_features == 256
    assert model.roi_heads.mask_predictor.mask_fcn_logits.in_channels == 64


def test_a_saved_detector_comes_back(tmp_path, monkeypatch):
    monkeypatch.setitem(load.MODELS, "Detector", Detector)
    model = detector(frozen=True, regions=8)
    load.save_model(model, tmp_path / "model.safetensors")
    loaded = geoset.load_model(tmp_path)
    assert loaded.config == model.config
    assert loaded.classes == CLASSES
    with torch.no_grad():
        found, expected = loaded(IMAGES), model.eval()(IMAGES)
    assert all(torch.equal(a["masks"], b["masks"]) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"classes": ()}, r"classes of instances: none; expected one or more, each once"),
        ({"classes": ("chair", "chair")}, r"chair, chair; expected one or more, each once"),
        (
            {"encoder": "convnext_atto", "width": 1, "frozen": True},
            r"frozen: encoder 'convnext_atto' has no stem .* only resnet18, .* Leave it off",
        ),
        (
            {"encoder": "vit_tiny_patch16_224", "width": 1},
            r"maps of strides 16, 16, 16, 16; Mask R-CNN wants 4, 8, 16, 32. Choose a ResNet, or",
        ),
        ({"sizes": (16,)}, r"image sizes 16, at most 96: expected short sides of 32 or more"),
        ({"sizes": (64, 128)}, r"image sizes 64, 128, at most 96: .* none above the longest side"),
        ({"encoder": "resnet81", "frozen": True}, r"encoder 'resnet81' is unknown to timm"),
    ],
)
def test_wrong_arguments(options, text):
    with pytest.raises(GeosetError, match=text):
        detector(**options)
