"""Which frames of a scene see the same surface."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from geoset.prepare.residual import DepthThumbnail, pair_residuals
from geoset.recipes import PrepareSettings

CELL = 0.05  # metres, edge of the cells that frames share


def choose_pairs(
    cells_of_frame: Sequence[np.ndarray],
    depth_of_frame: Sequence[DepthThumbnail],
    settings: PrepareSettings,
) -> tuple[dict[str, np.ndarray], dict]:
    """Find the pairs of frames to train on.

    Returns what pairs.npz holds, pairs (P,2) int32, overlap (P,) and residual (P,) float32; and
    what scene.json says of it: how many were found, kept, and left out by reason, and the median
    residual of those kept (None if unknown).
    """
    pairs, overlap = mine_pairs(cells_of_frame, settings.min_overlap)
    residual = pair_residuals(depth_of_frame, pairs)
    kept, left_out = np.arange(len(pairs)), {}
    limit, most = settings.max_pair_residual, settings.max_pairs_per_scene
    if limit is not None:
        kept = np.flatnonzero(~(residual > limit))  # what is unknown stays
        left_out[f"residual above {limit:g} m"] = len(pairs) - len(kept)
    if most is not None:
        left_out[f"more than {most} pairs"] = max(0, len(kept) - most)
        kept = thin(kept, most)
    known = residual[kept][np.isfinite(residual[kept])]
    found = {
        "found": len(pairs),
        "kept": len(kept),
        "left_out": {reason: count for reason, count in left_out.items() if count},
        "residual": round(float(np.median(known)), 5) if len(known) else None,
    }
    return {"pairs": pairs[kept], "overlap": overlap[kept], "residual": residual[kept]}, found


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


def thin(pairs: np.ndarray, most: int) -> np.ndarray:
    """Keep at most `most` rows, drawn evenly and the same at every call, in their order."""
    if len(pairs) <= most:
        return pairs
    return pairs[np.sort(np.random.default_rng(0).choice(len(pairs), most, replace=False))]
