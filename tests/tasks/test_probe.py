import pytest
import torch
from torch import nn

from geoset.errors import GeosetError
from geoset.models.resunet import ResUNet
from geoset.models.segmenter import Segmenter
from geoset.tasks.labelled_cells import BATCH, labelled_cells
from geoset.tasks.probe import (
    color_and_position,
    estimate_batchnorm,
    fit_neighbours,
    linear_probe,
    majority_class,
    network_features,
    score_segments,
)

NAMES = ("dark", "red", "green", "blue")
CELL = 2  # pixels; every label is that of a whole cell
COLORS = torch.tensor([[40, 40, 40], [200, 40, 40], [40, 200, 40], [40, 40, 200]])


class Stored:
    """A labelled set of what is in memory."""

    name, classes, instance_classes = "stored", NAMES, ()

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def image(self, i):
        return self.images[i].permute(1, 2, 0).numpy()

    def semantic(self, i):
        return self.labels[i].numpy()


def images_of(labels, generator):
    """Paint each class in its colour, with noise that leaves the classes linearly separable."""
    colors = COLORS[labels.clamp(min=0)].permute(0, 3, 1, 2)
    noise = torch.randint(-30, 31, colors.shape, generator=generator)
    return Stored((colors + noise).to(torch.uint8), labels)


def toy(seed, count=20):
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randint(-1, 4, (count, 8, 12), generator=generator)
    labels = cells.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)
    return images_of(labels, generator)


def cell_colors(images):
    """The mean colour of each cell."""
    return nn.functional.avg_pool2d(images.float() / 255, CELL)


def pixel_colors(images):
    return images.float() / 255


def test_linearly_separable_classes_are_recovered():
    found = linear_probe(pixel_colors, toy(0), toy(1), NAMES)
    assert found.pixel_accuracy > 0.99
    assert set(found.iou) == set(NAMES)
    assert found.mean_iou() > 0.98


def test_classes_that_features_do_not_show_are_not_recovered():
    """Features of other images say nothing of these labels: four classes, one in four right."""
    train, test = toy(0), toy(1)
    strangers = Stored(toy(2).images, train.labels)
    found = linear_probe(cell_colors, strangers, test, NAMES)
    assert found.pixel_accuracy == pytest.approx(0.25, abs=0.06)


def test_scale_and_offset_of_features_do_not_matter():
    """Features are standardised, by the statistics of the training cells alone."""

    def scaled(images):
        return 1e4 * pixel_colors(images) + 3e4

    expected = linear_probe(pixel_colors, toy(0), toy(1), NAMES).iou
    assert linear_probe(scaled, toy(0), toy(1), NAMES).iou == pytest.approx(expected, abs=0.01)


def test_a_feature_that_never_changes_does_no_harm():
    def with_constant(images):
        colors = pixel_colors(images)
        return torch.cat([colors, torch.ones_like(colors[:, :1])], dim=1)

    assert linear_probe(with_constant, toy(0), toy(1), NAMES).pixel_accuracy > 0.99


def test_the_probe_is_deterministic():
    torch.manual_seed(0)
    first = linear_probe(cell_colors, toy(0), toy(1), NAMES)
    torch.manual_seed(1)
    assert linear_probe(cell_colors, toy(0), toy(1), NAMES) == first


def test_a_cell_has_the_label_of_its_centre_pixel():
    """Cells of 4x4 pixels: only the pixel at (2, 2) of each tells the class by its label."""
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(0, 4, (20, 6, 6), generator=generator)
    truth = cells.repeat_interleave(4, 1).repeat_interleave(4, 2)
    labels = torch.full_like(truth, -1)
    labels[:, 2::4, 2::4] = cells
    images = images_of(truth, generator).images

    def coarse(images):
        return nn.functional.avg_pool2d(images.float() / 255, 4)

    train = Stored(images, labels)
    assert linear_probe(coarse, train, train, NAMES).pixel_accuracy > 0.99


def test_every_labelled_pixel_is_scored_and_no_other():
    """One class in training, and 3 of the 12 labelled test pixels of another: 9 of 12 right."""
    train = Stored(torch.zeros(1, 3, 4, 4).byte(), torch.zeros(1, 4, 4).long())
    labels = torch.tensor([[0] * 4, [0] * 4, [0, 1, 1, 1], [-1] * 4])[None]
    test = Stored(torch.zeros(1, 3, 4, 4).byte(), labels)
    found = linear_probe(pixel_colors, train, test, ("wall", "floor", "lamp"))
    assert found.pixel_accuracy == pytest.approx(9 / 12)
    assert found.iou == pytest.approx({"wall": 9 / 12, "floor": 0.0})


def test_majority_class_by_hand():
    """Floor is most frequent in training; 2 of the 5 labelled test pixels are floor."""
    train = Stored(torch.zeros(1, 3, 1, 4), torch.tensor([[[1, 1, 0, -1]]]))
    test = Stored(torch.zeros(1, 3, 2, 3), torch.tensor([[[0, 0, 1], [1, 0, -1]]]))
    found = majority_class(train, test, ("wall", "floor", "lamp"))
    assert found.pixel_accuracy == pytest.approx(2 / 5)
    assert found.iou == pytest.approx({"wall": 0.0, "floor": 2 / 5})


def test_color_and_position_by_hand():
    images = torch.zeros(1, 3, 4, 6, dtype=torch.uint8)
    images[0, 0, :2, :2] = torch.tensor([[0, 255], [255, 0]])
    found = color_and_position(images)
    assert found.shape == (1, 5, 2, 3)
    assert found[0, 0].tolist() == [[0.5, 0, 0], [0, 0, 0]]
    assert found[0, 3].tolist() == [[-1, 0, 1], [-1, 0, 1]]
    assert found[0, 4].tolist() == [[-1, -1, -1], [1, 1, 1]]


