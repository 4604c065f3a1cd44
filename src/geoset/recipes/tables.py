"""What tables are made of: rows are methods, columns are tasks and what they score."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from geoset.recipes import published
from geoset.recipes.methods import METHODS

LABEL_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
FEW = 0.8  # share of the benchmark's labelled images for the budget of some 320


@dataclass(frozen=True)
class Task:
    """What an encoder is fine-tuned or probed for.

    data: whose images; the benchmark has one set of rooms for both
    architecture: of segmentation
    share: of the training images
    backbone: of the paper's scale
    """

    kind: Literal["probe", "segmentation", "instances"]
    data: Literal["scannet", "nyuv2"] = "scannet"
    architecture: Literal["unet", "deeplabv3", "deeplabv3plus", "pspnet"] = "unet"
    share: float = 1.0
    backbone: Literal["resnet50", "resnet18"] = "resnet50"


@dataclass(frozen=True)
class Column:
    """A score of a task, such as "miou" or "box AP50", and what it is called."""

    title: str
    task: Task
    metric: str = "miou"


@dataclass(frozen=True)
class Table:
    """Rows and columns of a table.

    rows: names of METHODS
    published: by row, a figure for each column, in %; None where there is none
    baseline: the row that the others are compared with, seed by seed
    question: what it asks; empty: how the others compare with the baseline
    second_baseline, second_rows: a row, and those that are compared with it besides
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    published: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    baseline: str = "scratch"
    question: str = ""
    second_baseline: str | None = None
    second_rows: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert {*self.rows, *self.published} <= METHODS.keys()
        compared = {self.baseline, self.second_baseline or self.baseline, *self.second_rows}
        assert compared <= {*self.rows}


_METHODS = ("scratch", "imagenet", "moco", "depth", "view", "geo", "view_geo", "sets")
_AP_METHODS = tuple(row for row in _METHODS if row != "depth")
_PROBE = Column("frozen probe", Task("probe"))


def _segmentation(title: str, **task) -> Column:
    return Column(title, Task("segmentation", **task))


def _instances(data: str) -> tuple[Column, ...]:
    task = Task("instances", data=data)
    return tuple(Column(name, task, f"box {name}") for name in ("AP50", "AP75", "AP"))


