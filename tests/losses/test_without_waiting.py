"""A step of the losses reads nothing back from the device, and has no loop over its data."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from geoset.losses import (
    SetMatches,
    find_set_matches,
    match_pixels,
    matched_set_loss,
    view_loss,
)

# Each of these copies a number or a size from the device.
WAITING = ("item", "_local_scalar_dense", "nonzero", "unique", "masked_select", "bincount")
SET_OPTIONS = [
    {},
    {"keys": "both_views", "negatives": "pair"},
    {"aggregation": "random_pixel"},
    {"aggregation": "random_pixel", "keys": "both_views"},
]


def draw_batch(pairs, device="cpu"):
    """Features, set matches, and depth maps with cameras, of 2 views a pair."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2 * pairs, 8, 12, 16, generator=generator).to(device)
    set_ids = torch.randint(-1, 9, (2 * pairs, 24, 32), generator=generator)
    view_pairs = torch.arange(2 * pairs).view(-1, 2)
    matches = find_set_matches(set_ids, view_pairs, (12, 16), group_ids=set_ids % 3)
    K = torch.tensor([[30.0, 0, 16], [0, 30, 12], [0, 0, 1]], dtype=torch.float64)
    views = [
        torch.full((2 * pairs, 24, 32), 2.0),
        K.repeat(2 * pairs, 1, 1),
        torch.eye(4, dtype=torch.float64).repeat(2 * pairs, 1, 1),
        view_pairs,
    ]
    return (
        features.requires_grad_(),
        SetMatches(*(x.to(device) for x in matches)),
        [x.to(device) for x in views],
    )


def set_step(features, matches, views, options):
    generator = torch.Generator(features.device).manual_seed(0)
    matched_set_loss(features, matches, generator=generator, **options).loss.backward()


def view_step(features, matches, views):
    generator = torch.Generator(features.device).manual_seed(0)
    found = match_pixels(*views, samples=10, generator=generator)
    view_loss(features, found, (24, 32), views[-1]).loss.backward()


STEPS = [pytest.param(lambda *batch: view_step(*batch), id="view")] + [
    pytest.param(lambda *batch, options=options: set_step(*batch, options), id=str(options))
    for options in SET_OPTIONS
]


@pytest.fixture
def one_thread():
    """With several, an operator shares out large work by further operators."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("step", STEPS)
def test_operators_do_not_depend_on_the_batch_and_do_not_wait(step):
    calls = []
    for pairs in (2, 16):
        batch = draw_batch(pairs)
        with profile(activities=[ProfilerActivity.CPU]) as measured:
            step(*batch)
        names = [event.name for event in measured.events() if event.name.startswith("aten::")]
        calls.append([name for name in names if name != "aten::fill_"])  # how zero_ does large ones
    assert len(calls[0]) == len(calls[1]) > 50
    waiting = [name for name in calls[1] if name.removeprefix("aten::").startswith(WAITING)]
    assert waiting == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("step", STEPS)
def test_nothing_waits_for_a_gpu(step):
    batch = draw_batch(4, "cuda")
    step(*batch)  # cuBLAS waits once, while it sets itself up
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(*batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("options", SET_OPTIONS, ids=str)
def test_a_gpu_gives_the_losses_of_a_cpu(options):
    on_cpu, on_gpu = draw_batch(4), draw_batch(4, "cuda")
    for features, matches, _ in (on_cpu, on_gpu):
        generator = torch.Generator().manual_seed(0)  # one on the CPU serves both
        matched_set_loss(features, matches, generator=generator, **options).loss.backward()
    torch.testing.assert_close(on_gpu[0].grad.cpu(), on_cpu[0].grad, rtol=1e-4, atol=1e-6)
