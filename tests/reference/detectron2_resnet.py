"""detectron2's ResNet written out, from tensors by its names: what its layers do, one by one."""

import torch.nn.functional as F


def stages(model, images):
    """Map normalised images to the outputs of res2 to res5.

    model: tensors by detectron2's names; strides as with STRIDE_IN_1X1 = False, FrozenBN
    """

    def layer(x, name, stride=1, padding=0):
        x = F.conv2d(x, model[f"{name}.weight"], stride=stride, padding=padding)
        values = (f"{name}.norm.{key}" for key in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *(model[key] for key in values), eps=1e-5)

    def block(x, name, stride):
        shortcut = layer(x, f"{name}.shortcut", stride) if f"{name}.shortcut.weight" in model else x
        if f"{name}.conv3.weight" in model:
            x = F.relu(layer(x, f"{name}.conv1"))
            x = F.relu(layer(x, f"{name}.conv2", stride, padding=1))
            x = layer(x, f"{name}.conv3")
        else:
            x = F.relu(layer(x, f"{name}.conv1", stride, padding=1))
            x = layer(x, f"{name}.conv2", padding=1)
        return F.relu(x + shortcut)

    x = F.max_pool2d(F.relu(layer(images, "stem.conv1", 2, 3)), 3, 2, 1)
    outputs = []
    for stage in (2, 3, 4, 5):
        number = 0
        while f"res{stage}.{number}.conv1.weight" in model:
            x = block(x, f"res{stage}.{number}", 2 if stage > 2 and number == 0 else 1)
            number += 1
        outputs.append(x)
    return outputs
