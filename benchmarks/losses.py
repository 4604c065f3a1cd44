"""The losses beside plain loops that do the same, a pair and a set at a time.

    python benchmarks/losses.py

Prints, on a GPU if there is one: the time of the View and of the set loss (correspondences,
forward, backward to the features) as a ratio of the loops'; the time to find the matches of sets,
which the data loader does on a CPU; and, on a GPU, the peak memory of both losses as a share of
that of the network. Claims: no slower than the loops on a CPU and 5 times as fast on a GPU; under
2 ms a view in the loader; under 10 % of the network's memory.
"""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from geoset import ResUNet
from geoset.losses import (
    PixelMatches,
    SetMatches,
    find_set_matches,
    match_pixels,
    matched_set_loss,
    view_loss,
)

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PAIRS, CHANNELS = (64, 128) if DEVICE.type == "cuda" else (8, 32)
HEIGHT, WIDTH, STRIDE, SETS, SAMPLES, TEMPERATURE = 240, 320, 2, 80, 1024, 0.4


def least_seconds(run: Callable[[], object], repeats: int = 5) -> float:
    """Return the least time of several runs, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def set_maps(generator: torch.Generator) -> Tensor:
    """Return Voronoi cells of random points, shifted within each pair, with holes."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    pixels = torch.stack([y, x], -1).flatten(0, 1).float()
    maps = []
    for pair in range(PAIRS):
        points = torch.rand(SETS, 2, generator=generator) * torch.tensor([HEIGHT, WIDTH])
        for shift in (0.0, 20.0):
            nearest = torch.cdist(pixels, points + shift).argmin(1).view(HEIGHT, WIDTH)
            maps.append(nearest + pair * 2**32)
    maps = torch.stack(maps)
    return maps.where(torch.rand(maps.shape, generator=generator) > 0.02, -1)


