"""What an export's README.md says to do gives the features of the network that was exported."""

import json
import sys

import pytest
import safetensors
import safetensors.torch
import torch
import torchvision

from export_cases import follow, make_network, save_run
from folder_contents import contents
from geoset import GeosetError
from geoset.cli import main
from geoset.models.initial import load_initial
from geoset.models.load import network_config, save_model
from geoset.models.segmenter import Segmenter
from geoset.tasks.export import PARTS, export

CASES = [
    ("resnet18", "torchvision", None),
    ("narrow", "timm", None),
    ("deeplabv3", "timm", None),
    ("convnext", "timm", None),
    ("efficientnet", "timm", None),
    ("vit", "timm", None),
    ("narrow", "safetensors", None),
    ("pspnet", "safetensors", None),
    ("detector", "safetensors", "encoder"),
    ("vit", "safetensors", "encoder"),
    ("unet", "safetensors", "whole"),
    ("detector", "safetensors", "whole"),
    ("narrow", "hub", None),
    ("deeplabv3", "hub", "whole"),
    ("detector", "hub", None),
]


@pytest.mark.parametrize(("kind", "to", "part"), CASES)
def test_the_readme_is_followed(kind, to, part, tmp_path, monkeypatch):
    network = save_run(kind, tmp_path)
    out = export(tmp_path, to, part=part)
    assert out == tmp_path / "export" / to
    monkeypatch.chdir(out)
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = follow((out / "README.md").read_text(), images=images)["maps"]
        expected = network.encode(images)
    if isinstance(found, dict):
        assert list(found) == list(expected)
        found = found.values()
    for x, y in zip(found, expected.values(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-5 * float(y.abs().max()))


def test_a_whole_network_gives_its_scores(tmp_path, monkeypatch):
    network = save_run("unet", tmp_path)
    out = export(tmp_path, "safetensors", part="whole")
    monkeypatch.chdir(out)
    images = torch.rand(1, 3, 40, 60)
    with torch.inference_mode():
        loaded = follow((out / "README.md").read_text(), images=images)["model"]
        assert torch.equal(loaded(images), network(images))


def test_the_torchvision_file_is_a_backbone_of_mask_rcnn_too(tmp_path):
    network = save_run("resnet18", tmp_path)
    out = export(tmp_path, "torchvision", tmp_path / "out")
    state = torch.load(out / "resnet18.pth")
    assert set(state) == set(torchvision.models.resnet18().state_dict()) - {"fc.weight", "fc.bias"}
    backbone = torchvision.models.detection.backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet18", weights=None
    )
    backbone.body.load_state_dict(state)
    assert torch.equal(backbone.body.conv1.weight, network.encoder.conv1.weight)


def test_the_metadata_say_what_the_file_is(tmp_path):
    save_run("vit", tmp_path)
    path = export(tmp_path, "safetensors") / "encoder.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        metadata, keys = file.metadata(), set(file.keys())
    assert metadata.pop("format") == "pt"
    facts = {key: json.loads(value) for key, value in metadata.items()}
    assert facts["encoder"] == "test_vit"
    assert facts["mean"] == facts["std"] == [0.5, 0.5, 0.5]
    assert facts["multiple"] == 16
    assert facts["strides"] == dict.fromkeys([f"stride16_{n}" for n in (1, 2, 3, 4)], 16)
    assert facts["channels"] == dict.fromkeys(facts["strides"], 64)
    assert {"patch_embed.proj.weight", "pos_embed"} < keys  # timm's own names


def test_an_encoder_alone_starts_another_network(tmp_path):
    network = save_run("narrow", tmp_path)
    file = export(tmp_path, "safetensors") / "encoder.safetensors"
    config = network_config(file)
    assert (config["encoder"], config["width"]) == ("resnet18", 0.125)
    other = make_network("narrow")
    torch.nn.init.zeros_(other.encoder.conv1.weight)
    assert load_initial(other, str(file)).endswith("decoder drawn at random")
    assert torch.equal(other.encoder.conv1.weight, network.encoder.conv1.weight)


