"""The networks of MoCo v2: an encoder, its follower, and the queue of keys (He et al. 2020)."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geoset.models.image_network import ImageNetwork


class FrameEncoder(ImageNetwork):
    """An encoder, the mean of its coarsest map, and an MLP of two layers: one vector an image.

    encoder, width: as `build_encoder` has them
    feature_dim: D of the vectors
    batchnorm_images: images that BatchNorm takes its statistics over, at least, while training
    """

    def __init__(self, encoder: str, width: float, feature_dim: int, batchnorm_images: int) -> None:
        super().__init__(encoder, width)
        channels = self.encoder.channels[-1]
        self.head = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, feature_dim)
        )
        self.batchnorm_images = batchnorm_images

    def forward(self, images: Tensor) -> Tensor:
        """Map RGB images (B,3,H,W), float in 0..1, to unit vectors (B,D) float32."""
        groups = images.tensor_split(max(1, len(images) // self.batchnorm_images))
        pooled = [self.maps(group)[-1].mean(dim=(2, 3)) for group in groups]
        return F.normalize(self.head(torch.cat(pooled)).float(), dim=1)


class MocoNetwork(nn.Module):
    """An encoder that learns, one that follows it slowly and makes the keys, and former keys.

    image: its encoder is what both start from; it is left as it is
    queue: how many keys are remembered; at first they are random
    momentum: the share of itself that the follower keeps at each step

    `queue` (K,D) and the place of its oldest row are buffers: a checkpoint holds all of the state.
    """

    def __init__(
        self,
        image: ImageNetwork,
        *,
        feature_dim: int,
        queue: int,
        momentum: float,
        batchnorm_images: int,
    ) -> None:
        super().__init__()
        start = image.encoder
        self.query = FrameEncoder(start.name, start.width, feature_dim, batchnorm_images)
        self.query.encoder.load_state_dict(start.state_dict())
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.momentum = momentum
        self.register_buffer("queue", F.normalize(torch.randn(queue, feature_dim), dim=1))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))

    def forward(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Map images of queries and of keys, (B,3,H,W) in 0..1, to unit vectors (B,D) each.

        Before, the follower makes its step; gradients reach the queries alone.
        """
        with torch.no_grad():
            for own, followed in zip(self.key.parameters(), self.query.parameters(), strict=True):
                own.lerp_(followed, 1 - self.momentum)
            key_vectors = self.key(keys)
        return self.query(queries), key_vectors

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Put keys (B,D), B <= K, in place of the oldest of the queue."""
        rows = torch.arange(len(keys), device=keys.device)
        self.queue.index_copy_(0, (self.oldest + rows) % len(self.queue), keys)
        self.oldest.add_(len(keys)).remainder_(len(self.queue))
