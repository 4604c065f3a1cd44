"""Validation of a segmentation network beside the bare network on the same images.

    python benchmarks/segmentation.py [DATA] [--architecture unet] [--images 24] [--repeats 5]

DATA is labelled data (its split "val"); without it, a made-up room. Validation reads the images,
brings them to 240x320, asks the network for the class of each pixel and counts; the bare network is
called on batches that already lie on the device. Both alternate, and the least time of each counts.
Claim, for the ResNet-50 U-Net: at least 0.95 of the bare network's images a second.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from inputs import IMAGE_SIZE, machine, scan_or_room
from torch.utils.data import DataLoader

from geoset.data.label_batches import EvaluationBatches
from geoset.data.label_set import LabelledSet
from geoset.data.labelled import open_labelled
from geoset.models.segmenter import OUTPUT_STRIDES, Segmenter
from geoset.tasks.segmentation_scores import BATCH, count_pixels

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def loaded(data: LabelledSet) -> DataLoader:
    """Return what validation reads from, with one process that loads ahead."""
    batches = EvaluationBatches(data, BATCH, size=IMAGE_SIZE)
    return DataLoader(
        batches,
        batch_size=None,
        num_workers=1,
        pin_memory=DEVICE.type == "cuda",
        persistent_workers=True,
    )


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes, on the device too."""
    began = time.perf_counter()
    work()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compare(network: Segmenter, data: LabelledSet, repeats: int) -> tuple[float, float]:
    """Return the least seconds of validation, and of the bare network on the same images."""
    loader = loaded(data)
    inputs = [
        (images.to(DEVICE).float() / 255).contiguous(memory_format=torch.channels_last)
        for images, _ in loader
    ]

    @torch.inference_mode()
    def bare() -> None:
        for images in inputs:
            network(images)

    network.eval()
    bare()
    pairs = [
        (seconds(lambda: count_pixels(network, loader)), seconds(bare)) for _ in range(repeats)
    ]
    validation, alone = zip(*pairs, strict=True)
    return min(validation), min(alone)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="*")
    parser.add_argument("--architecture", choices=OUTPUT_STRIDES, default="unet")
    parser.add_argument("--images", type=int, default=24, help="of the made-up room")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = scan_or_room(arguments.data, Path(name), frames=arguments.images)
        data = open_labelled(path, "val" if arguments.data else "all")
        network = Segmenter(arguments.architecture, "resnet50", data.classes)
        network = network.to(DEVICE, memory_format=torch.channels_last)
        print(f"{machine()}, torch {torch.__version__} on {DEVICE}", flush=True)
        validation, alone = compare(network, data, arguments.repeats)
        print(
            f"{arguments.architecture}, {len(data)} images of {IMAGE_SIZE[0]}x{IMAGE_SIZE[1]}: "
            f"validation {len(data) / validation:.2f} images/s, bare network "
            f"{len(data) / alone:.2f}; {alone / validation:.3f} of it"
        )


if __name__ == "__main__":
    main()
