"""Fine-tuning, scoring and applying networks through the command line, on made-up rooms."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from geoset import GeosetError, cli
from geoset.scans.rooms import ROOM_CLASSES, RoomSettings, write_room
from geoset.tasks import instance_scores
from geoset.tasks.finetuned import predict_images
from labelled_folders import write_coco

TINY = [
    *("--scale", "small", "--steps", "3", "--width", "0.125", "--batch", "2"),
    *("--accelerator", "cpu", "--workers", "0"),
]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    for seed in range(5):
        write_room(folder / f"room{seed}", seed, RoomSettings(frames=2))
    return folder


def geoset(*words):
    sys.argv = ["geoset", *map(str, words)]
    cli.main()


@pytest.fixture(scope="module")
def segmenter(labelled, tmp_path_factory):
    run = tmp_path_factory.mktemp("segmenter")
    geoset("finetune", "segmentation", "--data", labelled, "--out", run, "--encoder", "scratch",
           *TINY, "--size", "48", "64")  # fmt: skip
    return run


@pytest.fixture(scope="module")
def detector(labelled, tmp_path_factory):
    run = tmp_path_factory.mktemp("detector")
    geoset("finetune", "instances", "--data", labelled, "--out", run, *TINY)
    return run


def test_segmentation_from_the_command_line(segmenter, labelled, capsys):
    results = json.loads((segmenter / "results.json").read_text())
    assert (results["images"], results["protocol"]) == (2, "strict")  # every fifth room
    geoset("evaluate", segmenter, "--data", labelled, "--split", "val", "--workers", "0",
           "--accelerator", "cpu")  # fmt: skip
    again = json.loads((segmenter / "evaluation/results.json").read_text())
    assert again["confusion"] == results["confusion"]
    assert "| mean |" in capsys.readouterr().out


def test_instances_from_the_command_line(detector, labelled):
    first = json.loads((detector / "results.json").read_text())
    geoset("evaluate", detector, "--data", labelled, "--split", "val", "--workers", "0",
           "--accelerator", "cpu")  # fmt: skip
    again = json.loads((detector / "evaluation/results.json").read_text())
    assert again == first


def test_predicted_labels(segmenter, labelled, tmp_path, capsys):
    geoset("predict", segmenter, labelled / "room0/color", "--out", tmp_path)
    assert (tmp_path / "classes.txt").read_text().split("\n")[:-1] == list(ROOM_CLASSES)
    labels = np.asarray(Image.open(tmp_path / "000000.labels.png"))
    assert labels.shape == (96, 128)
    assert 1 <= labels.min() <= labels.max() <= len(ROOM_CLASSES)
    assert Image.open(tmp_path / "000001.overlay.jpg").size == (128, 96)
    assert "2 images: " in capsys.readouterr().out


def test_classes_of_other_making_are_kept(segmenter, labelled, tmp_path):
    (tmp_path / "classes.txt").write_text("1 wall\n")
    with pytest.raises(GeosetError, match=r"classes\.txt: names other classes than .*; choose"):
        predict_images(segmenter, [labelled / "room0/color"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["classes.txt"]


def test_predicted_instances(detector, labelled, tmp_path):
    geoset("predict", detector, labelled / "room0/color", "--out", tmp_path,
           "--score-threshold", "0")  # fmt: skip
    things = json.loads((tmp_path / "000000.json").read_text())
    numbers = np.asarray(Image.open(tmp_path / "000000.instances.png"))
    assert things
    assert numbers.max() <= len(things)
    assert all(len(thing["box"]) == 4 and 0 <= thing["score"] <= 1 for thing in things)


def test_images_that_cannot_be_predicted(segmenter, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/._b.png").write_bytes(b"what macOS leaves beside b.png")
    with pytest.raises(GeosetError, match=r"empty: no image; expected files that end in \.jpg"):
        predict_images(segmenter, [tmp_path / "empty"], tmp_path / "out")
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    Image.new("RGB", (64, 48)).save(tmp_path / "b.png")
    predict_images(segmenter, [tmp_path / "a.jpg", tmp_path / "b.png"], tmp_path / "out")
    said = capsys.readouterr().out
    assert "1 images" in said
    assert "left out: " in said
    assert "a.jpg" in said
    Image.new("RGB", (64, 48)).save(tmp_path / "c.gif")
    predict_images(segmenter, [tmp_path / "c.gif", tmp_path / "b.png"], tmp_path / "out")
    said = capsys.readouterr().out
    assert "c.gif" in said or (tmp_path / "out/c.labels.png").is_file()
    with pytest.raises(GeosetError, match=r"nowhere: does not exist; give images, or folders"):
        predict_images(segmenter, [tmp_path / "b.png", tmp_path / "nowhere"], tmp_path / "out")
    with pytest.raises(GeosetError, match="two images are called 'b'"):
        predict_images(segmenter, [tmp_path / "b.png"] * 2, tmp_path / "out")
    with pytest.raises(GeosetError, match=r"no image can be read: .*a\.jpg"):
        predict_images(segmenter, [tmp_path / "a.jpg"], tmp_path / "out")


def test_networks_that_were_not_fine_tuned(prepared_rooms, labelled, tmp_path, capsys):
    geoset("pretrain", prepared_rooms, "--out", tmp_path, "--stages.0.steps", "1",
           "--stages.1.steps", "1", "--batch-pairs", "1", "--workers", "0")  # fmt: skip
    for command in (
        ["evaluate", tmp_path, "--data", labelled],
        ["predict", tmp_path, labelled / "room0/color", "--out", tmp_path / "out"],
    ):
        with pytest.raises(SystemExit, match="2"):
            geoset(*command)
        assert "is no network that was fine-tuned for segmentation" in capsys.readouterr().err


def test_frozen_networks_are_compared(prepared_rooms, labelled, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    geoset("pretrain", prepared_rooms, "--out", run, "--stages.0.steps", "1",
           "--stages.1.steps", "1", "--batch-pairs", "1", "--workers", "0",
           "--heldout-every", "3")  # fmt: skip
    geoset("compare", run, "scratch", "--scenes", prepared_rooms / "a", "--frames", "every:3",
           "--out", out)  # fmt: skip
    assert {"results.json", "results.md"} < {path.name for path in out.iterdir()}
    said = capsys.readouterr().out
    assert "held out" in said
    assert "scratch" in said


def test_probes_on_images_of_a_size(segmenter, labelled, tmp_path, capsys):
    geoset("compare", segmenter, "--data", labelled, "--size", "48", "64",
           "--out", tmp_path)  # fmt: skip
    assert "room" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert "at 48x64" in json.dumps(results["segmentation"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "48", "64"], "--val-data and --size are of the labelled images"),
        (["--val-data", "rooms"], "--val-data and --size are of the labelled images"),
        (["--accelerator", "gpu"], "there is no GPU that PyTorch can use"),
    ],
)
def test_options_of_compare_that_lead_nowhere(
    segmenter, prepared_rooms, tmp_path, capsys, monkeypatch, options, message
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="2"):
        geoset("compare", segmenter, "--scenes", prepared_rooms, *options, "--out", tmp_path)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("there", "device"), [(True, "cuda"), (False, "cpu")])
def test_compare_takes_a_gpu_if_there_is_one(tmp_path, monkeypatch, there, device):
    taken = []

    def evaluate(models, out, *, device, **options):
        taken.append(device)
        (out / "results.md").write_text("")

    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    monkeypatch.setattr("geoset.tasks.finetuned.evaluate_frozen", evaluate)
    geoset("compare", "scratch", "--scenes", tmp_path, "--out", tmp_path)
    assert taken == [device]


def test_one_coco_file_is_not_both_train_and_val(tmp_path, capsys):
    write_coco(tmp_path, {1: np.zeros((64, 64, 3), np.uint8)}, [], {1: "thing"})
    with pytest.raises(SystemExit, match="2"):
        geoset("finetune", "instances", "--data", tmp_path / "annotations/instances_val2017.json",
               "--out", tmp_path / "out", *TINY)  # fmt: skip
    assert "would be both what is learned from and what is scored on" in capsys.readouterr().err


def test_ids_that_are_no_class_are_told(labelled, tmp_path, capsys):
    for name, kind in (("images", "color"), ("labels", "label")):
        shutil.copytree(labelled / "room0" / kind, tmp_path / name)
    (tmp_path / "classes.txt").write_text("1 wall\n2 floor\n")
    for split in ("train", "val"):
        (tmp_path / f"{split}.txt").write_text("000000\n000001\n")
    geoset("finetune", "segmentation", "--data", tmp_path, "--out", tmp_path / "run",
           "--encoder", "scratch", *TINY, "--size", "48", "64")  # fmt: skip
    ids = [np.unique(np.asarray(Image.open(path))) for path in (tmp_path / "labels").iterdir()]
    unknown = set(np.concatenate(ids).tolist()) - {0, 1, 2}
    assert f"train: {len(unknown)} ids that are no class, such as " in capsys.readouterr().out


def test_the_protocol_of_a_run_goes_with_its_files(tmp_path):
    settings = {"instances": {"protocol": "pri3d"}}
    (tmp_path / "run.json").write_text(json.dumps({"plan": {"settings": settings}}))
    (tmp_path / "best.safetensors").touch()
    for model in (tmp_path, tmp_path / "best.safetensors"):
        assert instance_scores._protocol_of(model) == "pri3d"
    assert instance_scores._protocol_of(tmp_path / "elsewhere/best.safetensors") == "strict"


def test_detectors_have_no_features_to_compare(detector, labelled, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        geoset("compare", detector, "--data", labelled, "--out", tmp_path)
    assert "is a Mask R-CNN, which gives boxes and no map of features" in capsys.readouterr().err


def test_an_unfinished_run_says_how_to_finish_it(labelled, tmp_path, capsys):
    (tmp_path / "run.json").write_text("{}")
    for command in (["evaluate", tmp_path], ["compare", tmp_path, "--out", tmp_path / "out"]):
        with pytest.raises(SystemExit, match="2"):
            geoset(*command, "--data", labelled)
        assert "is not finished" in capsys.readouterr().err


def test_labels_of_instances_alone_are_for_detection(tmp_path, capsys):
    image = np.zeros((8, 8, 3), np.uint8)
    box = {"bbox": [1, 1, 4, 4], "segmentation": [[1, 1, 5, 1, 5, 5]], "area": 8}
    annotations = [{"image_id": 0, "category_id": 1, **box}]
    for split in ("train2017", "val2017"):
        write_coco(tmp_path / "coco", {0: image}, annotations, {1: "chair"}, split)
    with pytest.raises(SystemExit, match="2"):
        geoset("finetune", "segmentation", "--data", tmp_path / "coco", "--out", tmp_path / "run")
    assert "use geoset finetune instances" in capsys.readouterr().err
