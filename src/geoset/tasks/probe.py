"""Frozen linear probe: how much of the classes can be read off features by one linear layer."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geoset.data.labelled import LabelledImages
from geoset.evaluation.segmentation import SegmentationScore, confusion_matrix, score

BATCH = 16  # images
STEPS = 60  # of L-BFGS
WEIGHT_DECAY = 1e-4
CELL_STEP = 2  # every second cell of every second row is learned from: neighbours are alike
REFERENCE_STRIDE = 2  # that of the networks

Features = Callable[[Tensor], Tensor]
"""Images (B,3,H,W) uint8 to features (B,C,h,w)."""


def network_features(model: nn.Module) -> Features:
    """Return the frozen features of a network."""

    @torch.no_grad()
    def features(images: Tensor) -> Tensor:
        model.eval()
        return model(images.float() / 255)

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
    for batch in images.split(BATCH):
        model(batch.float() / 255)
    model.eval()


def linear_probe(
    features: Features, train: LabelledImages, test: LabelledImages, names: Sequence[str]
) -> SegmentationScore:
    """Fit one linear layer on the features of `train`; score it on every labelled pixel of `test`.

    The layer sees feature cells, each with the label of its centre pixel; its scores are
    interpolated to the pixels. Fitted by L-BFGS from zero: there is nothing random in it.
    """
    x, y = _cells(features, train)
    mean, std = x.mean(dim=0), x.std(dim=0).clamp(min=1e-6)
    layer = _fit((x - mean) / std, y, len(names))
    confusion = torch.zeros(len(names), len(names), dtype=torch.long)
    for images, labels in zip(test.images.split(BATCH), test.labels.split(BATCH), strict=True):
        cells = (features(images).movedim(1, -1) - mean) / std
        scores = layer(cells).detach().movedim(-1, 1)
        size = labels.shape[-2:]
        scores = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
        confusion += confusion_matrix(scores.argmax(dim=1), labels, len(names))
    return score(confusion, names)


def majority_class(
    train: LabelledImages, test: LabelledImages, names: Sequence[str]
) -> SegmentationScore:
    """Score the guess that everything is the most frequent class."""
    counts = torch.bincount(train.labels[train.labels >= 0], minlength=len(names))
    guess = torch.full_like(test.labels, int(counts.argmax()))
    return score(confusion_matrix(guess, test.labels, len(names)), names)


def _cells(features: Features, labelled: LabelledImages) -> tuple[Tensor, Tensor]:
    """Return the features (N,C) and labels (N,) of labelled cells."""
    xs, ys = [], []
    for images, labels in zip(
        labelled.images.split(BATCH), labelled.labels.split(BATCH), strict=True
    ):
        found = features(images)
        height, width = found.shape[-2:]
        rows = ((torch.arange(height) + 0.5) * labels.shape[1] / height).long()
        columns = ((torch.arange(width) + 0.5) * labels.shape[2] / width).long()
        y = labels[:, rows][:, :, columns]
        found, y = found[..., ::CELL_STEP, ::CELL_STEP], y[:, ::CELL_STEP, ::CELL_STEP]
        xs.append(found.movedim(1, -1)[y >= 0])
        ys.append(y[y >= 0])
    return torch.cat(xs), torch.cat(ys)


def _fit(x: Tensor, y: Tensor, classes: int) -> nn.Linear:
    layer = nn.Linear(x.shape[1], classes)
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
