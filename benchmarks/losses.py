"""What the losses cost beside the training step they are part of.

    python benchmarks/losses.py

Prints the time of one training step of a ResNet-18 UNet on 4 pairs of 240x320 (forward, backward,
SGD), and of each loss (forward and backward to the features) as a percentage of it. Claim: the
set loss stays under 5 %.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from geoset import ResUNet
from geoset.losses import match_pixels, set_info_nce, view_loss

VIEWS, HEIGHT, WIDTH = 8, 240, 320
PAIRS = torch.tensor([[0, 1], [2, 3], [4, 5], [6, 7]])


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Return the least time of several runs, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def training_step() -> Callable[[], None]:
    model = ResUNet("resnet18")
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    images = torch.rand(VIEWS, 3, HEIGHT, WIDTH)

    def run() -> None:
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()

    return run


def set_maps(generator: torch.Generator) -> Tensor:
    """Return Voronoi cells of 60 random points a view, shifted from view to view of a pair."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    pixels = torch.stack([y, x], -1).flatten(0, 1).float()
    maps = []
    for pair in range(VIEWS // 2):
        points = torch.rand(60, 2, generator=generator) * torch.tensor([HEIGHT, WIDTH])
        for shift in (0.0, 20.0):
            nearest = torch.cdist(pixels, points + shift).argmin(1).view(HEIGHT, WIDTH)
            maps.append(nearest + pair * 2**32)
    return torch.stack(maps)


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    step = seconds(training_step(), repeats=3)
    print(f"training step, ResNet-18 UNet, {VIEWS} views {HEIGHT}x{WIDTH}: {step:.2f} s")

    set_ids = set_maps(generator)
    features = torch.randn(VIEWS, 32, HEIGHT // 2, WIDTH // 2, requires_grad=True)
    depth = torch.full((VIEWS, HEIGHT, WIDTH), 2.0)
    K = torch.tensor([[288.0, 0, 160], [0, 288, 120], [0, 0, 1]]).expand(VIEWS, 3, 3)
    pose = torch.eye(4).repeat(VIEWS, 1, 1)
    pose[1::2, 0, 3] = 0.2

    def view() -> Tensor:
        matches = match_pixels(depth, K, pose, PAIRS, generator=generator)
        return view_loss(features, matches, (HEIGHT, WIDTH), PAIRS).loss

    losses = {
        "set loss": lambda: set_info_nce(features, set_ids, PAIRS).loss,
        "set loss, random pixels": lambda: (
            set_info_nce(
                features, set_ids, PAIRS, aggregation="random_pixel", generator=generator
            ).loss
        ),
        "view loss with its matches": view,
    }
    for name, loss in losses.items():
        cost = seconds(lambda loss=loss: loss().backward(), repeats=7)
        print(f"{name}: {1e3 * cost:.0f} ms, {100 * cost / step:.1f} % of the step")


if __name__ == "__main__":
    main()
