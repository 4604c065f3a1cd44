"""Pinhole cameras and rigid transforms.

Conventions, stated here once: OpenCV camera axes (x right, y down, z forward), metres,
`b_from_a` maps coordinates of a to coordinates of b, the centre of pixel (row i, column j)
is at (x, y) = (j + 0.5, i + 0.5), and depth is z, with 0 meaning that there is none.
"""

from dataclasses import dataclass

import numpy as np

RIGID_TOLERANCE = 1e-2  # of R^T R against the identity; poses printed with few digits stay within


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: `K` (3,3) float64 in pixels, for images of `width` x `height`."""

    K: np.ndarray
    width: int
    height: int

    def resized(self, height: int, width: int) -> "Camera":
        """Return the camera of the same view sampled at `height` x `width`."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return Camera(scale @ self.K, width, height)

    def rays(self) -> np.ndarray:
        """Return (H,W,3) float64 directions through the pixel centres, with z = 1."""
        x = (np.arange(self.width) + 0.5 - self.K[0, 2]) / self.K[0, 0]
        y = (np.arange(self.height) + 0.5 - self.K[1, 2]) / self.K[1, 1]
        rays = np.ones((self.height, self.width, 3))
        rays[..., 1] = y[:, None]
        rays[..., 0] = x - self.K[0, 1] / self.K[0, 0] * rays[..., 1]
        return rays

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project camera-frame `points` (..., 3) to pixels (..., 2) and their z (...).

        Pixels of points with z <= 0 mean nothing; test z first.
        """
        z = points[..., 2]
        safe = np.where(z > 0, z, 1.0)
        homogeneous = points / safe[..., None] @ self.K.T
        return homogeneous[..., :2], z


def transform(b_from_a: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Move `points` (..., 3) from a to b by the 4x4 matrix `b_from_a`."""
    return points @ b_from_a[:3, :3].T + b_from_a[:3, 3]


def invert(b_from_a: np.ndarray) -> np.ndarray:
    """Return `a_from_b`, the inverse of a rigid 4x4 transform."""
    a_from_b = np.eye(4)
    a_from_b[:3, :3] = b_from_a[:3, :3].T
    a_from_b[:3, 3] = -b_from_a[:3, :3].T @ b_from_a[:3, 3]
    return a_from_b


def why_not_rigid(matrix: np.ndarray) -> str | None:
    """Say why a matrix is no rigid 4x4 transform, or return None if it is one."""
    if matrix.shape != (4, 4):
        return f"pose is {'x'.join(map(str, matrix.shape))}, expected 4x4"
    return why_each_is_not_rigid(matrix[None])[0]


def why_each_is_not_rigid(matrices: np.ndarray) -> list[str | None]:
    """Say why matrices (N,4,4) are no rigid transforms, None for those that are."""
    finite = np.isfinite(matrices).all(axis=(1, 2))
    tested = np.where(finite[:, None, None], matrices, np.eye(4))
    rotations, last_rows = tested[:, :3, :3], tested[:, 3]
    with np.errstate(all="ignore"):  # of huge entries, which are no rotation
        skew = np.abs(rotations.transpose(0, 2, 1) @ rotations - np.eye(3)).max(axis=(1, 2))
        mirrors = np.linalg.det(rotations) < 0
    found = [
        ("pose has non-finite entries", ~finite),
        ("pose is not rigid (its axes are not orthonormal)", ~(skew <= RIGID_TOLERANCE)),
        ("pose is not rigid (it mirrors space)", mirrors),
        (
            "pose is not rigid (its last row is not 0 0 0 1)",
            np.abs(last_rows - (0, 0, 0, 1)).max(axis=1) > RIGID_TOLERANCE,
        ),
    ]
    reasons: list[str | None] = [None] * len(matrices)
    for reason, concerned in reversed(found):  # so that the first one stays
        for k in np.flatnonzero(concerned):
            reasons[k] = reason
    return reasons


def nearest_rigid(matrix: np.ndarray) -> np.ndarray:
    """Return the rigid transform nearest to each matrix (...,4,4) that printing has rounded."""
    u, _, vt = np.linalg.svd(matrix[..., :3, :3])
    rigid = np.broadcast_to(np.eye(4), matrix.shape).copy()
    rigid[..., :3, :3] = u @ vt
    rigid[..., :3, 3] = matrix[..., :3, 3]
    return rigid
