"""The one constructor of image networks."""

from geoset.models.dense import DenseNetwork
from geoset.models.encoder import RESNETS
from geoset.models.resunet import ResUNet


def build_network(
    encoder: str = "resnet50", out_channels: int | None = None, width: float = 1.0
) -> DenseNetwork:
    """Return a network of random weights: `ResUNet` for torchvision's ResNets, or `DenseNetwork`.

    Arguments and errors are those of the two.
    """
    network = ResUNet if encoder in RESNETS else DenseNetwork
    return network(encoder, out_channels, width)
