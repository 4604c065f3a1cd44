"""Losses of two processes against those of one process with the views of both."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from geoset.losses import find_set_matches, match_pixels, matched_set_loss, view_loss
from geoset.losses.pixel import PixelMatches
from loss_cases import draw_scene, draw_sets, groups_of

SHARES = [slice(0, 5), slice(5, 10)]  # views of each process
SET_CASES = {
    "mean": {},
    "both views": {"keys": "both_views"},
    "groups": {"group": True, "keys": "both_views"},
    "pair": {"negatives": "pair", "group": True},
    "random pixel": {"aggregation": "random_pixel"},
    "random pixel, both views": {"aggregation": "random_pixel", "keys": "both_views"},
    "nothing in one": {"empty": True},
    "random pixel, nothing in one": {"empty": True, "aggregation": "random_pixel"},
    "nothing": {"min_pixels": 1000},
}
NAMES = ("loss", "chance", "positive", "negative")


def network():
    """1x1 convolutions without normalisation, the same in every process."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 1), nn.Tanh(), nn.Conv2d(6, 4, 1)).double()


def set_result(case, views, across_ranks):
    """Values and gradients of the set loss of some of the 10 views of two batches."""
    options = dict(SET_CASES[case])
    first, second = (draw_sets(seed, image_size=(6, 8)) for seed in (1, 2))
    images, set_ids = (torch.cat(sides) for sides in zip(first[:2], second[:2], strict=True))
    pairs = torch.cat([first[2], second[2] + 5])
    if options.get("aggregation") == "random_pixel":
        # A set lies in one cell of 2x2 pixels: whichever of them is drawn, its feature is the same.
        cell = torch.arange(12).view(3, 4)
        set_ids = (set_ids[:, ::2, ::2] % 10 + 10 * cell).repeat_interleave(2, 1)
        set_ids = set_ids.repeat_interleave(2, 2)
    if options.pop("empty", False):
        set_ids[5:] = -1
    inside = [views.start <= pair[0] < views.stop for pair in pairs.tolist()]
    groups = groups_of(set_ids) if options.pop("group", False) else None
    matches = find_set_matches(
        set_ids[views],
        pairs[inside] - views.start,
        (3, 4),
        min_pixels=options.pop("min_pixels", 1),
        group_ids=None if groups is None else groups[views],
    )
    model = network()
    found = matched_set_loss(model(images[views]), matches, across_ranks=across_ranks, **options)
    return values_and_gradients(found, model)


def view_result(case, views, across_ranks):
    """Values and gradients of the view loss of some of 10 views, in 8 pairs."""
    depth, K, pose, pairs = draw_scene(1)
    matches = match_pixels(
        depth, K, pose, pairs, samples=8, generator=torch.Generator().manual_seed(0)
    )
    matches = PixelMatches(*(side.repeat(2, *[1] * (side.ndim - 1)) for side in matches))
    matches.available[1] = 0
    if case == "nothing in one":
        matches.available[4:] = 0
    images = torch.randn(
        10, 3, 12, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    pairs = torch.cat([pairs, pairs + 5])
    inside = [views.start <= pair[0] < views.stop for pair in pairs.tolist()]
    model = network()
    found = view_loss(
        model(images[views]),
        PixelMatches(*(side[inside] for side in matches)),
        (24, 32),
        pairs[inside] - views.start,
        across_ranks=across_ranks,
    )
    return values_and_gradients(found, model)


def values_and_gradients(found, model):
    found.loss.backward()
    values = torch.stack([getattr(found, name).detach() for name in NAMES])
    return values, torch.cat([p.grad.flatten() for p in model.parameters()])


def results(views, across_ranks):
    sets = {case: set_result(case, views, across_ranks) for case in SET_CASES}
    view = {
        f"view, {case}": view_result(case, views, across_ranks)
        for case in ("all", "nothing in one")
    }
    return sets | view


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=len(SHARES)
    )
    torch.save(results(SHARES[rank], across_ranks=True), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What each of two processes finds."""
    folder = tmp_path_factory.mktemp("processes")
    mp.spawn(work, (folder,), nprocs=len(SHARES))
    return [torch.load(folder / f"{rank}.pt") for rank in range(len(SHARES))]


@pytest.fixture(scope="module")
def alone():
    return results(slice(0, 10), across_ranks=False)


@pytest.mark.parametrize("case", [*SET_CASES, "view, all", "view, nothing in one"])
def test_two_processes_are_as_one(together, alone, case):
    values, gradient = alone[case]
    of_each = [found[case] for found in together]
    mean_loss = torch.stack([found[0][0] for found in of_each]).mean()
    torch.testing.assert_close(mean_loss, values[0], rtol=0, atol=1e-12)
    for found in of_each:  # what is logged is the same in every process
        torch.testing.assert_close(found[0][1:], values[1:], rtol=0, atol=1e-12)
    mean_gradient = torch.stack([found[1] for found in of_each]).mean(0)
    torch.testing.assert_close(mean_gradient, gradient, rtol=0, atol=1e-12)
    assert (gradient.abs().sum() > 0) == (case != "nothing")


def test_keys_of_the_other_process_matter(alone):
    halves = [set_result("mean", views, across_ranks=False)[0] for views in SHARES]
    assert torch.stack(halves).mean(0)[1] < alone["mean"][0][1] - 0.3  # chance: fewer keys
