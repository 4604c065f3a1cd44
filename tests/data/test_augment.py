"""Each operation against torchvision's, then the draws."""

import math

import pytest
import torch
import torchvision.transforms.functional as tv

from geoset import GeosetError
from geoset.data import augment as A
from geoset.data.augment import Photometric, augment

FACTORS = torch.tensor([0.0, 0.6, 1.0, 1.4])
SHIFTS = torch.tensor([-0.5, -0.1, 0.0, 0.07])


def images(count: int = 4, height: int = 31, width: int = 40) -> torch.Tensor:
    """Random images with flat gray, black, white and two-equal-channels regions."""
    pixels = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))
    pixels[:, :, :4] = pixels[:, :1, :4]
    pixels[:, :, 4:6] = 0.0
    pixels[:, :, 6:8] = 1.0
    pixels[:, 1, 8:12] = pixels[:, 0, 8:12]
    pixels[:, 2, 12:16] = pixels[:, 1, 12:16]
    return pixels


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("ours", "theirs", "values"),
    [
        (A.adjust_brightness, tv.adjust_brightness, FACTORS),
        (A.adjust_contrast, tv.adjust_contrast, FACTORS),
        (A.adjust_saturation, tv.adjust_saturation, FACTORS),
        (A.adjust_hue, tv.adjust_hue, SHIFTS),
    ],
)
def test_color_operations_equal_torchvision_image_by_image(ours, theirs, values):
    batch = images()
    expected = [theirs(image, value) for image, value in zip(batch, values.tolist(), strict=True)]
    torch.testing.assert_close(ours(batch, values), torch.stack(expected), atol=1e-5, rtol=0)


def test_blur_equals_torchvision_image_by_image():
    batch, sigmas = images(), torch.tensor([0.1, 0.5, 1.3, 2.0])
    expected = [
        tv.gaussian_blur(image, [13, 13], [sigma, sigma])
        for image, sigma in zip(batch, sigmas.tolist(), strict=True)
    ]
    blurred = A.gaussian_blur(batch, sigmas, radius=6)
    torch.testing.assert_close(blurred, torch.stack(expected), atol=1e-5, rtol=0)


def test_grayscale_equals_torchvision():
    torch.testing.assert_close(
        A.rgb_to_grayscale(images()), tv.rgb_to_grayscale(images()), atol=1e-6, rtol=0
    )


def test_probability_zero_changes_nothing():
    never = Photometric(jitter_probability=0, grayscale_probability=0, blur_probability=0)
    assert torch.equal(augment(images(), generator(), never), images())


def test_probability_one_changes_every_image():
    always = Photometric(jitter_probability=1, grayscale_probability=0, blur_probability=1)
    changed = augment(images(), generator(), always)
    assert (changed - images()).abs().amax(dim=(1, 2, 3)).min() > 0.01


def test_grayscale_leaves_no_colour():
    gray = augment(images(), generator(), Photometric(grayscale_probability=1))
    assert torch.equal(gray[:, 0], gray[:, 1])
    assert torch.equal(gray[:, 0], gray[:, 2])


def test_shares_follow_the_probabilities():
    """Of 2000 images 0.2 are gray to within 4 standard deviations (0.009 each)."""
    settings = Photometric(jitter_probability=0, blur_probability=0)
    batch = torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1).expand(2000, 3, 1, 1)
    result = augment(batch, generator(), settings)
    share = (result[:, 0] == result[:, 2]).float().mean().item()
    assert abs(share - 0.2) < 0.036


def test_draws_are_a_function_of_the_generator():
    assert torch.equal(augment(images(), generator(3)), augment(images(), generator(3)))
    assert not torch.equal(augment(images(), generator(3)), augment(images(), generator(4)))


def one_by_one(images, generator, settings):
    """The slow twin: torchvision's operations, image by image, with the numbers `augment` draws."""
    order = torch.randperm(4, generator=generator).tolist()
    draws = torch.rand(len(images), 8, generator=generator).tolist()
    strengths = (settings.brightness, settings.contrast, settings.saturation, settings.hue)
    adjust = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    changed = []
    for image, (jitter, *of_jitter, gray, blur, of_blur) in zip(images, draws, strict=True):
        if jitter < settings.jitter_probability:
            for k in order:
                factor = (k < 3) + strengths[k] * (2 * of_jitter[k] - 1)
                image = adjust[k](image, factor)
        if gray < settings.grayscale_probability:
            image = tv.rgb_to_grayscale(image, 3)
        if blur < settings.blur_probability:
            low, high = settings.blur_sigma
            radius = math.ceil(3 * high)
            image = tv.gaussian_blur(image, [2 * radius + 1] * 2, low + of_blur * (high - low))
        changed.append(image)
    return torch.stack(changed)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equal_to_torchvision_image_by_image(seed):
    settings = Photometric(
        jitter_probability=0.6,
        brightness=0.5,
        contrast=0.3,
        saturation=0.2,
        hue=0.1,
        grayscale_probability=0.3,
        blur_probability=0.5,
        blur_sigma=(0.3, 1.6),
    )
    batch = images(12)
    expected = one_by_one(batch, generator(seed), settings)
    torch.testing.assert_close(
        augment(batch, generator(seed), settings), expected, atol=1e-4, rtol=0
    )