def test_network_features_are_those_of_the_frozen_network():
    torch.manual_seed(0)
    model = ResUNet("resnet18", width=0.125)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    found = network_features(model.train())(images)
    assert not found.requires_grad
    assert torch.equal(found, model.eval()(images / 255).detach())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def normalised_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))


def random_images(batches):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batches * BATCH, 3, 9, 9), generator=generator).byte()


def test_batchnorm_statistics_by_hand():
    """The mean over batches of each batch's mean and (unbiased) variance."""
    model, images = normalised_net(), random_images(3)
    estimate_batchnorm(model, images)
    assert not model.training
    conv, first, relu, second = model
    means, variances = {1: [], 3: []}, {1: [], 3: []}
    with torch.no_grad():
        for batch in images.split(BATCH):
            x = conv(batch / 255)
            for k in (1, 3):
                mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
                means[k].append(mean)
                variances[k].append(var)
                biased = x.var((0, 2, 3), unbiased=False)[:, None, None]
                x = relu((x - mean[:, None, None]) / (biased + first.eps).sqrt())
    for k, norm in ((1, first), (3, second)):
        mean, var = torch.stack(means[k]).mean(0), torch.stack(variances[k]).mean(0)
        torch.testing.assert_close(norm.running_mean, mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(norm.running_var, var, atol=1e-5, rtol=1e-4)


def test_batchnorm_statistics_depend_neither_on_the_order_of_batches_nor_on_the_past():
    images = random_images(4)
    model, other = normalised_net(), normalised_net()
    other(torch.randn(8, 3, 9, 9) * 100)
    estimate_batchnorm(model, images)
    estimate_batchnorm(other, torch.cat(images.split(BATCH)[::-1]))
    for name, value in model.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def test_estimating_batchnorm_changes_no_weight():
    model = normalised_net()
    before = [parameter.clone() for parameter in model.parameters()]
    estimate_batchnorm(model, random_images(1))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_images_of_several_sizes_are_refused():
    images = [torch.zeros(3, 4, 6).byte(), torch.zeros(3, 5, 6).byte()]
    mixed = Stored(images, [torch.zeros(4, 6).long(), torch.zeros(5, 6).long()])
    message = "stored: has images of 4x6 and 5x6, expected one size: give an image size"
    with pytest.raises(GeosetError, match=message):
        linear_probe(pixel_colors, mixed, mixed, NAMES)


def test_labels_that_no_cell_has_are_refused():
    empty = Stored(toy(0).images, torch.full_like(toy(0).labels, -1))
    with pytest.raises(GeosetError, match="no cell of the labelled images has a label"):
        linear_probe(pixel_colors, empty, toy(1), NAMES)


def test_cells_are_drawn_from_all_images_up_to_a_limit():
    train = toy(0)
    everything, _ = labelled_cells(cell_colors, train, 10**6)
    x, y = labelled_cells(cell_colors, train, 100, seed=1)
    assert len(x) == len(y) == 100 < len(everything)
    assert torch.equal(x, labelled_cells(cell_colors, train, 100, seed=1)[0])
    assert not torch.equal(x, labelled_cells(cell_colors, train, 100, seed=2)[0])
    rows = {tuple(row) for row in everything.tolist()}
    assert {tuple(row) for row in x.tolist()} <= rows
    # Of the last batch too, and of the first no more than its share.
    last = labelled_cells(cell_colors, Stored(train.images[16:], train.labels[16:]), 10**6)
    in_last = {tuple(row) for row in last[0].tolist()}
    assert sum(tuple(row) in in_last for row in x.tolist()) == pytest.approx(20, abs=2)


def test_neighbours_recover_classes_that_features_show():
    segment = fit_neighbours(lambda images: pixel_colors(images) - 0.3, toy(0), len(NAMES))
    found = score_segments(segment, toy(1), NAMES)
    assert found.pixel_accuracy > 0.95
    strangers = Stored(toy(2).images, toy(0).labels)
    segment = fit_neighbours(lambda images: pixel_colors(images) - 0.3, strangers, len(NAMES))
    assert score_segments(segment, toy(1), NAMES).pixel_accuracy == pytest.approx(0.25, abs=0.1)


def layered():
    torch.manual_seed(0)
    return ResUNet("resnet18", width=0.125).eval()


def test_layers_are_what_the_network_computes_on_its_way():
    model, images = layered(), torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        maps = model.encoder((images / 255 - model.mean) / model.std)
        output = model(images / 255)
    for number, expected in enumerate(maps, 1):
        assert torch.equal(network_features(model, f"encoder.{number}")(images), expected)
    decoder = network_features(model, "decoder")(images)
    assert torch.equal(model.decoder.conv0(decoder).detach(), output)
    assert torch.equal(network_features(model, "output")(images), output)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_decoder_without_such_a_convolution():
    model = Segmenter("deeplabv3", "resnet18", ["wall", "floor"], 0.25)
    with pytest.raises(GeosetError, match=r"layer is 'decoder', which a .* choose another layer"):
        network_features(model, "decoder")


def test_a_lone_last_image_joins_the_batch_before():
    model = Segmenter("deeplabv3", "resnet18", ["wall", "floor"], 0.25)
    images = torch.randint(0, 256, (BATCH + 1, 3, 64, 64), dtype=torch.uint8)
    estimate_batchnorm(model, images)  # its pooled features have one value an image
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}


def test_an_unknown_layer():
    message = "layer is 'encoder.5', expected one of: output, decoder, encoder.1"
    with pytest.raises(GeosetError, match=message):
        network_features(layered(), "encoder.5")