def _of_masks(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    return tuple(
        Column(column.title, column.task, column.metric.replace("box", "mask"))
        for column in columns
    )


def _by_row(figures: Mapping[str, float]) -> dict[str, tuple[float | None, ...]]:
    return {row: (value,) for row, value in figures.items()}


_FULL = _segmentation("U-Net mIoU")
_SCANNET_AP, _NYU_AP = _instances("scannet"), _instances("nyuv2")
_THRESHOLDS = {0.01: "sets"} | {k: f"sets_{k}" for k in (0.02, 0.03, 0.04, 0.05)}
_FIRST = (
    "scratch",
    "view",
    "view_more_view",
    "view_sets",
    "view_groups_geometry",
    "view_groups_random",
    "view_groups_truth",
)

TABLES: dict[str, Table] = {
    "1": Table(
        "Table 1: semantic segmentation on ScanNet, mIoU",
        _METHODS,
        (
            _segmentation("ResNet-50"),
            _segmentation("ResNet-18", backbone="resnet18"),
        ),
        {
            row: tuple(published.MIOU_SCANNET[name][row] for name in ("resnet50", "resnet18"))
            for row in _METHODS
        },
    ),
    "2": Table(
        "Table 2 and Figure 3: with fewer labels, mIoU",
        ("scratch", "view_geo", "sets"),
        tuple(_segmentation(f"{share:.0%}", share=share) for share in LABEL_SHARES),
        {
            row: tuple(figures[share] for share in LABEL_SHARES)
            for row, figures in published.MIOU_FEW_LABELS.items()
        },
        baseline="view_geo",
    ),
    "3": Table(
        "Table 3: other architectures, mIoU",
        ("imagenet", "scratch", "view_geo", "sets"),
        tuple(_segmentation(name, architecture=name) for name in published.MIOU_ARCHITECTURES),
        {
            row: tuple(figures[row] for figures in published.MIOU_ARCHITECTURES.values())
            for row in ("imagenet", "view_geo", "sets")
        },
        baseline="view_geo",
    ),
    "4": Table(
        "Table 4: detection on ScanNet", _AP_METHODS, _SCANNET_AP, published.AP_SCANNET["box"]
    ),
    "5": Table(
        "Table 5: instance segmentation on ScanNet",
        _AP_METHODS,
        _of_masks(_SCANNET_AP),
        published.AP_SCANNET["mask"],
    ),
    "6": Table(
        "Table 6: semantic segmentation on NYUv2, mIoU",
        tuple(row for row in _METHODS if row != "depth"),
        (_segmentation("U-Net mIoU", data="nyuv2"),),
        _by_row(published.MIOU_NYUV2),
    ),
    "7": Table("Table 7: detection on NYUv2", _AP_METHODS, _NYU_AP, published.AP_NYUV2["box"]),
    "8": Table(
        "Table 8: instance segmentation on NYUv2",
        _AP_METHODS,
        _of_masks(_NYU_AP),
        published.AP_NYUV2["mask"],
    ),
    "9": Table(
        "Table 9: thresholds of the over-segmentation, mIoU",
        tuple(_THRESHOLDS.values()),
        (_PROBE, _FULL),
        {row: (None, published.MIOU_THRESHOLDS[k]) for k, row in _THRESHOLDS.items()},
        baseline="sets",
    ),
    "10": Table(
        "Table 10: more of Pri3D instead of sets, mIoU",
        tuple(published.MIOU_CONTINUED),
        (_PROBE, _FULL),
        {row: (None, value) for row, value in published.MIOU_CONTINUED.items()},
        baseline="view_geo",
        question=(
            "After View and Geo together, is a second stage of geometric sets worth more than as "
            "many steps of View, Geo or both again?"
        ),
        second_baseline="sets",
        second_rows=("continue_view", "continue_geo", "continue_view_geo"),
    ),
    "5.2": Table(
        "Section 5.2: aggregation, and ground truth as sets, mIoU",
        ("sets", "random_pixel", "truth_semantic", "truth_instance"),
        (_PROBE, _FULL),
        {
            "sets": (None, published.MIOU_CONTINUED["sets"]),
            "random_pixel": (None, published.MIOU_SECTION_5_2["random_pixel"]),
            "truth_semantic": (None, published.MIOU_SECTION_5_2["truth"]),
            "truth_instance": (None, published.MIOU_SECTION_5_2["truth"]),
        },
        baseline="sets",
    ),
    "demo": Table(
        "Sets against more View, in minutes",
        ("scratch", "view", "view_more_view", "view_sets"),
        (_PROBE,),
        baseline="view_more_view",
        question=(
            "After View, is a second stage of geometric sets worth more than as many steps of View "
            "again?"
        ),
    ),
    "benchmark": Table(
        "Sets against more View, and sets that attract each other",
        _FIRST,
        (_PROBE, _segmentation("fine-tuned", share=FEW)),
        baseline="view_more_view",
        question=(
            "After View, is a second stage of geometric sets worth more than as many steps of View "
            "again? And do sets gain if those that are alike attract each other across scenes: "
            "grouped by their geometry, which needs no labels; at random, as a control; by "
            "ground-truth class, as an upper bound?"
        ),
        second_baseline="view_sets",
        second_rows=("view_groups_geometry", "view_groups_random", "view_groups_truth"),
    ),
    "ablations": Table(
        "Other ways past View",
        (
            "scratch", "moco", "depth", "geo", "view_geo", "view_more_view", "view_sets",
            "view_two_scales", "view_truth_semantic", "view_truth_instance",
        ),
        (_PROBE, *(_segmentation(f"{share:.0%}", share=share) for share in (0.2, 0.4, FEW))),
        baseline="view_more_view",
        question=(
            "What else could stand in place of View, or follow it, and is it worth more than more "
            "View? MoCoV2, depth, Geo, and View with Geo are single stages, of half the steps or "
            "fewer."
        ),
    ),
    "tuned": Table(
        "Sets against more View, each at its own learning rate",
        ("view", "view_more_view", "view_sets", "tuned_view", "tuned_more_view", "tuned_sets"),
        (_PROBE,),
        baseline="tuned_more_view",
        question=(
            "All trainings of the other tables take one learning rate. Are sets still worth more "
            "than as many steps of View, if each takes the rate that is best for it in rooms that "
            "no table scores on? The first three rows are at the one rate."
        ),
    ),
}  # fmt: skip
