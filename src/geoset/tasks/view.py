"""Show prepared scenes in the browser, and name sets of them."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from geoset.errors import GeosetError
from geoset.models.dense import DenseNetwork
from geoset.models.load import load_model
from geoset.prepare.data_set import open_scenes
from geoset.prepare.scene import PreparedScene
from geoset.reports.figures import paint_features
from geoset.spacing import evenly_spaced
from geoset.tasks.set_features import sum_by_set
from geoset.viewer.session import Session
from geoset.viewer.surface_colors import NOTHING

FRAMES = 40  # of a scene, whose features are painted
CELLS = 64  # of the longer side of their feature maps


def view(
    prepared: Sequence[str | Path],
    out: Path,
    model: Path | None = None,
    host: str = "localhost",
    port: int = 8080,
) -> None:
    """Serve prepared scenes to browsers until interrupted.

    out: folder of labels; names are kept there, and label images exported to it
    model: a run folder or file of weights of a network for dense features, to paint them

    Raises:
        GeosetError: viser is missing, there is no prepared scene, names or weights cannot be used.
    """
    window_of = _window_class()
    colors = None if model is None else _painter(model)
    window = window_of(Session(open_scenes(prepared), out, colors), host, port)
    print(
        f"Open http://localhost:{window.port} in a browser. From another machine, first: "
        f"ssh -L {window.port}:localhost:{window.port} THIS_MACHINE\n"
        f"Names are kept in {out}/named_sets. Stop with Ctrl-C.",
        flush=True,
    )
    try:
        wait()
    except KeyboardInterrupt:
        window.stop()


def wait() -> None:
    """Wait until interrupted."""
    while True:
        time.sleep(3600)


def _window_class() -> type:
    try:
        from geoset.viewer.window import Window
    except ModuleNotFoundError as error:
        if error.name not in ("viser", "trimesh"):
            raise
        raise GeosetError(
            f"geoset view needs {error.name}, which is not installed; run: "
            "pip install viser trimesh"
        ) from error
    return Window


def _painter(path: Path) -> Callable[[PreparedScene], np.ndarray]:
    """Return what paints features of the network in `path` onto the surface of a scene."""
    model = load_model(path)
    if not isinstance(model, DenseNetwork):
        raise GeosetError(
            f"{path}: is a {type(model).__name__}, expected a network for dense features, such as "
            "a run of geoset pretrain"
        )
    return lambda scene: feature_colors(model, scene)


@torch.no_grad()
def feature_colors(model: nn.Module, scene: PreparedScene) -> np.ndarray:
    """Return (V,3) uint8: the first three principal components of features, of vertices seen.

    Components are of all frames at once, at most 40 spread over the scene; a vertex has the mean
    of the pixels that see it, and is grey if there is none.
    """
    frames = evenly_spaced(len(scene), FRAMES)
    maps = []
    for i in frames:
        image = torch.from_numpy(scene.image(i)).permute(2, 0, 1)[None]
        features = model(image.float() / 255)
        scale = min(1.0, CELLS / max(features.shape[-2:]))
        size = [max(1, round(scale * side)) for side in features.shape[-2:]]
        maps.append(F.interpolate(features, size, mode="area")[0].numpy())
    pictures = paint_features(maps, maps[0].shape[1:])  # one basis for all
    total, count = np.zeros((len(scene.vertices), 3)), np.zeros(len(scene.vertices))
    for i, picture in zip(frames, pictures, strict=True):
        vertex_map = scene.vertex_map(i)
        total += sum_by_set(np.moveaxis(picture, 2, 0), vertex_map, len(count))
        count += np.bincount(vertex_map[vertex_map >= 0], minlength=len(count))
    mean = np.round(total / np.maximum(count, 1)[:, None]).astype(np.uint8)
    return np.where(count[:, None] > 0, mean, np.uint8(NOTHING))
