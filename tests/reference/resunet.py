"""The network's forward pass written out on a state dict, without modules."""

import torch
import torch.nn.functional as F

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


def resunet(state, images, encoder, training):
    def conv(name, x, stride=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state.get(f"{name}.bias"), stride, weight.shape[-1] // 2)

    def norm(name, x):
        running = (state[f"{name}.running_{kind}"].clone() for kind in ("mean", "var"))
        return F.batch_norm(
            x, *running, state[f"{name}.weight"], state[f"{name}.bias"], training=training
        )

    def residual(name, x, stride):
        shortcut = x
        if f"{name}.downsample.0.weight" in state:
            shortcut = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", x, stride))
        if encoder == "resnet18":
            x = F.relu(norm(f"{name}.bn1", conv(f"{name}.conv1", x, stride)))
            x = norm(f"{name}.bn2", conv(f"{name}.conv2", x))
        else:
            x = F.relu(norm(f"{name}.bn1", conv(f"{name}.conv1", x)))
            x = F.relu(norm(f"{name}.bn2", conv(f"{name}.conv2", x, stride)))
            x = norm(f"{name}.bn3", conv(f"{name}.conv3", x))
        return F.relu(x + shortcut)

    def up(name, x, size):
        x = F.interpolate(x, size, mode="bilinear", align_corners=True)
        long = F.relu(norm(f"{name}.bn1", conv(f"{name}.conv1", x)))
        long = norm(f"{name}.bn1_2", conv(f"{name}.conv1_2", long))
        short = norm(f"{name}.bn2", conv(f"{name}.conv2", x))
        return F.relu(long + short)

    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    x = F.relu(norm("encoder.bn1", conv("encoder.conv1", (images - mean) / std, stride=2)))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    stages = []
    for stage, blocks in enumerate(BLOCKS[encoder], start=1):
        for block in range(blocks):
            stride = 2 if stage > 1 and block == 0 else 1
            x = residual(f"encoder.layer{stage}.{block}", x, stride)
        stages.append(x)

    x = up("decoder.up1", x, stages[2].shape[2:]) + stages[2]
    x = up("decoder.up2", x, stages[1].shape[2:]) + stages[1]
    x = up("decoder.up3", x, stages[0].shape[2:]) + stages[0]
    x = up("decoder.up4", x, [2 * side for side in stages[0].shape[2:]])
    return conv("decoder.conv0", x)