def test_what_timm_has_besides_is_named_and_always_the_same(tmp_path):
    save_run("convnext", tmp_path)
    first = export(tmp_path, "timm", tmp_path / "a")
    assert "also head.norm.weight, head.norm.bias: not trained" in (first / "README.md").read_text()
    torch.rand(1)
    second = export(tmp_path, "timm", tmp_path / "b")
    file = "test_convnext.safetensors"
    assert (first / file).read_bytes() == (second / file).read_bytes()


def test_the_best_weights_of_a_run_are_taken(tmp_path):
    save_run("narrow", tmp_path)
    best = make_network("narrow")
    torch.nn.init.ones_(best.encoder.conv1.weight)
    save_model(best, tmp_path / "best.safetensors")
    state = safetensors.torch.load_file(export(tmp_path, "timm") / "resnet18.safetensors")
    assert (state["conv1.weight"] == 1).all()


@pytest.mark.parametrize("to", ["torchvision", "detectron2"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("narrow", "the encoder is a resnet18 of width 0.125, which {} does not have"),
        ("vit", "the encoder is test_vit; to {} go resnet18, resnet34, resnet50, resnet101, "),
    ],
)
def test_what_a_library_does_not_have(kind, reason, to, tmp_path):
    save_run(kind, tmp_path)
    with pytest.raises(GeosetError, match=reason.format(to)) as error:
        export(tmp_path, to)
    assert str(error.value).endswith("Export it with --to timm, safetensors or onnx")
    assert not (tmp_path / "export").exists()


def test_a_dilated_resnet_is_none_of_torchvision(tmp_path):
    save_model(Segmenter("deeplabv3", "resnet18", ["a"]), tmp_path / "model.safetensors")
    with pytest.raises(GeosetError, match="is dilated to stride 16, as torchvision's resnet18 is"):
        export(tmp_path, "torchvision")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"to": "jax"},
            "--to is 'jax'; expected one of torchvision, timm, detectron2, safetensors",
        ),
        ({"to": "timm", "part": "whole"}, "timm holds the encoder only; leave out --part whole"),
        ({"to": "hub", "part": "encoder"}, "hub holds the whole only; leave out --part encoder"),
        ({"to": "timm", "size": (64, 64)}, "size is for --to onnx; timm takes images of any size"),
    ],
)
def test_choices_that_do_not_go_together(options, message, tmp_path):
    save_run("narrow", tmp_path)
    with pytest.raises(GeosetError, match=message):
        export(tmp_path, **options)


def test_what_is_no_run(tmp_path):
    with pytest.raises(GeosetError, match=r"nowhere: no such file. Give the .safetensors or .pth"):
        export(tmp_path / "nowhere", "timm")
    with pytest.raises(GeosetError, match=r"model.safetensors: no such file. Give the"):
        export(tmp_path, "timm")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(GeosetError, match=r"is not finished, and has no model.safetensors yet"):
        export(tmp_path, "timm")


@pytest.fixture
def command(monkeypatch):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["geoset", "export", *map(str, words)])
        main()

    return run


def test_the_command(command, tmp_path, capsys):
    save_run("narrow", tmp_path / "run")
    command(tmp_path / "run", "--to", "timm", "--out", tmp_path / "out")
    assert f"written: {tmp_path / 'out'} (its README.md says how" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "resnet18.safetensors",
    ]


def test_what_an_export_would_replace(tmp_path):
    save_run("narrow", tmp_path / "run")
    out, mine = tmp_path / "out", "# My project"
    for to in ("timm", "hub", "safetensors"):
        export(tmp_path / "run", to, out)  # its own are replaced
    (out / "README.md").write_text(mine)
    before = contents(out), contents(tmp_path / "run")
    for to in ("timm", "hub"):
        with pytest.raises(
            GeosetError, match=r"out/README\.md: is of something else, and would be"
        ):
            export(tmp_path / "run", to, out)
    with pytest.raises(GeosetError, match=r"run: is the run's own folder; choose another --out"):
        export(tmp_path / "run", "hub", tmp_path / "run")
    assert (contents(out), contents(tmp_path / "run")) == before


def test_help_reads_as_a_page(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        command("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "geoset export runs/first --to timm" in text
    assert all(f" {to} " in text for to in PARTS)
    assert "height and width in pixels" in text
