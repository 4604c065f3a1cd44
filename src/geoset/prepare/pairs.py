"""Which frames of a scene see the same surface."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

CELL = 0.05  # metres, edge of the cells that frames share


def surface_cells(vertices: np.ndarray) -> np.ndarray:
    """Return (V,) the index of the 5 cm cell that holds each vertex."""
    cell = np.floor(vertices / CELL).astype(np.int64)
    cell -= cell.min(axis=0)
    _, index = np.unique((cell[:, 0] << 42) | (cell[:, 1] << 21) | cell[:, 2], return_inverse=True)
    return index.reshape(-1)


def mine_pairs(
    cells_of_frame: Sequence[np.ndarray], min_overlap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find the pairs of frames that overlap, all of a scene at once.

    Overlap is the larger of the two directed ratios of shared cells, that is, shared cells over
    those of the frame that sees fewer (Pri3D; there by nearest points of 5 cm clouds).

    cells_of_frame: for each frame, the distinct cells it sees
    Returns pairs (P,2) int32, first < second, and their overlap (P,) float32.
    """
    sizes = np.array([len(cells) for cells in cells_of_frame], dtype=np.int64)
    columns = np.concatenate([*cells_of_frame, np.empty(0, dtype=np.int64)])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    sees = csr_matrix(
        (np.ones(len(columns), dtype=np.int32), columns, starts),
        shape=(len(sizes), int(columns.max(initial=-1)) + 1),
    )
    shared = (sees @ sees.T).tocoo()
    above = shared.row < shared.col
    first, second, count = shared.row[above], shared.col[above], shared.data[above]
    overlap = (count / np.minimum(sizes[first], sizes[second])).astype(np.float32)
    keep = overlap >= min_overlap
    order = np.lexsort((second[keep], first[keep]))
    pairs = np.stack([first[keep], second[keep]], axis=1).astype(np.int32)
    return pairs[order], overlap[keep][order]


def thin_pairs(
    pairs: np.ndarray, overlap: np.ndarray, most: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Keep at most `most` pairs, drawn evenly and the same at every call."""
    if most is None or len(pairs) <= most:
        return pairs, overlap
    chosen = np.sort(np.random.default_rng(0).choice(len(pairs), most, replace=False))
    return pairs[chosen], overlap[chosen]