def looped_set_loss(features: Tensor, set_ids: Tensor, view_pairs: Tensor) -> Tensor:
    """Equation 3: find the sets of each pair, take the mean of each, and contrast them."""
    _, _, h, w = features.shape
    maps = F.normalize(features.float(), dim=1).unbind()
    ends, names = ([], []), []
    for pair in view_pairs.tolist():
        seen = [set(set_ids[view].unique().tolist()) for view in pair]
        for name in sorted((seen[0] & seen[1]) - {-1}):
            names.append(name)
            for side, view in zip(ends, pair, strict=True):
                y, x = (set_ids[view] == name).nonzero(as_tuple=True)
                side.append(maps[view][:, y * h // HEIGHT, x * w // WIDTH].mean(1))
    names = torch.tensor(names, device=features.device)
    itself = torch.eye(len(names), dtype=torch.bool, device=features.device)
    unused = (names[:, None] == names) & ~itself
    a, b = torch.stack(ends[0]), torch.stack(ends[1])
    similarity = (a @ b.T / TEMPERATURE).masked_fill(unused, -torch.inf)
    return _both_directions(similarity)


def looped_view_loss(
    features: Tensor, depth: Tensor, K: Tensor, pose: Tensor, view_pairs: Tensor
) -> Tensor:
    """Equations 1-2, a pair at a time."""
    maps, losses = features.unbind(), []
    y, x = torch.meshgrid(
        torch.arange(HEIGHT, device=DEVICE), torch.arange(WIDTH, device=DEVICE), indexing="ij"
    )
    for first, second in view_pairs.tolist():
        z = depth[first]
        rays = torch.stack([x + 0.5, y + 0.5, torch.ones_like(z)], -1).double()
        points = (rays @ torch.linalg.inv(K[first]).T) * z[..., None]
        second_from_first = torch.linalg.inv(pose[second]) @ pose[first]
        moved = points @ second_from_first[:3, :3].T + second_from_first[:3, 3]
        landing = moved @ K[second].T
        u, v = landing[..., 0] / landing[..., 2], landing[..., 1] / landing[..., 2]
        inside = (z > 0) & (moved[..., 2] > 0) & (u >= 0) & (u < WIDTH) & (v >= 0) & (v < HEIGHT)
        there = depth[second][v[inside].long(), u[inside].long()]
        agrees = (there > 0) & ((there - moved[inside][:, 2]).abs() < 0.05)
        matches = torch.stack([x[inside], y[inside], u[inside].long(), v[inside].long()], 1)[agrees]
        if not len(matches):
            continue
        drawn = torch.randperm(len(matches), device=DEVICE)[:SAMPLES]
        x1, y1, x2, y2 = (matches[drawn] // STRIDE).T
        a = F.normalize(maps[first][:, y1, x1].T.float(), dim=1)
        b = F.normalize(maps[second][:, y2, x2].T.float(), dim=1)
        losses.append(_both_directions(a @ b.T / TEMPERATURE))
    return torch.stack(losses).mean()


def _both_directions(similarity: Tensor) -> Tensor:
    target = torch.arange(len(similarity), device=similarity.device)
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2


def peak_memory(run: Callable[[], object]) -> int:
    """Return the bytes that a run takes beyond what is allocated before it."""
    run()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    return torch.cuda.max_memory_allocated() - before


def print_memory(losses: Callable[[], Tensor]) -> None:
    """Print the peak memory of the losses beside that of a ResNet-50 UNet in bf16."""
    model = ResUNet("resnet50").to(DEVICE, memory_format=torch.channels_last)
    images = torch.rand(2 * PAIRS, 3, HEIGHT, WIDTH, device=DEVICE)
    images = images.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16):
            model(images).mean().backward()

    network, alone = peak_memory(step), peak_memory(lambda: losses().backward())
    print(
        f"peak memory: losses {alone / 1e9:.2f} GB, network {network / 1e9:.2f} GB: "
        f"{100 * alone / network:.1f} %"
    )


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    set_ids = set_maps(generator)
    view_pairs = torch.arange(2 * PAIRS).view(PAIRS, 2)
    size = (HEIGHT // STRIDE, WIDTH // STRIDE)
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    features = torch.randn(2 * PAIRS, CHANNELS, *size, device=DEVICE, dtype=dtype)
    features = features.contiguous(memory_format=torch.channels_last).requires_grad_()
    depth = torch.full((2 * PAIRS, HEIGHT, WIDTH), 2.0, device=DEVICE)
    K = torch.tensor([[288.0, 0, 160], [0, 288, 120], [0, 0, 1]], dtype=torch.float64)
    K = K.repeat(2 * PAIRS, 1, 1).to(DEVICE)
    pose = torch.eye(4, dtype=torch.float64).repeat(2 * PAIRS, 1, 1)
    pose[1::2, 0, 3] = 0.2
    views = depth, K, pose.to(DEVICE), view_pairs.to(DEVICE)
    print(f"{DEVICE.type}, {PAIRS} pairs of {HEIGHT}x{WIDTH}, {CHANNELS} channels, {dtype}")

    def find() -> SetMatches:
        return find_set_matches(set_ids, view_pairs, size)

    matches = SetMatches(*(tensor.to(DEVICE) for tensor in find()))
    maps = set_ids.to(DEVICE)
    draws = torch.Generator(DEVICE).manual_seed(0)

    def sets() -> Tensor:
        return matched_set_loss(features, matches).loss

    def pixels() -> PixelMatches:
        return match_pixels(*views, samples=SAMPLES, generator=draws)

    def view() -> Tensor:
        return view_loss(features, pixels(), (HEIGHT, WIDTH), view_pairs.to(DEVICE)).loss

    def timed(loss: Callable[[], Tensor]) -> float:
        return least_seconds(lambda: loss().backward())

    loader, seconds = least_seconds(find), timed(sets)
    looped = timed(lambda: looped_set_loss(features, maps, view_pairs))
    print(f"matches of sets, in the loader: {1e3 * loader / len(set_ids):.2f} ms a view")
    print(
        f"set loss: {1e3 * seconds:.1f} ms, loop {1e3 * looped:.0f} ms: ratio "
        f"{looped / seconds:.1f}; with the loader's part {looped / (seconds + loader):.1f}"
    )
    seconds, looped = timed(view), timed(lambda: looped_view_loss(features, *views))
    print(
        f"view loss: {1e3 * seconds:.1f} ms, loop {1e3 * looped:.0f} ms: ratio "
        f"{looped / seconds:.1f}"
    )
    if DEVICE.type == "cuda":
        print_memory(lambda: view() + sets())


if __name__ == "__main__":
    main()
