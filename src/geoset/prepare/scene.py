"""The one stored format: a folder a scene, read through `PreparedScene`.

frames.tar       per frame NNNNNN.jpg, NNNNNN.depth.png (mm), NNNNNN.vertices.zst
surface.ply      the working surface, with the property source_vertex
sets/<name>.npy  a layer: one integer a vertex; beside it <name>.json, its stamp
groups/          groupings of sets across scenes, see `geoset.prepare.groups`
pairs.npz        pairs (P,2), overlap (P,), residual (P,)
scene.json       cameras, frame index, checksums, provenance; without it there is no scene
"""

import hashlib
import json
import struct
import zlib
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
from geoset.prepare.stamped import read_array, read_stamp, write_stamped

FORMAT_VERSION = 2
SCOPES = ("scene", "global")
CORRUPT = (
    ValueError, OSError, SyntaxError, EOFError, RuntimeError, KeyError,
    struct.error, zlib.error, BadZipFile, ZstdError,
)  # fmt: skip


class PreparedScene:
    """Random access to a prepared scene; index i counts `frame_ids`.

    Raises:
        GeosetError: the folder holds no finished scene, one of another version, or a damaged one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.info = read_scene_info(self.path)
        self.frame_ids: list[str] = [frame["id"] for frame in self.info["frames"]]
        for name, entry in self.info["files"].items():
            file = self.path / name
            size = file.stat().st_size if file.is_file() else None
            if size != entry["bytes"]:
                found = "is missing" if size is None else f"has {size} bytes"
                raise GeosetError(
                    f"{file}: {found}, expected {entry['bytes']} bytes; the scene is damaged. "
                    "Remove its folder and run geoset prepare again"
                )

    def __len__(self) -> int:
        return len(self.frame_ids)

    @property
    def name(self) -> str:
        """The scene's name, that of its folder."""
        return self.path.resolve().name

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
        frame = self.info["frames"][i]
        return Camera(np.array(frame["K"]), frame["width"], frame["height"])

    def world_from_camera(self, i: int) -> np.ndarray:
        """Return the pose (4,4) of frame i, in the coordinates of `vertices`."""
        return np.array(self.info["frames"][i]["world_from_camera"])

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
        return sorted(p.stem for p in (self.path / "sets").glob("*.npy"))

    def sets(self, name: str = "geometric") -> np.ndarray:
        """Return layer `name`, one integer a vertex, (V,).

        Raises:
            GeosetError: there is no such layer, or it was made for another surface.
        """
        if name not in self._sets:
            self._sets[name] = read_layer(self.path, name, self.info)
        return self._sets[name]

    def scope(self, name: str) -> str:
        """Return what ids of layer `name` mean elsewhere: nothing ("scene") or the same ("global").

        Raises:
            GeosetError: there is no such layer, or its stamp cannot be read.
        """
        return layer_stamp(self.path, name)["scope"]

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

    @cached_property
    def _sets(self) -> dict[str, np.ndarray]:
        return {}

    @cached_property
    def _surface(self):
        return read_ply(self.path / "surface.ply")

    @cached_property
    def _pairs(self) -> dict[str, np.ndarray]:
        file = self.path / "pairs.npz"
        try:
            with np.load(file) as stored:
                return {name: stored[name] for name in ("pairs", "overlap", "residual")}
        except CORRUPT as error:
            raise GeosetError(
                f"{file}: is damaged ({error}). Remove the scene's folder and run geoset prepare "
                "again"
            ) from error

    def _decode(self, i: int, kind: str, decode) -> np.ndarray:
        frame = self.info["frames"][i]
        start, size = frame["members"][kind]
        tar = self.path / "frames.tar"
        try:
            with tar.open("rb") as file:
                file.seek(start)
                return decode(file.read(size))
        except CORRUPT as error:
            raise GeosetError(
                f"{tar}: {kind} of frame {frame['id']} is damaged ({error}). Remove the scene's "
                "folder and run geoset prepare again"
            ) from error


def look_up(labels: np.ndarray, vertex_map: np.ndarray) -> np.ndarray:
    """Return labels[vertex_map], keeping -1 where no vertex is seen."""
    return np.where(vertex_map >= 0, labels[vertex_map], labels.dtype.type(-1))


def read_scene_info(path: Path) -> dict[str, Any]:
    """Read `scene.json`.

    Raises:
        GeosetError: it is absent, unreadable, or of another format version.
    """
    file = path / "scene.json"
    try:
        info = json.loads(file.read_text())
        version = info["format_version"]
    except FileNotFoundError as error:
        raise GeosetError(
            f"{path}: holds no prepared scene (no scene.json); make one with: "
            "geoset prepare SCAN OUT"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GeosetError(f"{file}: cannot be read ({error}); run geoset prepare again") from error
    if version != FORMAT_VERSION:
        raise GeosetError(
            f"{path}: was prepared in format {version} by geoset {info.get('geoset_version')}, "
            f"this version reads format {FORMAT_VERSION}. Prepare the scan again into a new folder"
        )
    return info


def find_scenes(paths: list[Path]) -> list[Path]:
    """Return the prepared scenes among `paths` and their sub-folders, each once, sorted by name.

    Raises:
        GeosetError: one of the paths holds none, or two scenes bear one name.
    """
    found: dict[str, Path] = {}
    for path in map(Path, paths):
        here = [path] if (path / "scene.json").is_file() else []
        scenes = here or sorted(p.parent for p in path.glob("*/scene.json"))
        if not scenes:
            raise GeosetError(
                f"{path}: holds no prepared scene (no scene.json in it or one level below); make "
                "one with: geoset prepare SCANS OUT"
            )
        for scene in scenes:
            name = scene.resolve().name
            if found.setdefault(name, scene).resolve() != scene.resolve():
                raise GeosetError(
                    f"{found[name]} and {scene}: two scenes of one name, by which a run tells them "
                    "apart; rename the folder of one"
                )
    return [found[name] for name in sorted(found)]


def digest(path: Path) -> dict[str, Any]:
    """Return the size and SHA-256 of a file."""
    with path.open("rb") as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def write_layer(
    path: Path, name: str, labels: np.ndarray, surface_sha256: str, scope: str, made_by: dict
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
    write_stamped(path / "sets" / f"{name}.npy", labels, stamp)


def layer_stamp(path: Path, name: str) -> dict[str, Any]:
    """Return the stamp of layer `name`: surface_sha256, scope, made_by.

    Raises:
        GeosetError: there is no such layer, or its stamp cannot be read.
    """
    file = path / "sets" / f"{name}.npy"
    if not file.is_file():
        have = ", ".join(sorted(p.stem for p in file.parent.glob("*.npy"))) or "none"
        raise GeosetError(f"{path}: has no layer '{name}'; available: {have}")
    return read_stamp(file, ("surface_sha256", "scope", "made_by"))


def read_layer(path: Path, name: str, info: dict[str, Any]) -> np.ndarray:
    """Read a layer and check that it belongs to the scene's surface."""
    stamp, file = layer_stamp(path, name), path / "sets" / f"{name}.npy"
    labels = read_array(file)
    vertices, surface = info["surface"]["vertices"], info["files"]["surface.ply"]["sha256"]
    if stamp["surface_sha256"] != surface or labels.shape != (vertices,):
        raise GeosetError(
            f"{file}: belongs to another surface (it has {len(labels)} labels, the surface "
            f"{vertices} vertices); make the layer again"
        )
    return labels
