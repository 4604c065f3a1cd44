import json
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from geoset.evaluation.instances import (
    AveragePrecision,
    Detections,
    average_precision,
    coco_truth,
    detection_records,
    mean_precision,
    truth_records,
)
from reference.average_precision import average_precision as slow_precision
from reference.average_precision import box_iou, box_of, mask_iou

SIZE = (40, 50)
CLASSES = ("chair", "table")
KINDS = ("bbox", "segm")


def block(x1, y1, x2, y2):
    mask = np.zeros(SIZE, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def detected(*found):
    """Detections from (score, label, mask)s; their boxes are those of the masks."""
    scores, labels, masks = zip(*found, strict=True) if found else ((), (), ())
    return Detections(
        np.array([box_of(mask) for mask in masks], np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        np.array(scores, np.float32),
        np.array(masks, bool).reshape(-1, *SIZE),
    )


def coco(truth, found):
    """COCO's records of images given as (label, mask)s and (score, label, mask)s."""
    images = [
        {"id": i, "file_name": f"{i}.jpg", "height": SIZE[0], "width": SIZE[1]}
        for i in range(len(truth))
    ]
    annotations = []
    for i, objects in enumerate(truth):
        masks = np.array([mask for _, mask in objects], bool).reshape(-1, *SIZE)
        annotations += truth_records(i, masks, np.array([label for label, _ in objects], int))
    detections = [r for i, each in enumerate(found) for r in detection_records(i, detected(*each))]
    return coco_truth(images, annotations, CLASSES), detections


A, B = block(0, 0, 10, 10), block(20, 20, 40, 30)
ELSEWHERE = block(41, 0, 50, 9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hit_a_duplicate_and_a_miss(kind):
    # One of two chairs is found, twice: recall 1/2 with precision 1, then precision 1/2, which
    # is worth nothing. Of the 101 recalls, 0.00 .. 0.50 are reached: 51.
    truth, found = coco([[(0, A), (0, B)]], [[(0.9, 0, A), (0.8, 0, A)]])
    of_class = average_precision(truth, found, kind)
    assert of_class == {"chair": pytest.approx((51 / 101,) * 3)}


@pytest.mark.parametrize("kind", KINDS)
def test_many_and_large_instances_count(kind):
    """COCO's tools also score by size, small up to 32 x 32, and by up to 1 or 10 an image."""
    blocks = [block(x, y, x + 4, y + 4) for x in range(0, 40, 4) for y in range(0, 16, 4)]
    large = block(0, 0, 45, 40)
    truth = [[(0, mask) for mask in blocks], [(1, large)]]
    found = [[(0.9, 0, mask) for mask in blocks], [(0.9, 1, large)]]
    of_class = average_precision(*coco(truth, found), kind)
    assert of_class == {"chair": pytest.approx((1, 1, 1)), "table": pytest.approx((1, 1, 1))}


@pytest.mark.parametrize("kind", KINDS)
def test_a_hit_after_the_duplicate(kind):
    # The second chair comes third: precision 2/3 at the recalls 0.51 .. 1.00.
    truth, found = coco([[(0, A), (0, B)]], [[(0.9, 0, A), (0.8, 0, A), (0.7, 0, B)]])
    expected = (51 + 50 * 2 / 3) / 101
    assert average_precision(truth, found, kind)["chair"].ap50 == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_overlap_decides_the_threshold(kind):
    # 8 of 10 columns: IoU 0.8, a hit at 0.50 .. 0.80 (7 of 10 thresholds; 0.80 itself counts).
    truth, found = coco([[(0, A)]], [[(0.9, 0, block(0, 0, 8, 10))]])
    assert average_precision(truth, found, kind)["chair"] == pytest.approx((0.7, 1, 1))


def test_boxes_and_masks_are_judged_apart():
    # A triangle fills half of the box that it shares with the square.
    triangle = A & np.tri(*SIZE, dtype=bool)
    truth, found = coco([[(0, A)]], [[(0.9, 0, triangle)]])
    assert average_precision(truth, found, "bbox")["chair"].ap == pytest.approx(1)
    # 55 of 100 pixels: a hit at 0.50 and 0.55.
    assert average_precision(truth, found, "segm")["chair"] == pytest.approx((0.2, 1, 0))


def test_a_class_without_instances_is_left_out():
    truth, found = coco([[(0, A)]], [[(0.9, 0, A), (0.9, 1, ELSEWHERE)]])
    of_class = average_precision(truth, found, "segm")
    assert list(of_class) == ["chair"]
    assert mean_precision(of_class) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_detected_and_nothing_there(kind):
    truth, nothing = coco([[(0, A)], []], [[], []])
    assert average_precision(truth, nothing, kind) == {"chair": (0, 0, 0)}
    empty, found = coco([[]], [[(0.9, 0, A)]])
    assert average_precision(empty, found, kind) == {}
    assert all(math.isnan(value) for value in mean_precision({}))


def test_a_detection_in_an_image_without_instances_costs():
    # The false one is the more certain: precision 1/2 at every recall.
    truth, found = coco([[(0, A)], []], [[(0.5, 0, A)], [(0.9, 0, A)]])
    assert average_precision(truth, found, "segm")["chair"].ap == pytest.approx(0.5)


def test_mean_over_classes():
    of_class = {"chair": AveragePrecision(0.2, 0.6, 0.1), "table": AveragePrecision(0.4, 1.0, 0.3)}
    assert mean_precision(of_class) == pytest.approx((0.3, 0.8, 0.2))


def random_case(seed, images=6):
    """Objects, found shifted, in the wrong class, twice, or not at all."""
    generator = np.random.default_rng(seed)

    def thing():
        x, y = generator.integers(0, (30, 20))
        width, height = generator.integers(6, 20, 2)
        return block(x, y, x + width, y + height) & (generator.random(SIZE) < 0.95)

    truth, found = [], []
    for _ in range(images):
        objects = [(int(generator.integers(2)), thing()) for _ in range(generator.integers(4))]
        detections = [(generator.random(), int(generator.integers(2)), thing())]
        for label, mask in objects:
            for _ in range(generator.integers(3)):
                moved = np.roll(mask, generator.integers(-2, 3, 2), (0, 1))
                wrong = generator.random() < 0.2
                detections.append((generator.random(), (label + wrong) % 2, moved))
        truth.append(objects)
        found.append(detections)
    return truth, found


@pytest.mark.parametrize("seed", range(4))
def test_against_the_definition(seed):
    truth, found = random_case(seed)
    records = coco(truth, found)
    for kind, iou, shape in (("bbox", box_iou, box_of), ("segm", mask_iou, lambda mask: mask)):
        fast = average_precision(*records, kind)
        for k, name in enumerate(CLASSES):
            objects = [[shape(mask) for label, mask in each if label == k] for each in truth]
            things = [
                [(np.float32(score), shape(mask)) for score, label, mask in each if label == k]
                for each in found
            ]
            assert fast[name] == pytest.approx(slow_precision(objects, things, iou), abs=1e-9)


def test_the_files_give_the_same_in_the_coco_tools(tmp_path, capsys):
    truth, found = coco(*random_case(7))
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "detections.json").write_text(json.dumps(found))
    for kind in KINDS:
        mean = mean_precision(average_precision(truth, found, kind))
        assert capsys.readouterr().out == ""
        tools = COCO(str(tmp_path / "truth.json"))
        evaluation = COCOeval(tools, tools.loadRes(str(tmp_path / "detections.json")), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert mean == pytest.approx(evaluation.stats[:3], abs=1e-12)
        capsys.readouterr()


def test_what_is_given_is_not_written_to():
    truth, found = coco(*random_case(1))
    before = json.dumps([truth, found])
    average_precision(truth, found, "segm")
    assert json.dumps([truth, found]) == before
