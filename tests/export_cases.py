"""Networks to export, and what the README.md of an export says to do, done."""

import re

import torch

from geoset import ResUNet
from geoset.models.dense import DenseNetwork
from geoset.models.detector import Detector
from geoset.models.load import save_model
from geoset.models.segmenter import Segmenter

NETWORKS = {
    "narrow": lambda: ResUNet("resnet18", 6, width=0.125),
    "resnet18": lambda: ResUNet("resnet18", 6),
    "convnext": lambda: DenseNetwork("test_convnext"),
    "efficientnet": lambda: DenseNetwork("test_efficientnet"),
    "vit": lambda: DenseNetwork("test_vit"),
    "unet": lambda: Segmenter("unet", "resnet18", ["wall", "floor"], 0.125, void=True),
    "deeplabv3": lambda: Segmenter("deeplabv3", "resnet18", ["wall", "floor"], 0.125),
    "pspnet": lambda: Segmenter("pspnet", "resnet18", ["wall", "floor"], 0.125, size=(48, 64)),
    "detector": lambda: Detector("resnet18", ["bed", "chair"], 0.125),
}


def make_network(kind):
    """A network of a kind, in evaluation mode."""
    torch.manual_seed(0)
    return as_if_trained(NETWORKS[kind]())


def as_if_trained(network):
    """Give every BatchNorm values of its own."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                torch.nn.init.uniform_(values, 0.5, 1.5)
    return network.eval()


def save_run(kind, folder):
    """The network of a kind, saved as a finished run has it."""
    network = make_network(kind)
    save_model(network, folder / "model.safetensors")
    return network


def follow(text, **names):
    """Run the Python of a Markdown text; return its names."""
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    return names
