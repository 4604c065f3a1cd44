"""The one stored format: a folder a scene, read through `PreparedScene`.

frames.tar       per frame NNNNNN.jpg, NNNNNN.depth.png (mm), NNNNNN.vertices.zst
surface.ply      the working surface, with the property source_vertex
sets/<name>.npy  a layer: one integer a vertex; beside it <name>.json, its stamp
groups/          groupings of sets across scenes, see `geoset.prepare.groups`
pairs.npz        pairs (P,2), overlap (P,), residual (P,)
scene.json       cameras, frame index, checksums, provenance; without it there is no scene
"""

import json
import struct
import zlib
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from zstandard import ZstdError

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera
from geoset.geometry.ply import read_ply
from geoset.prepare.codec import decode_depth, decode_image, decode_vertex_map
from geoset.prepare.stamped import array_names, read_array, read_stamp, write_stamped
from geoset.prepare.storage import Folder, LocalFolder, open_folder

FORMAT_VERSION = 2
SCOPES = ("scene", "global")
CORRUPT = (
    ValueError, OSError, SyntaxError, EOFError, RuntimeError, KeyError,
    struct.error, zlib.error, BadZipFile, ZstdError,
)  # fmt: skip


class PreparedScene:
    """Random access to a prepared scene; index i counts `frame_ids`.

    path: its folder, or the URL of one, such as s3://bucket/prepared/room
    sizes: (F,2) height and width of the frames; they may differ, as upright and lying images do

    Raises:
        GeosetError: the folder holds no finished scene, one of another version, or a damaged one.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = open_folder(path)
        self.path: Path | str = getattr(self.folder, "path", str(self.folder))
        self.info = read_scene_info(self.folder)
        frames = self.info["frames"]
        self.frame_ids: list[str] = [frame["id"] for frame in frames]
        # Arrays take a tenth of the memory of lists, and data sets have 100,000 frames.
        self.sizes = np.array([(frame["height"], frame["width"]) for frame in frames])
        self._K = np.array([frame.pop("K") for frame in frames])
        self._world_from_camera = np.array([frame.pop("world_from_camera") for frame in frames])
        if isinstance(self.folder, LocalFolder):  # others are checked as they arrive
            _check_sizes(self.folder.path, self.info["files"])

    def __len__(self) -> int:
        return len(self.frame_ids)

    @property
    def name(self) -> str:
        """The scene's name, that of its folder."""
        return self.folder.name

    @property
    def has_depth(self) -> bool:
        """Whether frames hold depth images."""
        return self.info["has_depth"]

    def image(self, i: int) -> np.ndarray:
        """Return the colour image of frame i, (H,W,3) uint8."""
        return self._decode(i, "image", decode_image)

    def depth(self, i: int) -> np.ndarray:
        """Return the depth of frame i, (H,W) float32 metres, 0 = none."""
        if not self.has_depth:
            raise GeosetError(f"{self.path}: was prepared from a scan without depth images")
        return self._decode(i, "depth", decode_depth)

    def vertex_map(self, i: int) -> np.ndarray:
        """Return which surface vertex each pixel of frame i sees, (H,W) int32, -1 = none."""
        camera = self.camera(i)
        return self._decode(
            i, "vertex_map", lambda data: decode_vertex_map(data, camera.height, camera.width)
        )

    def set_map(self, i: int, name: str = "geometric") -> np.ndarray:
        """Return the set of layer `name` that each pixel of frame i sees, (H,W), -1 = none."""
        return look_up(self.sets(name), self.vertex_map(i))

    def camera(self, i: int) -> Camera:
        """Return the camera of frame i."""
        height, width = self.sizes[i].tolist()
        return Camera(self._K[i].copy(), width, height)

    def world_from_camera(self, i: int) -> np.ndarray:
        """Return the pose (4,4) of frame i, in the coordinates of `vertices`."""
        return self._world_from_camera[i].copy()

    @property
    def vertices(self) -> np.ndarray:
        """(V,3) float32 metres; world coordinates minus `offset`."""
        return self._surface.vertices

    @property
    def faces(self) -> np.ndarray:
        """(F,3) int32."""
        return self._surface.faces

    @property
    def colors(self) -> np.ndarray:
        """(V,3) uint8, mean colour of the pixels that see each vertex."""
        return self._surface.colors

    @property
    def offset(self) -> np.ndarray:
        """(3,) float64, what was taken off world coordinates."""
        return np.array(self.info["surface"]["offset"])

    @property
    def layers(self) -> list[str]:
        """Names of the labellings of the surface."""
        return array_names(self.folder, "sets")

    def sets(self, name: str = "geometric") -> np.ndarray:
        """Return layer `name`, one integer a vertex, (V,).

        Raises:
            GeosetError: there is no such layer, or it was made for another surface.
        """
        if name not in self._sets:
            self._sets[name] = _read_layer(self.folder, name, self.info)
        return self._sets[name]

    def scope(self, name: str) -> str:
        """Return what ids of layer `name` mean elsewhere: nothing ("scene") or the same ("global").

        Raises:
            GeosetError: there is no such layer, or its stamp cannot be read.
        """
        return self.layer_stamp(name)["scope"]

    def layer_stamp(self, name: str) -> dict[str, Any]:
        """Return what layer `name` says of itself: surface_sha256, scope, made_by.

        Raises:
            GeosetError: there is no such layer, or its stamp cannot be read.
        """
        return _layer_stamp(self.folder, name)

    def has_layer(self, name: str) -> bool:
        """Tell whether there is a layer `name`."""
        return self.folder.exists(f"sets/{name}.npy")

    @property
    def pairs(self) -> np.ndarray:
        """(P,2) int32 indices of frames that see the same surface, first < second."""
        return self._pairs["pairs"]

    @property
    def overlap(self) -> np.ndarray:
        """(P,) float32, the share of common surface of each pair."""
        return self._pairs["overlap"]

    @property
    def residual(self) -> np.ndarray:
        """(P,) float32 metres, how far the depth of each pair disagrees; NaN if unknown."""
        return self._pairs["residual"]

    def file(self, name: str) -> AbstractContextManager[Path]:
        """Yield the path, on this machine, of one of the files that `info` lists."""
        return self.folder.file(name, self.info["files"][name])

    @cached_property
    def _sets(self) -> dict[str, np.ndarray]:
        return {}

    @cached_property
    def _surface(self):
        with self.file("surface.ply") as file:
            return read_ply(file)

    @cached_property
    def _pairs(self) -> dict[str, np.ndarray]:
        try:
            with self.file("pairs.npz") as file, np.load(file) as stored:
                return {name: stored[name] for name in ("pairs", "overlap", "residual")}
        except CORRUPT as error:
            raise GeosetError(
                f"{self.path}/pairs.npz: is damaged ({error}). Remove the scene's folder and run "
                "geoset prepare again"
            ) from error

    def _decode(self, i: int, kind: str, decode) -> np.ndarray:
        frame = self.info["frames"][i]
        entry = self.info["files"]["frames.tar"]
        try:
            data = self.folder.read_member("frames.tar", entry, frame["members"], kind)
            return decode(data)
        except CORRUPT as error:
            raise GeosetError(
                f"{self.path}/frames.tar: {kind} of frame {frame['id']} is damaged ({error}). "
                "Remove the scene's folder and run geoset prepare again"
            ) from error


