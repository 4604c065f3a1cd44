import hashlib
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import safetensors.torch
import timm
import torch
import torchvision

from geoset import GeosetError, ResUNet
from geoset.models import initial
from geoset.models.detector import Detector
from geoset.models.encoder import RESNETS, build_encoder
from geoset.models.initial import load_encoder, load_initial
from geoset.models.load import save_model
from geoset.models.network import build_network
from geoset.models.segmenter import Segmenter
from reference.pri3d import pri3d


def resnet18():
    torch.manual_seed(5)
    return torchvision.models.resnet18()


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ResUNet("resnet18", out_channels=6)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of torch.hub, without a connection; a test's own weights are torchvision's."""

    def offline(url, path, hash_prefix, progress):
        raise URLError("no connection")

    file = tmp_path / "weights.pth"
    torch.save(resnet18().state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    cached = tmp_path / "hub" / "checkpoints" / f"resnet18-{digest[:8]}.pth"
    known = SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(url=f"https://host/{cached.name}"))
    monkeypatch.setattr(initial, "get_model_weights", {"resnet18": known}.get)
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return SimpleNamespace(file=file, cached=cached)


def same(state, expected):
    return all(torch.equal(state[key], expected[key]) for key in expected)


def copy_of(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


def test_scratch_leaves_all_as_it_was(network):
    before = copy_of(network)
    assert load_initial(network, "scratch") == "weights: drawn at random"
    assert same(network.state_dict(), before)


def test_imagenet_from_the_cache(network, hub):
    hub.cached.parent.mkdir(parents=True)
    hub.file.rename(hub.cached)
    decoder = copy_of(network.decoder)
    assert load_initial(network, "imagenet") == (
        f"weights: 120 tensors of {hub.cached}; decoder drawn at random; "
        "skipped 2 of fc.* (not in the encoder)"
    )
    resnet = resnet18().eval()
    assert same(resnet.state_dict(), copy_of(network.encoder))
    assert same(network.decoder.state_dict(), decoder)
    images = torch.rand(1, 3, 64, 64)
    x = resnet.maxpool(torch.relu(resnet.bn1(resnet.conv1(images))))
    expected = resnet.layer4(resnet.layer3(resnet.layer2(resnet.layer1(x))))
    torch.testing.assert_close(network.eval().encoder(images)[-1], expected)


def test_imagenet_is_fetched_once(network, hub, monkeypatch):
    fetched = []

    def fetch(url, path, hash_prefix, progress):
        fetched.append((url, hash_prefix))
        hub.file.rename(path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    load_initial(network, "imagenet")
    load_initial(network, "imagenet")
    assert fetched == [(f"https://host/{hub.cached.name}", hub.cached.stem[-8:])]


def test_offline_both_ways_out_are_named(network, hub):
    before = copy_of(network)
    with pytest.raises(GeosetError) as error:
        load_initial(network, "imagenet")
    assert str(error.value) == (
        "ImageNet weights of resnet18 cannot be fetched (<urlopen error no connection>). Put "
        f"torchvision's file at {hub.cached}, or name a local file of them in place of 'imagenet'"
    )
    assert same(network.state_dict(), before)


def test_the_real_names_of_torchvision_carry_a_hash():
    for name in RESNETS:
        file = torchvision.models.get_model_weights(name).IMAGENET1K_V1.url.rpartition("/")[2]
        assert initial._hash_in(Path(file)) == file[-12:-4]
    assert initial._hash_in(Path("resnet50-20240101-a.pth")) is None


@pytest.mark.parametrize("weights", ["imagenet", "file"])
def test_a_changed_file_of_torchvision_is_refused(network, hub, weights):
    hub.cached.parent.mkdir(parents=True)
    torch.save(torchvision.models.resnet18().state_dict(), hub.cached)
    with pytest.raises(GeosetError, match=r"its SHA-256 starts with \w{8}, not with .* Delete it"):
        load_initial(network, "imagenet" if weights == "imagenet" else str(hub.cached))


def test_old_files_of_torchvision_have_no_step_counts(network, tmp_path):
    state = {k: v for k, v in resnet18().state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "old.pth")
    assert load_initial(network, str(tmp_path / "old.pth")).startswith("weights: 100 tensors")
    assert same(network.encoder.state_dict(), {k: v for k, v in state.items() if "fc" not in k})


def test_imagenet_is_of_full_width_only():
    with pytest.raises(
        GeosetError, match=r"'imagenet' for a resnet18 of width 0.25: there are none. Set the width"
    ):
        load_initial(ResUNet("resnet18", width=0.25), "imagenet")


def test_a_file_for_another_width_is_refused(tmp_path):
    torch.save(resnet18().state_dict(), tmp_path / "a.pth")
    narrow = ResUNet("resnet18", width=0.25)
    before = copy_of(narrow)
    with pytest.raises(
        GeosetError, match=r"a.pth: .*of another shape: encoder.layer1.0.bn1.bias \(64,\) for \(16"
    ):
        load_initial(narrow, str(tmp_path / "a.pth"))
    assert same(narrow.state_dict(), before)


def test_a_file_of_a_deeper_network_is_refused(network, tmp_path):
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "a.pth")
    with pytest.raises(GeosetError, match=r"\(unexpected: encoder.layer1.2.bn1.bias, .* more\)"):
        load_initial(network, str(tmp_path / "a.pth"))


def test_missing_keys_are_listed(network, tmp_path):
    state = resnet18().state_dict()
    del state["layer3.1.conv2.weight"], state["bn1.running_mean"]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(
        GeosetError, match=r"missing: encoder.bn1.running_mean, encoder.layer3.1.conv2.weight\)"
    ):
        load_initial(network, str(tmp_path / "a.pth"))


def test_a_file_without_anything_that_fits(network, tmp_path):
    torch.save({"head.weight": torch.zeros(3)}, tmp_path / "a.pth")
    with pytest.raises(
        GeosetError,
        match=r"a.pth: holds no weights of resnet18, but head.weight. Expected the names",
    ):
        load_initial(network, str(tmp_path / "a.pth"))


def test_a_word_that_is_no_file(network):
    with pytest.raises(
        GeosetError, match="weights 'imagnet': expected 'scratch', 'imagenet' or a file that exists"
    ):
        load_initial(network, "imagnet")


def test_a_model_of_geoset(network, tmp_path):
    torch.manual_seed(7)
    other = ResUNet("resnet18", out_channels=6)
    save_model(other, tmp_path / "model.safetensors")
    found = load_initial(network, str(tmp_path))
    assert found == f"weights: {len(other.state_dict())} tensors of {tmp_path}"
    assert same(network.state_dict(), other.state_dict())


def test_an_encoder_of_geoset(network, tmp_path):
    torch.manual_seed(7)
    other = ResUNet("resnet18", out_channels=20).encoder.state_dict()
    path = tmp_path / "encoder.safetensors"
    safetensors.torch.save_file({f"encoder.{key}": value for key, value in other.items()}, path)
    decoder = copy_of(network.decoder)
    assert load_initial(network, str(path)).endswith("; decoder drawn at random")
    assert same(network.encoder.state_dict(), other)
    assert same(network.decoder.state_dict(), decoder)


def test_a_model_with_other_features_is_refused(network, tmp_path):
    save_model(ResUNet("resnet18", out_channels=20), tmp_path / "model.safetensors")
    with pytest.raises(GeosetError, match=r"another shape: decoder.conv0.bias \(20,\) for \(6,\)"):
        load_initial(network, str(tmp_path))


def test_a_checkpoint_of_pri3d(tmp_path):
    torch.manual_seed(3)
    original = pri3d("resnet18", heads=True)
    torch.save({"model": original.state_dict(), "step": 5}, tmp_path / "a.pth")
    network = build_network("resnet18")
    found = load_initial(network, str(tmp_path / "a.pth"))
    assert found.startswith(f"weights: {len(network.state_dict())} tensors of ")
    assert "; skipped 7 of backbone3d.* (3D network), 2 of w2d.*" in found
    assert same(network.state_dict(), original.backbone.state_dict())


@pytest.mark.parametrize(
    ("name", "skipped"),
    [
        ("test_vit", "2 of head.* (not in the encoder), 2 of norm.* (not in the encoder)"),
        ("test_convnext", "4 of head.* (not in the encoder)"),
    ],
)
def test_a_whole_model_of_timm(name, skipped, tmp_path):
    torch.manual_seed(4)
    whole = timm.create_model(name).state_dict()
    safetensors.torch.save_file(whole, tmp_path / "a.safetensors")
    network = build_network(name, 6)
    generator = torch.get_rng_state()
    found = load_initial(network, str(tmp_path / "a.safetensors"))
    assert found.endswith(f"; decoder drawn at random; skipped {skipped}")
    encoder = network.encoder.model.state_dict()
    assert same(whole, encoder)
    assert len(encoder) > len(whole) - 5
    assert torch.equal(torch.get_rng_state(), generator)


def test_imagenet_from_timm(monkeypatch):
    torch.manual_seed(4)
    whole = timm.create_model("test_vit")
    network = build_network("test_vit", 6)
    create = timm.create_model
    monkeypatch.setattr(
        initial.timm, "create_model", lambda name, pretrained: whole if pretrained else create(name)
    )
    found = load_initial(network, "imagenet")
    count = len(network.encoder.state_dict())
    assert found.startswith(f"weights: {count} tensors of timm's test_vit; decoder drawn at random")
    assert same(whole.state_dict(), network.encoder.model.state_dict())


def test_timm_offline(monkeypatch):
    network = build_network("test_vit", 6)

    def offline(name, pretrained):
        raise FileNotFoundError("not in the cache")

    monkeypatch.setattr(initial.timm, "create_model", offline)
    with pytest.raises(
        GeosetError,
        match=r"timm's weights of test_vit cannot be fetched \(not in the cache\). Run once while "
        r"online: .*in place of 'imagenet'",
    ):
        load_initial(network, "imagenet")


def test_an_encoder_alone_takes_an_encoder_and_leaves_the_rest(tmp_path):
    torch.manual_seed(7)
    other = ResUNet("resnet18", out_channels=6, width=0.25)
    save_model(other, tmp_path / "model.safetensors")
    encoder = build_encoder("resnet18", 0.25, output_stride=16)
    found = load_encoder(encoder, str(tmp_path))
    assert found == (
        f"weights: {len(other.encoder.state_dict())} tensors of {tmp_path}; "
        f"skipped {len(other.decoder.state_dict())} of decoder.* (decoder)"
    )
    assert same(encoder.state_dict(), other.encoder.state_dict())


def test_an_encoder_from_the_ends_of_other_things(hub, tmp_path):
    """Scratch, ImageNet, Pri3D, and a network fine-tuned for segmentation."""
    encoder = build_encoder("resnet18")
    before = copy_of(encoder)
    assert load_encoder(encoder, "scratch") == "weights: drawn at random"
    assert same(encoder.state_dict(), before)
    hub.cached.parent.mkdir(parents=True)
    hub.file.rename(hub.cached)
    assert load_encoder(encoder, "imagenet") == (
        f"weights: 120 tensors of {hub.cached}; skipped 2 of fc.* (not in the encoder)"
    )
    assert same(resnet18().state_dict(), copy_of(encoder))
    original = pri3d("resnet18", heads=True)
    torch.save({"model": original.state_dict()}, tmp_path / "a.pth")
    assert ", 2 of w2d.* (Geo head" in load_encoder(encoder, str(tmp_path / "a.pth"))
    assert same(encoder.state_dict(), original.backbone.encoder.state_dict())
    tuned = Segmenter("pspnet", "resnet18", ["a", "b"])
    save_model(tuned, tmp_path / "tuned.safetensors")
    assert "2 of head.* (last layer), 8 of auxiliary.* (auxiliary head)" in load_encoder(
        encoder, str(tmp_path / "tuned.safetensors")
    )
    assert same(encoder.state_dict(), tuned.encoder.state_dict())


def test_an_encoder_that_nothing_fits(tmp_path):
    save_model(ResUNet("resnet18", width=0.25), tmp_path / "model.safetensors")
    encoder = build_encoder("resnet18", 0.5)
    before = copy_of(encoder)
    with pytest.raises(
        GeosetError, match=r"do not fit resnet18 \(of another shape: layer1.0.bn1.bias \(16,\) for"
    ):
        load_encoder(encoder, str(tmp_path))
    assert same(encoder.state_dict(), before)
    torch.save({"decoder.conv0.bias": torch.zeros(3)}, tmp_path / "a.pth")
    with pytest.raises(GeosetError, match=r"resnet18 \(missing: bn1.bias, bn1.running_mean"):
        load_encoder(encoder, str(tmp_path / "a.pth"))


def test_a_segmentation_network_takes_the_decoder_too(tmp_path):
    torch.manual_seed(7)
    other = ResUNet("resnet18", out_channels=6, width=0.25)
    save_model(other, tmp_path / "model.safetensors")
    network = Segmenter("unet", "resnet18", ["a", "b"], 0.25, out_channels=6)
    head = copy_of(network.head)
    found = load_initial(network, str(tmp_path))
    assert found == f"weights: {len(other.state_dict())} tensors of {tmp_path}"
    assert same(network.encoder.state_dict(), other.encoder.state_dict())
    assert same(network.decoder.state_dict(), other.decoder.state_dict())
    assert same(network.head.state_dict(), head)


@pytest.mark.parametrize("backbone", ["resnet18", "convnext_atto"])
def test_the_encoder_of_a_detector(tmp_path, backbone):
    torch.manual_seed(7)
    tuned = Detector(backbone, ["a"], 1.0, sizes=(96,), max_size=160)
    save_model(tuned, tmp_path / "model.safetensors")
    network = build_network(backbone)
    decoder = copy_of(network.decoder)
    assert load_initial(network, str(tmp_path)) == (
        f"weights: {len(tuned.encoder.state_dict())} tensors of {tmp_path}; decoder drawn at "
        "random; skipped 16 of backbone.fpn.* (pyramid), 6 of rpn.* (proposals), 20 of "
        "roi_heads.* (heads of regions)"
    )
    assert same(network.encoder.state_dict(), tuned.encoder.state_dict())
    assert same(network.decoder.state_dict(), decoder)


def test_the_encoder_of_torchvisions_mask_rcnn(tmp_path):
    torch.manual_seed(7)
    whole = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=2
    )
    torch.save(whole.state_dict(), tmp_path / "maskrcnn.pth")
    encoder = build_encoder("resnet50")
    assert " of backbone.fpn.* (pyramid), " in load_encoder(encoder, str(tmp_path / "maskrcnn.pth"))
    assert same(encoder.state_dict(), whole.backbone.body.state_dict())


@pytest.mark.parametrize("architecture", ["deeplabv3", "pspnet"])
def test_the_encoder_of_another_architecture(tmp_path, architecture):
    torch.manual_seed(7)
    tuned = Segmenter(architecture, "resnet18", ["a", "b"], 0.25)
    save_model(tuned, tmp_path / "model.safetensors")
    network = Segmenter("unet", "resnet18", ["a", "b"], 0.25)
    decoder = copy_of(network.decoder)
    found = load_initial(network, str(tmp_path))
    assert "; decoder drawn at random; skipped " in found
    assert f"{len(tuned.decoder.state_dict())} of decoder.* (another architecture's)" in found
    assert same(network.encoder.state_dict(), tuned.encoder.state_dict())
    assert same(network.decoder.state_dict(), decoder)
