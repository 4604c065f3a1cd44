"""The whole method: from scans and a few labelled images to a network that labels images.

python examples/whole.py SCANS LABELLED OUT [STEPS]; STEPS of each training, 200 unless given
"""

import sys
from dataclasses import replace
from pathlib import Path

from geoset.recipes import (
    RECIPES,
    SEGMENTATION_RECIPES,
    DataSettings,
    PrepareSettings,
    at_small_scale,
    segmentation_at_small_scale,
)
from geoset.tasks.export import export
from geoset.tasks.finetuned import evaluate_run, finetune_segmentation
from geoset.tasks.prepare import prepare
from geoset.tasks.pretrain import pretrain

if __name__ == "__main__":
    scans, labelled, out = map(Path, sys.argv[1:4])
    steps = int(sys.argv[4]) if len(sys.argv) > 4 else 200

    # Surfaces are cut into sets where they bend; each pixel learns which vertex it sees.
    prepare(scans, out / "prepared", PrepareSettings(image_size=(96, 128)))
    # Pixels of one point come to agree, then pixels of one set.
    pretrain([out / "prepared"], out / "encoder", at_small_scale(RECIPES["small"], steps))
    # From here on no 3D data plays a part.
    segmenter = segmentation_at_small_scale(SEGMENTATION_RECIPES["unet"], steps)
    segmenter = replace(segmenter, encoder=str(out / "encoder"))
    finetune_segmentation(DataSettings(labelled), out / "segmenter", segmenter)
    print("mIoU", evaluate_run(out / "segmenter", labelled)["mean_iou"])
    export(out / "encoder", "timm")
