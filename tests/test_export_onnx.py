"""ONNX graphs in onnxruntime, against PyTorch, at sizes that they were not made with."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from export_cases import follow, make_network
from geoset import GeosetError
from geoset.export import onnx_graph
from geoset.export.onnx_graph import export_onnx

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SIZES = [(1, 3, 64, 96), (3, 3, 50, 170)]


@torch.inference_mode()
def check(kind, out, whole, sizes=SIZES, **options):
    """Export; follow the README; return its names after the last size."""
    network = make_network(kind)
    text = export_onnx(network, out, whole, **options)
    for size in sizes:
        images = torch.rand(size, generator=torch.Generator().manual_seed(1))
        names = follow(text, images=images.numpy())
        found = names["outputs" if whole else "maps"]
        expected = [network(images)] if whole else network.encode(images).values()
        assert whole or list(found) == list(network.encode(images))
        for x, y in zip(found.values(), expected, strict=True):
            tolerance = 1e-4 * float(y.abs().max())
            torch.testing.assert_close(torch.from_numpy(x), y, rtol=1e-4, atol=tolerance)
    return text, names


def test_scores_of_a_segmenter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, names = check("unet", tmp_path, whole=True)
    assert list(names["outputs"]) == ["scores"]
    assert "Channels of the scores, (B,K,H,W): void, wall, floor." in text
    session = names["session"]
    (images,) = session.get_inputs()
    assert images.shape == ["batch", 3, "height", "width"]
    facts = json.loads(session.get_modelmeta().custom_metadata_map["geoset"])
    assert facts["classes"] == ["void", "wall", "floor"]
    assert (facts["encoder"], facts["width"], facts["outputs"]) == ("resnet18", 0.125, ["scores"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "whole"),
    [
        ("narrow", True),
        ("narrow", False),
        ("convnext", True),
        ("vit", True),
        ("vit", False),
        ("deeplabv3", True),
        ("pspnet", False),
        ("detector", False),
    ],
)
def test_other_networks(kind, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(kind, tmp_path, whole)


@pytest.mark.slow
def test_one_size(tmp_path, monkeypatch):
    """A side of 50 is no multiple of PSPNet's grids."""
    monkeypatch.chdir(tmp_path)
    sizes = [(1, 3, 50, 64), (3, 3, 50, 64)]
    _, names = check("pspnet", tmp_path, whole=True, sizes=sizes, size=(50, 64))
    assert names["session"].get_inputs()[0].shape == ["batch", 3, 50, 64]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("pspnet", {}, "images of one size only: give it, for example --size 48 64"),
        (
            "detector",
            {},
            "Mask R-CNN as a whole has no ONNX graph here; export its encoder",
        ),
        ("narrow", {"size": (16, 64)}, "size is 16 x 64; expected 32 or more"),
    ],
)
def test_what_has_no_graph(kind, options, message, tmp_path):
    with pytest.raises(GeosetError, match=re.escape(message)):
        export_onnx(make_network(kind), tmp_path, whole=True, **options)


def test_packages_that_are_missing_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graph, "find_spec", {"onnx": True}.get)
    with pytest.raises(GeosetError) as error:
        export_onnx(make_network("narrow"), tmp_path, whole=False)
    assert str(error.value) == (
        "ONNX needs packages that are not installed; get them with: pip install onnxscript "
        "onnxruntime"
    )


class Doubled(nn.Module):
    def forward(self, images):
        return 2 * images


def session(run):
    return lambda *_, **__: SimpleNamespace(run=run)


@pytest.mark.parametrize(
    ("run", "size", "message"),
    [
        (
            lambda _, feed: [feed["images"] * 2.001],
            None,
            "on images of 96 x 128 the ONNX graph differs from PyTorch by 0.0005 of the largest "
            "value, expected 0.0001; nothing was written. Try it for one size: --size 240 320",
        ),
        (
            lambda _, feed: [np.full_like(feed["images"], np.nan)],
            (40, 50),
            "on images of 40 x 50 the ONNX graph differs from PyTorch by nan of the largest value, "
            "expected 0.0001; nothing was written. Export --to safetensors or timm",
        ),
        (
            lambda _, feed: feed["pictures"],
            None,
            "the ONNX graph fails on images of 96 x 128 ('pictures'). Try it for one size",
        ),
    ],
)
def test_a_graph_that_is_wrong_is_refused(run, size, message, monkeypatch, tmp_path):
    monkeypatch.setattr(onnxruntime, "InferenceSession", session(run))
    with pytest.raises(GeosetError, match=re.escape(message)):
        onnx_graph._compare(Doubled(), tmp_path / "model.onnx", size)


def test_a_network_that_pytorch_cannot_export(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise torch.onnx.OnnxExporterError("no such operator\nand a long trace")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(
        GeosetError, match=r"makes no ONNX graph of this network \(no such operator\). Try it for"
    ):
        export_onnx(make_network("narrow"), tmp_path, whole=False)
    assert list(tmp_path.iterdir()) == []
