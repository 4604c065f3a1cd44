"""The surface of a scan: its own mesh, or one fused from its depth images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from geoset.errors import GeosetError
from geoset.geometry.camera import invert
from geoset.geometry.fusion import DepthView, fuse_depth
from geoset.geometry.mesh import TriangleMesh, drop_bad_faces
from geoset.prepare.surface import Surface, working_surface
from geoset.prepare.views import trusted_depth
from geoset.recipes import PrepareSettings
from geoset.scans.scan import Frame, Scan

FEWEST_FUSED = 100  # frames: with 20 of RedKitchen's, 2 % fewer of the pixels see the surface

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how many are done, of how many)."""


def scan_surface(
    scan: Scan, frame_step: int, settings: PrepareSettings, progress: Progress
) -> tuple[Surface, dict]:
    """Return the working surface of a scan, and what scene.json says of it.

    frame_step: every so many frames are used; without a mesh depth is fused from the same ones,
        and from some between them if they are fewer than 100

    Raises:
        GeosetError: the scan has neither a mesh nor depth, or no surface can be made of it.
    """
    if scan.mesh is not None:
        mesh, dropped = drop_bad_faces(scan.mesh, f"{scan.path} (its mesh)")
        origin = {"source": "mesh of the scan", **dropped}
    else:
        step = min(frame_step, max(1, len(scan.frames) // FEWEST_FUSED))
        step = max(step, -(-len(scan.frames) // settings.max_fusion_frames))
        mesh, origin = _fuse(scan.path, scan.frames[::step], settings, progress)
    with _naming(scan.path):
        surface = working_surface(mesh)
    return surface, {
        "vertices": len(surface.vertices),
        "faces": len(surface.faces),
        "mesh_vertices": len(mesh.vertices),
        "offset": surface.offset.tolist(),
        **origin,
    }


def _fuse(
    path: Path, frames: list[Frame], settings: PrepareSettings, progress: Progress
) -> tuple[TriangleMesh, dict]:
    views = _depth_views(frames, settings, progress)
    first = next(views, None)
    if first is None:
        raise GeosetError(
            f"{path}: has neither a mesh nor a readable depth image, so there is no surface. "
            "Add depth images as its layout has them, or put a mesh.ply (in metres, in the "
            "coordinates of the poses) into the scan's folder"
        )
    with _naming(path):
        fused = fuse_depth(chain([first], views), settings.fusion)
    return fused.mesh, {
        "source": "fused depth",
        "voxel_size": fused.voxel_size,
        "specks": fused.specks,
        "fused_frames": fused.views,
    }


def _depth_views(
    frames: list[Frame], settings: PrepareSettings, progress: Progress
) -> Iterator[DepthView]:
    for index, frame in enumerate(frames):
        progress("reading depth", index, len(frames))
        try:
            depth = trusted_depth(frame, settings.depth_edges)
        except GeosetError:
            continue  # there is none, or it is rejected when its view is made
        world_from_depth_camera = frame.world_from_camera @ invert(frame.depth_camera_from_camera)
        yield DepthView(depth, frame.depth_camera, world_from_depth_camera)
    progress("fusing depth", 0, 1)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the scan in front of the errors of functions that know only its arrays."""
    try:
        yield
    except GeosetError as error:
        raise GeosetError(f"{path}: {error}") from error
