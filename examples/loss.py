"""One more loss, trained with: the pixels of a set come close to their mean."""

import sys

import torch
from torch import Tensor

import geoset


def spread_loss(features: Tensor, set_ids: Tensor) -> Tensor:
    """Return the mean squared distance of unit features to the mean of their set.

    features: (V,C,h,w); set_ids: (V,h,w) integers, unique over the batch, -1 = none
    """
    rows = torch.nn.functional.normalize(features, dim=1).permute(0, 2, 3, 1)[set_ids >= 0]
    _, index = set_ids[set_ids >= 0].unique(return_inverse=True)
    if not len(rows):
        return features.sum() * 0  # connected to the graph: a step without sets does nothing
    sums = rows.new_zeros(int(index.max()) + 1, rows.shape[1]).index_add(0, index, rows)
    means = sums / index.bincount()[:, None]
    return (rows - means[index]).square().sum(dim=1).mean()


if __name__ == "__main__":
    scene = geoset.PreparedScene(sys.argv[1])
    model = geoset.ResUNet("resnet18", 16, width=0.25)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for step, pair in enumerate(scene.pairs[:10].tolist()):
        images = torch.stack([torch.from_numpy(scene.image(i)) for i in pair])
        sets = torch.stack([torch.from_numpy(scene.set_map(i)) for i in pair]).long()
        features = model(images.permute(0, 3, 1, 2) / 255)
        agree = spread_loss(features, sets[:, ::2, ::2])  # features have half the resolution
        differ = geoset.losses.set_info_nce(features, sets, torch.tensor([[0, 1]])).loss
        optimizer.zero_grad()
        (differ + 0.1 * agree).backward()
        optimizer.step()
        print(f"step {step}: sets {differ.item():.3f}, spread {agree.item():.3f}")
