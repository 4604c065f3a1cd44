"""Ray casting: which surface vertex each pixel of a camera sees, and how far away it is."""

import numpy as np

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera
from geoset.geometry.mesh import TriangleMesh, check_faces
from geoset.geometry.zbuffer import NEAR, rasterize

try:
    from embreex.mesh_construction import TriangleMesh as EmbreeMesh
    from embreex.rtcore_scene import EmbreeScene
except ImportError:  # no wheels for this platform
    EmbreeScene = None

NUDGE = 1e-5  # of a ray's slope: 0.05 mm at 5 m


class Raycaster:
    """Casts the pixels of cameras at one mesh.

    Args:
        mesh: faces must name finite vertices (`drop_bad_faces` sees to it)
        backend: "embree" or "zbuffer"; by default embree where `embreex` is installed. They agree
            on depth to float32 and on the vertex but for ties.

    Raises:
        GeosetError: a face names no vertex or a non-finite one, or the backend is unknown or not
            installed.
    """

    def __init__(self, mesh: TriangleMesh, backend: str | None = None):
        check_faces(mesh.vertices, mesh.faces)
        if backend is None:
            backend = "zbuffer" if EmbreeScene is None else "embree"
        if backend not in ("embree", "zbuffer"):
            raise GeosetError(f"backend is '{backend}', expected 'embree' or 'zbuffer'")
        if backend == "embree" and EmbreeScene is None:
            raise GeosetError(
                "backend 'embree' needs the package embreex, which is not installed; run "
                "`pip install embreex`, or use backend='zbuffer'"
            )
        self.mesh = mesh
        self.backend = backend
        if backend == "embree":
            self._build_scene()

    def cast(self, camera: Camera, world_from_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest surface along the ray through each pixel centre; both sides are seen.

        Args:
            camera: the pixels to cast
            world_from_camera: (4,4) float64, rigid

        Returns:
            vertex_map: (H,W) int32, the vertex of the hit face with the largest barycentric
                weight, -1 where nothing is hit
            depth: (H,W) float32 metres along the camera's z, 0 where nothing is hit; hits
                nearer than 1 mm do not count
        """
        if len(self.mesh.faces) == 0 or self.backend == "zbuffer":
            return rasterize(self.mesh, camera, world_from_camera)
        rays = camera.rays().reshape(-1, 3)
        vertices, depth = self._hits(rays, world_from_camera)
        # embree misses up to 1 % of the rays that meet a vertex exactly: try beside it
        missed = np.flatnonzero(vertices < 0)
        if len(missed):
            nudged = rays[missed] + (NUDGE, NUDGE / 2, 0)
            vertices[missed], depth[missed] = self._hits(nudged, world_from_camera)
        shape = (camera.height, camera.width)
        return vertices.reshape(shape), depth.reshape(shape)

    def _build_scene(self) -> None:
        # embree computes in float32: coordinates about the centre of the mesh keep its precision
        used = self.mesh.vertices[np.isfinite(self.mesh.vertices).all(axis=1)]
        self._center = used.mean(axis=0, dtype=np.float64) if len(used) else np.zeros(3)
        self._scene = EmbreeScene(robust=True)
        EmbreeMesh(
            self._scene,
            np.ascontiguousarray(self.mesh.vertices - self._center, dtype=np.float32),
            np.ascontiguousarray(self.mesh.faces, dtype=np.int32),
        )

    def _hits(
        self, rays: np.ndarray, world_from_camera: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the (N,) vertices and depths that camera-frame `rays` (N,3) with z = 1 meet."""
        directions = rays @ world_from_camera[:3, :3].T
        origins = world_from_camera[:3, 3] - self._center + NEAR * directions
        hits = self._scene.run(
            origins.astype(np.float32),
            directions.astype(np.float32),
            query="INTERSECT",
            output=True,
        )
        hit = hits["primID"] >= 0
        weights = np.stack([1 - hits["u"] - hits["v"], hits["u"], hits["v"]])
        vertices = self.mesh.faces[hits["primID"], weights.argmax(axis=0)].astype(np.int32)
        depth = hits["tfar"] + np.float32(NEAR)
        return np.where(hit, vertices, np.int32(-1)), np.where(hit, depth, np.float32(0))
