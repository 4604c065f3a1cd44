"""Frozen probes: how much of the classes can be read off features by the simplest means."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geoset.data.label_set import LabelledSet
from geoset.errors import GeosetError
from geoset.evaluation.neighbours import neighbour_votes
from geoset.evaluation.segmentation import SegmentationScore, confusion_matrix, score
from geoset.tasks.labelled_cells import BATCH, Features, image_batches, labelled_cells

STEPS = 60  # of L-BFGS
WEIGHT_DECAY = 1e-4
CELLS = 400_000  # that are learned from, at most
BANK = 10_000  # cells that neighbours are looked for among
REFERENCE_STRIDE = 2  # that of the networks
LAYERS = ("output", "decoder", "encoder.1", "encoder.2", "encoder.3", "encoder.4")

Segment = Callable[[Tensor], Tensor]
"""Images (B,3,H,W) uint8 to classes (B,H,W) int64, on the CPU."""


def network_features(model: nn.Module, layer: str = "output") -> Features:
    """Return the frozen features of a network, or of a layer of it.

    layer: "output"; "decoder", what the last 1x1 convolution of a `DenseNetwork` sees; or
        "encoder.1" to "encoder.4", the maps of its encoder, finest first

    Raises:
        GeosetError: there is no such layer.
    """
    if layer not in LAYERS:
        raise GeosetError(f"layer is '{layer}', expected one of: {', '.join(LAYERS)}")
    if layer == "decoder" and not hasattr(model.decoder, "conv0"):
        raise GeosetError(
            f"layer is 'decoder', which a {type(model.decoder).__name__} has no last 1x1 "
            "convolution for; choose another layer"
        )
    name, _, depth = layer.partition(".")

    @torch.no_grad()
    def features(images: Tensor) -> Tensor:
        model.eval()
        seen: list[Tensor] = []
        with ExitStack() as hooks:
            if name == "decoder":
                last = model.decoder.conv0
                hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
                hooks.callback(hook.remove)
            elif name == "encoder":
                index = int(depth) - 1
                hook = model.encoder.register_forward_hook(
                    lambda _, inputs, maps: seen.append(maps[index])
                )
                hooks.callback(hook.remove)
            output = model(_as_input(images, model))
        return seen[0] if seen else output

    return features


def color_and_position(images: Tensor) -> Tensor:
    """Return (B,5,h,w): mean colour of each cell and where it lies, what needs no network."""
    color = F.avg_pool2d(images.float() / 255, REFERENCE_STRIDE)
    height, width = color.shape[-2:]
    y = torch.linspace(-1, 1, height).view(1, 1, -1, 1).expand(len(images), 1, height, width)
    x = torch.linspace(-1, 1, width).view(1, 1, 1, -1).expand(len(images), 1, height, width)
    return torch.cat([color, x, y], dim=1)


@torch.no_grad()
def estimate_batchnorm(model: nn.Module, images: Tensor) -> None:
    """Set the running statistics of BatchNorm to the mean over batches of unlabelled images.

    Otherwise a network from scratch would be judged by statistics it never saw.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
    model.train()
    batches = list(images.split(BATCH))
    if len(batches) > 1 and len(batches[-1]) == 1:  # some layers have one value an image
        batches[-2:] = [torch.cat(batches[-2:])]
    for batch in batches if norms else ():
        model(_as_input(batch, model))
    model.eval()


def linear_probe(
    features: Features, train: LabelledSet, test: LabelledSet, names: Sequence[str]
) -> SegmentationScore:
    """Fit one linear layer on features of `train`; score it on every labelled pixel of `test`."""
    segment = fit_linear(features, train, len(names))
    return score_segments(segment, test, names)


def fit_linear(features: Features, train: LabelledSet, classes: int) -> Segment:
    """Fit one linear layer on feature cells, each with the label of its centre pixel.

    Its scores are interpolated to the pixels. Fitted by L-BFGS from zero: but for the choice of
    cells where there are more than CELLS, there is nothing random in it.
    """
    x, y = labelled_cells(features, train, CELLS)
    mean, std = x.mean(dim=0), x.std(dim=0, correction=0).clamp(min=1e-6)
    layer = _fit((x - mean) / std, y, classes)

    @torch.no_grad()
    def segment(images: Tensor) -> Tensor:
        cells = (features(images).movedim(1, -1) - mean) / std
        return _largest(layer(cells).movedim(-1, 1), images)

    return segment


def fit_neighbours(features: Features, train: LabelledSet, classes: int, seed: int = 0) -> Segment:
    """Keep BANK labelled cells; each cell of an image gets the votes of those most like it.

    Votes (see `neighbour_votes`) are interpolated to the pixels.
    """
    bank, labels = labelled_cells(features, train, BANK, seed)

    def segment(images: Tensor) -> Tensor:
        found = features(images).movedim(1, -1)
        votes = neighbour_votes(found.flatten(0, 2), bank, labels, classes)
        votes = votes.reshape(*found.shape[:3], classes)
        return _largest(votes.movedim(-1, 1), images)

    return segment


def score_segments(segment: Segment, test: LabelledSet, names: Sequence[str]) -> SegmentationScore:
    """Score every labelled pixel of `test`, from one confusion matrix."""
    confusion = torch.zeros(len(names), len(names), dtype=torch.long)
    for images, labels in image_batches(test):
        confusion += confusion_matrix(segment(images), labels, len(names))
    return score(confusion, names)


def majority_class(
    train: LabelledSet, test: LabelledSet, names: Sequence[str]
) -> SegmentationScore:
    """Score the guess that everything is the most frequent class."""
    counts = torch.zeros(len(names), dtype=torch.long)
    for _, labels in image_batches(train):
        counts += torch.bincount(labels[labels >= 0], minlength=len(names))

    def segment(images: Tensor) -> Tensor:
        return torch.full((len(images), *images.shape[-2:]), int(counts.argmax()))

    return score_segments(segment, test, names)


def _as_input(images: Tensor, model: nn.Module) -> Tensor:
    return images.to(next(model.parameters()).device).float() / 255


def _largest(scores: Tensor, images: Tensor) -> Tensor:
    """Interpolate scores (B,classes,h,w) to the pixels; return the best class, on the CPU."""
    size = images.shape[-2:]
    scores = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
    return scores.argmax(dim=1).cpu()


def _fit(x: Tensor, y: Tensor, classes: int) -> nn.Linear:
    layer = nn.Linear(x.shape[1], classes, device=x.device)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=STEPS, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(x), y) + WEIGHT_DECAY * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return layer
