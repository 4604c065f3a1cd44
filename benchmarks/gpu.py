"""Pre-training on one GPU: pairs a second, and what bounds them.

    python benchmarks/gpu.py [PREPARED] [--workers N] [--batch 64] [--compile]

ResNet-50, images of 240x320, bf16, 64 pairs a step unless said otherwise; without PREPARED, made-up
rooms. Prints for View, for sets, for both and for stage 1 of the paper: pairs/s of `geoset
pretrain` with its loader, the share of the step spent waiting for data, pairs/s without the loader,
the step over that of the bare network on random tensors, the share of the GPU's measured bf16
matrix rate that the network's own arithmetic reaches, peak memory and the part of it that the
losses add, and the hours that the paper's pre-training (804k pairs, 7 epochs) would take. Ends with
a step under `torch.cuda.set_sync_debug_mode("error")`: nothing in a step waits for the device.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import joblib
import torch
from inputs import machine
from torch.utils.flop_counter import FlopCounterMode

from geoset import PreparedScene
from geoset.models.load import save_model
from geoset.prepare.data_set import find_scenes
from geoset.recipes import RECIPES, ModelSettings, PrepareSettings, StageSettings
from geoset.scans.rooms import RoomSettings, write_room
from geoset.tasks.prepare import prepare
from geoset.tasks.pretrain import build_pretraining, stages_of
from geoset.training.log import read_log
from geoset.training.loop import train
from geoset.training.schedule import build_optimizer

STEPS, WARMUP = 30, 10
LOADED_STEPS = 60
PAPER_PAIRS = {"view": 0, "sets": 2 * 804_000, "view+sets": 0, "stage 1": 5 * 804_000}
STAGES = (
    StageSettings("view", steps=LOADED_STEPS, view=1.0),
    StageSettings("sets", steps=LOADED_STEPS, sets=1.0),
    StageSettings("view+sets", steps=LOADED_STEPS, view=1.0, sets=1.0),
    StageSettings("stage 1", steps=LOADED_STEPS, view=1.0, geo=1.0, depth=1.0),
)


def rooms(folder: Path, count: int = 8) -> Path:
    """Prepare `count` made-up rooms at 240x320."""
    room = RoomSettings(frames=20, height=240, width=320)
    cores = joblib.cpu_count()
    joblib.Parallel(cores)(
        joblib.delayed(write_room)(folder / "scans" / f"room-{seed}", seed, room)
        for seed in range(count)
    )
    prepare(folder / "scans", folder / "prepared", PrepareSettings(), cores)
    return folder / "prepared"


def matrix_rate() -> float:
    """Return the bf16 matrix multiplications a second that this GPU reaches, in FLOP/s."""
    a, b = torch.randn(2, 8192, 8192, device="cuda", dtype=torch.bfloat16)
    return 2 * 8192**3 * 20 / seconds_of(lambda: a @ b, 20)


def seconds_of(call, times: int) -> float:
    """Return the seconds of `times` calls, after a few to warm up."""
    for _ in range(WARMUP):
        call()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        call()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def stepper(network, compute, batches, optimizer, compiled: bool):
    """Return what takes one step of bf16 training on batches that lie on the device."""
    plain = torch.compile(network) if compiled else network
    generator, turn = torch.Generator("cuda").manual_seed(0), cycle(batches)

    def forward(*arguments, **options):
        with torch.autocast("cuda", torch.bfloat16):
            return plain(*arguments, **options)

    def step() -> None:
        compute(forward, next(turn), generator)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(stage, scenes, arguments, folder: Path, peak_rate: float) -> None:
    """Print the figures of one stage."""
    recipe = replace(
        RECIPES["paper"],
        stages=(stage,),
        model=ModelSettings("resnet50"),
        geo=replace(RECIPES["paper"].geo, matches="visible"),
        batch_pairs=arguments.batch,
        precision="bf16-mixed",
    )
    network, _ = build_pretraining(recipe, seed=0)
    (plan,) = stages_of(recipe, scenes, network, seed=0, workers=arguments.workers)
    network.cuda()
    batches = [_to_device(batch) for batch in islice(plan.batches(0, 0, 1), 4)]
    optimizer = build_optimizer(network.parameters(), stage.optimizer)
    images = torch.rand(batches[0].images.shape, device="cuda")
    images = images.contiguous(memory_format=torch.channels_last)

    def bare(model, batch, generator):
        return {"loss": model(images).features.float().mean()}

    torch.cuda.reset_peak_memory_stats()
    bare_seconds = seconds_of(stepper(network, bare, batches, optimizer, False), STEPS) / STEPS
    bare_memory = torch.cuda.max_memory_allocated()
    with FlopCounterMode(display=False) as counter:
        stepper(network, bare, batches, optimizer, False)()
    torch.cuda.reset_peak_memory_stats()
    step = stepper(network, plan.compute, batches, optimizer, arguments.compile)
    seconds = seconds_of(step, STEPS) / STEPS
    memory = torch.cuda.max_memory_allocated()
    del batches, optimizer, step

    train(
        network,
        [plan],
        folder / stage.name,
        settings={},
        seed=0,
        save_weights=lambda network, path: save_model(network.image, path),
        accelerator="gpu",
        precision=recipe.precision,
        compile=arguments.compile,
        checkpoint_seconds=1e9,
    )
    rows = read_log(folder / stage.name)[LOADED_STEPS // 2 :]
    loaded = sum(row["step_s"] for row in rows) / len(rows)
    wait = sum(row["wait_s"] for row in rows) / sum(row["step_s"] for row in rows)
    hours = PAPER_PAIRS[stage.name] / arguments.batch * seconds / 3600
    print(
        f"{stage.name}: {arguments.batch / loaded:.0f} pairs/s, data wait {wait:.0%}; without the "
        f"loader {arguments.batch / seconds:.0f} pairs/s; step over bare network "
        f"{seconds / bare_seconds:.3f}; bare network at "
        f"{counter.get_total_flops() / bare_seconds / peak_rate:.0%} of the matrix rate; peak "
        f"memory {memory / 2**30:.1f} GiB, {memory / bare_memory - 1:+.1%} on the bare network"
        + (f"; {hours:.1f} h of the paper's schedule" if hours else ""),
        flush=True,
    )


def _to_device(batch):
    from lightning_fabric.utilities.apply_func import move_data_to_device

    return move_data_to_device(batch, torch.device("cuda"))


def check_no_wait(scenes, batch: int) -> None:
    """Take a step of View + sets where waiting for the device is an error."""
    recipe = replace(RECIPES["paper"], stages=(STAGES[2],), model=ModelSettings("resnet50"))
    recipe = replace(recipe, batch_pairs=batch, precision="bf16-mixed")
    network, _ = build_pretraining(recipe, seed=0)
    (plan,) = stages_of(recipe, scenes, network, seed=0)
    network.cuda()
    optimizer = build_optimizer(network.parameters(), STAGES[2].optimizer)
    step = stepper(
        network, plan.compute, [_to_device(next(plan.batches(0, 0, 1)))], optimizer, False
    )
    step()
    torch.cuda.set_sync_debug_mode("error")
    step()
    torch.cuda.set_sync_debug_mode("default")
    print("a step of View + sets waits for the device nowhere")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", nargs="?", type=Path)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no GPU here: nothing to measure")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared = arguments.prepared or rooms(folder)
        scenes = [PreparedScene(path) for path in find_scenes([prepared])]
        peak_rate = matrix_rate()
        print(
            f"{torch.cuda.get_device_name()}, {machine()}, torch {torch.__version__}, "
            f"{arguments.workers} workers; matrices at {peak_rate / 1e12:.0f} TFLOP/s in bf16"
        )
        check_no_wait(scenes, arguments.batch)
        for stage in STAGES:
            measure(stage, scenes, arguments, folder, peak_rate)


if __name__ == "__main__":
    main()