STRENGTHS = ("brightness", "contrast", "saturation", "hue")


@pytest.mark.parametrize("kind", STRENGTHS)
def test_strengths_are_drawn_from_both_sides_and_by_themselves(kind):
    """A reddish and a greenish half: with one operation alone, what it drew can be read off."""
    batch = torch.full((2000, 3, 2, 2), 0.3)
    batch[:, 0, 0], batch[:, 1, 1] = 0.5, 0.5
    alone = dict.fromkeys(STRENGTHS, 0.0) | {kind: 0.15}
    settings = Photometric(
        jitter_probability=0.5, grayscale_probability=0, blur_probability=0, **alone
    )
    red, green, blue = augment(batch, generator(), settings)[:, :, 0, 0].T
    gray = 0.3 + 0.2 * 0.2989
    mean = 0.3 + 0.1 * (0.2989 + 0.587)
    drawn = {
        "brightness": red / 0.5 - 1,
        "contrast": (red - mean) / (0.5 - mean) - 1,
        "saturation": (green - gray) / (0.3 - gray) - 1,
        "hue": (green - blue) / 0.2 / 6,  # up to 1/6 of a turn, red stays the brightest
    }[kind]
    changed = drawn[drawn.abs() > 1e-5]
    assert len(changed) == pytest.approx(1000, abs=100)
    assert changed.min().item() == pytest.approx(-0.15, abs=0.005)
    assert changed.max().item() == pytest.approx(0.15, abs=0.005)
    assert (changed > 0).float().mean().item() == pytest.approx(0.5, abs=0.07)


def test_grayscale_and_blur_are_drawn_apart():
    batch = torch.zeros(2000, 3, 5, 5)
    batch[:, 0, 2, 2] = 1.0
    settings = Photometric(
        jitter_probability=0, grayscale_probability=0.5, blur_probability=0.5, blur_sigma=(0.3, 0.6)
    )
    result = augment(batch, generator(), settings)
    gray, blurred = result[:, 1, 2, 2] > 0, result[:, 0, 2, 3] > 0
    assert (gray & blurred).float().mean().item() == pytest.approx(0.25, abs=0.04)


def test_images_are_drawn_independently():
    same = images(1).expand(6, -1, -1, -1)
    only_jitter = Photometric(jitter_probability=1, grayscale_probability=0, blur_probability=0)
    result = augment(same, generator(), only_jitter)
    for i in range(6):
        for j in range(i):
            assert (result[i] - result[j]).abs().max() > 0.01


def test_neighbours_do_not_change_an_image():
    batch = images()
    other = batch.clone()
    other[1:] = 1 - other[1:]
    changed, reference = augment(other, generator()), augment(batch, generator())
    torch.testing.assert_close(changed[0], reference[0], atol=1e-6, rtol=0)


def test_range_type_and_input():
    pixels = (images() * 255).round().to(torch.uint8)
    before = pixels.clone()
    result = augment(pixels, generator())
    assert result.dtype == torch.float32
    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.equal(pixels, before)
    torch.testing.assert_close(result, augment(pixels / 255, generator()))

    floats = images()
    augment(floats, generator())
    assert torch.equal(floats, images())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_draws_do_not_depend_on_the_device():
    on_gpu = augment(images().cuda(), generator()).cpu()
    torch.testing.assert_close(on_gpu, augment(images(), generator()), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"blur_probability": 1.5}, "blur_probability is 1.5; expected a number in 0..1"),
        ({"hue": 0.7}, "hue is 0.7; expected a number in 0..0.5"),
        ({"contrast": -1}, "contrast is -1; expected a number in 0..1"),
        ({"blur_sigma": (0.0, 2.0)}, "blur_sigma is 0.0, 2.0; expected 0 < lowest <= highest"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(GeosetError, match=message):
        Photometric(**setting)


def test_blur_of_a_tiny_image():
    with pytest.raises(GeosetError, match="images of 40x6 are too small for a blur of radius 6"):
        augment(images(height=6), generator(), Photometric(blur_probability=1))
