"""The network of Pri3D around torchvision's ResNet, parameters named as in its checkpoints."""

import torch
import torch.nn.functional as F
import torchvision
from torch import nn


class UpProjection(nn.Module):
    def __init__(self, wide):
        super().__init__()
        narrow = wide // 2
        self.conv1 = nn.Conv2d(wide, narrow, kernel_size=5, padding=2, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.conv1_2 = nn.Conv2d(narrow, narrow, kernel_size=3, padding=1, bias=False)
        self.bn1_2 = nn.BatchNorm2d(narrow)
        self.conv2 = nn.Conv2d(wide, narrow, kernel_size=5, padding=2, bias=False)
        self.bn2 = nn.BatchNorm2d(narrow)

    def forward(self, x, height, width):
        x = nn.Upsample((height, width), mode="bilinear", align_corners=True)(x)
        first = self.bn1_2(self.conv1_2(torch.relu(self.bn1(self.conv1(x)))))
        second = self.bn2(self.conv2(x))
        return torch.relu(first + second)


class Backbone(nn.Module):
    def __init__(self, name, out_channels):
        super().__init__()
        self.encoder = getattr(torchvision.models, name)()
        del self.encoder.fc, self.encoder.avgpool
        wide = {"resnet18": 512, "resnet50": 2048}[name]
        self.decoder = nn.Module()
        for i in (1, 2, 3, 4):
            self.decoder.add_module(f"up{i}", UpProjection(wide))
            wide //= 2
        self.decoder.conv0 = nn.Conv2d(wide, out_channels, kernel_size=1)

    def forward(self, images):
        e, d = self.encoder, self.decoder
        x = e.maxpool(F.relu(e.bn1(e.conv1(images))))
        s1 = e.layer1(x)
        s2 = e.layer2(s1)
        s3 = e.layer3(s2)
        x = e.layer4(s3)
        x = d.up1(x, *s3.shape[2:]) + s3
        x = d.up2(x, *s2.shape[2:]) + s2
        x = d.up3(x, *s1.shape[2:]) + s1
        x = d.up4(x, s1.shape[2] * 2, s1.shape[3] * 2)
        return d.conv0(x)


class Pri3D(nn.Module):
    """`heads` adds what a Geo checkpoint holds besides, at a fraction of its size."""

    def __init__(self, name, heads=False):
        super().__init__()
        channels = {"resnet18": 32, "resnet50": 128}[name]
        self.backbone = Backbone(name, channels)
        if heads:
            self.backbone3d = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
            self.w2d = nn.Linear(channels, 64)
            self.w3d = nn.Linear(96, 64)
            self.headnet = nn.Conv2d(channels, 1, 1)
            self.headloss = nn.Conv2d(1, 2, 3, bias=False)

    def forward(self, images):
        """images: normalised by ImageNet's mean and standard deviation."""
        return self.backbone(images)


def pri3d(name, heads=False):
    """A network whose every scale, shift and running statistic differs from a new one's."""
    network = Pri3D(name, heads)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    with torch.no_grad():
        for _ in range(2):
            network.train()(torch.randn(2, 3, 64, 64))
    return network.eval()
