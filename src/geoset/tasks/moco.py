"""Pre-train an encoder by MoCo v2 on shuffled frames of prepared scenes."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from geoset.data.augment import augment
from geoset.data.frames import FrameBatch, FrameBatches
from geoset.evaluation.features import effective_rank
from geoset.losses.moco import queue_info_nce
from geoset.losses.ranks import gather_rows
from geoset.models.dense import DenseNetwork
from geoset.models.encoder import RESNETS
from geoset.models.initial import load_initial
from geoset.models.load import save_model
from geoset.models.moco import MocoNetwork
from geoset.models.network import build_network
from geoset.prepare.data_set import open_scenes
from geoset.prepare.scene import PreparedScene
from geoset.recipes import Hardware
from geoset.recipes.length import steps_of
from geoset.recipes.moco import MocoSettings
from geoset.tasks.running import CURVES, load_stage, run_stages, say
from geoset.training.stage import Stage


def pretrain_moco(
    prepared: Sequence[str | Path],
    out: Path,
    settings: MocoSettings,
    *,
    seed: int = 0,
    resume: bool = False,
    hardware: Hardware | None = None,
) -> Path:
    """Train by MoCo v2 on the frames of prepared scenes; return the path of the final weights.

    They are those of a whole network for dense features: the encoder trained, the decoder as it was
    before, drawn at random unless the weights to start from have one. The result is a function of
    (settings, scenes, seed, number of devices); a run that was stopped continues with `resume`, and
    on a CPU with as many threads ends with the same weights, bitwise.

    Raises:
        GeosetError: no scene, a batch that devices cannot share, a run in `out` that `resume` does
            not fit, a loss that is not finite.
    """
    hardware = hardware or Hardware()
    scenes = open_scenes(prepared)
    image, network, report = build_moco(settings, seed)
    say(report)
    ranks = hardware.devices * hardware.nodes

    def save_weights(network: MocoNetwork, path: Path) -> None:
        image.encoder.load_state_dict(network.query.encoder.state_dict())
        save_model(image, path)

    weights = run_stages(
        network,
        [stage_of(settings, scenes, seed, ranks=ranks, workers=hardware.workers)],
        out,
        hardware,
        settings={
            "moco": asdict(settings),
            "scenes": {scene.name: scene.info["files"]["frames.tar"] for scene in scenes},
        },
        seed=seed,
        save_weights=save_weights,
        resume=resume,
        precision=settings.precision,
        all_used=settings.model.encoder in RESNETS,  # of others, not all for the coarsest map
    )
    say(f"weights: {weights}\ncurves:  {out / CURVES}")
    return weights


def build_moco(settings: MocoSettings, seed: int) -> tuple[DenseNetwork, MocoNetwork, str]:
    """Return the network to keep, what is trained for it, and a line on its weights.

    The encoder starts as that of any other pre-training of this seed.
    """
    torch.manual_seed(seed)
    model = settings.model
    image = build_network(model.encoder, model.out_channels, model.width)
    report = load_initial(image, model.weights)
    network = MocoNetwork(
        image,
        feature_dim=settings.feature_dim,
        queue=settings.queue,
        momentum=settings.momentum,
        batchnorm_images=settings.batchnorm_images,
    )
    # Convolutions in this memory layout are 1.1 to 1.4 times as fast on a CPU.
    return image, network.to(memory_format=torch.channels_last), report


def stage_of(
    settings: MocoSettings,
    scenes: Sequence[PreparedScene],
    seed: int,
    *,
    ranks: int = 1,
    workers: int = 0,
) -> Stage:
    """Return what the engine is to do, shared by `ranks` processes."""
    batches = FrameBatches(
        scenes, settings.batch, settings.crop, settings.crop_scale, seed, parts=ranks
    )
    steps = steps_of(settings, batches.steps_per_epoch)
    frames = len(batches.frames)
    say(
        f"{len(scenes)} scenes, {frames} frames, {batches.steps_per_epoch} steps an epoch; "
        f"{steps} steps"
    )
    if settings.queue >= frames:
        say(
            f"the queue of {settings.queue} keys is longer than an epoch of {frames} frames: a "
            "frame's own keys of former epochs are among its negatives. Take a shorter queue, or "
            "prepare more frames"
        )
    return Stage(
        name="moco",
        steps=steps,
        optimizer=settings.optimizer,
        batches=partial(load_stage, batches, 0, steps, workers),
        compute=partial(compute_loss, settings, ranks),
        frames_per_batch=2 * settings.batch // ranks,
    )


def compute_loss(
    settings: MocoSettings,
    ranks: int,
    model: nn.Module,
    batch: FrameBatch,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Return the loss of a batch, "loss", and what to log; put its keys into the queue."""
    on_cpu = torch.Generator().manual_seed(generator.initial_seed())
    images = augment(torch.cat([batch.queries, batch.keys]), on_cpu, settings.augmentation)
    images = images.contiguous(memory_format=torch.channels_last)
    queries, keys = model(*images.chunk(2))
    if ranks > 1:
        keys = gather_rows(keys, [len(keys)] * ranks)
    found = queue_info_nce(
        queries,
        keys[batch.key_of_query],
        model.queue.clone(),  # backward needs it as it is before the keys come in
        settings.temperature,
        across_ranks=ranks > 1,
    )
    model.enqueue(keys)
    return {
        "loss": found.loss,
        "moco/chance": found.loss.detach() / found.chance,
        "moco/positive": found.positive,
        "moco/negative": found.negative,
        "rank": effective_rank(queries.detach()),
    }