def look_up(labels: np.ndarray, vertex_map: np.ndarray) -> np.ndarray:
    """Return labels[vertex_map], keeping -1 where no vertex is seen."""
    if not len(labels):  # of a layer that is in no set here
        return np.full(vertex_map.shape, -1, labels.dtype)
    return np.where(vertex_map >= 0, labels[vertex_map], labels.dtype.type(-1))


def read_scene_info(folder: Folder) -> dict[str, Any]:
    """Read `scene.json`.

    Raises:
        GeosetError: it is absent, unreadable, or of another format version.
    """
    try:
        info = json.loads(folder.read_text("scene.json"))
        version = info["format_version"]
    except FileNotFoundError as error:
        raise GeosetError(
            f"{folder}: holds no prepared scene (no scene.json); make one with: "
            "geoset prepare SCAN OUT"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GeosetError(
            f"{folder}/scene.json: cannot be read ({error}); run geoset prepare again"
        ) from error
    if version != FORMAT_VERSION:
        raise GeosetError(
            f"{folder}: was prepared in format {version} by geoset {info.get('geoset_version')}, "
            f"this version reads format {FORMAT_VERSION}. Run geoset prepare again"
        )
    if missing := sorted({"files", "frames", "scan", "settings", "surface"} - info.keys()):
        raise GeosetError(
            f"{folder}/scene.json: has no {', '.join(missing)}; the scene is damaged. Remove its "
            "folder and run geoset prepare again"
        )
    return info


def _check_sizes(folder: Path, files: dict[str, dict]) -> None:
    for name, entry in files.items():
        file = folder / name
        size = file.stat().st_size if file.is_file() else None
        if size != entry["bytes"]:
            found = "is missing" if size is None else f"has {size} bytes"
            raise GeosetError(
                f"{file}: {found}, expected {entry['bytes']} bytes; the scene is damaged. "
                "Remove its folder and run geoset prepare again"
            )


def write_layer(
    path: str | Path, name: str, labels: np.ndarray, surface_sha256: str, scope: str, made_by: dict
) -> None:
    """Store one integer a vertex as layer `name` of the scene in `path`, stamped with its surface.

    scope: "scene" (ids mean nothing elsewhere) or "global" (the same id is the same set everywhere)
    """
    if scope not in SCOPES:
        raise GeosetError(f"layer {name}: scope is '{scope}', expected one of {', '.join(SCOPES)}")
    if labels.ndim != 1 or labels.dtype.kind != "i":
        raise GeosetError(
            f"layer {name}: labels are {labels.shape} {labels.dtype}, expected one signed integer "
            "a vertex, (V,), -1 = none"
        )
    stamp = {"surface_sha256": surface_sha256, "scope": scope, "made_by": made_by}
    write_stamped(open_folder(path), f"sets/{name}", labels, stamp)


def _layer_stamp(folder: Folder, name: str) -> dict[str, Any]:
    if not folder.exists(f"sets/{name}.npy"):
        have = ", ".join(array_names(folder, "sets")) or "none"
        raise GeosetError(f"{folder}: has no layer '{name}'; available: {have}")
    return read_stamp(folder, f"sets/{name}", ("surface_sha256", "scope", "made_by"))


def _read_layer(folder: Folder, name: str, info: dict[str, Any]) -> np.ndarray:
    """Read a layer and check that it belongs to the scene's surface."""
    stamp, labels = _layer_stamp(folder, name), read_array(folder, f"sets/{name}")
    vertices, surface = info["surface"]["vertices"], info["files"]["surface.ply"]["sha256"]
    if stamp["surface_sha256"] != surface or labels.shape != (vertices,):
        raise GeosetError(
            f"{folder}/sets/{name}.npy: belongs to another surface (it has {len(labels)} labels, "
            f"the surface {vertices} vertices); make the layer again"
        )
    return labels
