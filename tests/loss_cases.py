"""Small batches for tests of the losses."""

import torch


def draw_sets(seed, *, image_size=(7, 9), feature_size=(3, 4), views=5):
    """Random features, ids in blobs with holes, and pairs that share views."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(views, 3, *feature_size, generator=generator, dtype=torch.float64)
    set_ids = torch.randint(-1, 6, (views, *image_size), generator=generator)
    set_ids = set_ids.where(set_ids < 0, set_ids + 3 * 2**32)
    set_ids[0][set_ids[0] == 3 * 2**32] = -1  # a set that view 0 does not see
    view_pairs = torch.tensor([[0, 1], [1, 2], [4, 3]])
    return features.requires_grad_(), set_ids, view_pairs


def groups_of(set_ids):
    """Sets 0 and 2 are group 5, sets 1 and 4 group 8, the others none."""
    label = set_ids % 2**32
    return torch.where(
        set_ids < 0,
        -1,
        torch.where((label == 0) | (label == 2), 5, torch.where((label - 1) % 3 == 0, 8, -1)),
    )


def camera_matrices(views, focal=100.0, center=(16.0, 12.0)):
    K = torch.tensor([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1]], dtype=torch.float64)
    return K.repeat(views, 1, 1), torch.eye(4, dtype=torch.float64).repeat(views, 1, 1)


def plane_in_front(shift=(0.0, 0.0, 0.0), second_depth=2.0, dtype=torch.float64):
    """A wall at z = 2 of the first camera, seen again from a camera moved by `shift`."""
    depth = torch.full((2, 24, 32), 2.0, dtype=dtype)
    depth[1] = second_depth
    K, pose = camera_matrices(2)
    pose[1, :3, 3] = torch.tensor(shift)
    return depth, K, pose, torch.tensor([[0, 1]])


def draw_scene(seed, dtype=torch.float64):
    """A wavy wall with holes, seen by four cameras; depths only roughly consistent."""
    generator = torch.Generator().manual_seed(seed)
    K, pose = camera_matrices(4, focal=20.0)
    K[:, 0, 0] += torch.arange(4)
    angle = 0.2 * torch.randn(4, 3, generator=generator, dtype=torch.float64)
    skew = torch.zeros(4, 3, 3, dtype=torch.float64)
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = angle.unbind(1)
    pose[:, :3, :3] = torch.linalg.matrix_exp(skew - skew.mT)
    pose[:, :3, 3] = 0.1 * torch.randn(4, 3, generator=generator, dtype=torch.float64)
    depth = 2 + 0.2 * torch.rand(4, 24, 32, generator=generator, dtype=torch.float64)
    depth[torch.rand(4, 24, 32, generator=generator) < 0.1] = 0
    return depth.to(dtype), K, pose, torch.tensor([[0, 1], [2, 3], [3, 0], [1, 1]])
