"""The viewer's window, by viser: what is asked of the `Session` and where its answers appear."""

import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from html import escape
from typing import Any

import numpy as np
import trimesh
import viser
from viser.transforms import SO3

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera
from geoset.reports.figures import tile
from geoset.spacing import evenly_spaced
from geoset.viewer.session import COLOR, NAMES, Session

MOST_CAMERAS = 40  # drawn; the others are reached by the slider
THUMBNAIL = 96  # pixels of a camera's picture, about
FRUSTUM = 0.02  # of the surface's extent
LAST_PORT = 65535
GAMMA = 2.2  # of the colours of images
NOTICE = 6.0  # seconds that a message stays
FAR_ANGLE = np.radians(75)  # of the view from afar, vertically
PAIRS_SHOWN = 12
NO_NAMES = "No set is named yet."
BACKGROUND = np.full((1, 1, 3), 245, dtype=np.uint8)


class Window:
    """Serves a session to browsers, who share what is shown but for where they look from.

    Raises:
        GeosetError: no port is free, or the host is not this machine.
    """

    def __init__(self, session: Session, host: str, port: int):
        if not 1 <= port <= LAST_PORT:
            raise GeosetError(f"--port is {port}, expected 1 to {LAST_PORT}; 8080 is usual")
        self.session = session
        try:
            # viser takes whatever fails for a port in use, and tries a thousand.
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.create_server((host, 0), family=family):
                pass
            with redirect_stdout(io.StringIO()):  # addresses in a box, whatever `verbose` says
                self.server = viser.ViserServer(host, port, label="geoset", verbose=False)
        except OSError as error:
            raise GeosetError(
                f"--host {host} --port {port}: cannot be opened ({error}); choose another --port, "
                "or a --host that is this machine's"
            ) from error
        self._lock = threading.RLock()  # viser calls from many threads
        self.server.scene.set_background_image(BACKGROUND)
        self.server.scene.configure_default_lights(cast_shadow=False)  # would draw all of it twice
        self.server.gui.configure_theme(control_width="large", show_share_button=False)
        self._add_controls()
        self._show_scene()
        self.server.on_client_connect(self._look_from_afar)

    @property
    def port(self) -> int:
        """The port that is served, the next free one after that asked for."""
        return self.server.get_port()

    def stop(self) -> None:
        """Close the window for all."""
        self.server.stop()

    def _answer(self, method: Callable[..., Any], *arguments: Any) -> Callable[[Any], None]:
        """Return a callback of viser's: one at a time, and what is wrong is said to who asked."""

        def answer(event: Any) -> None:
            try:
                with self._lock:
                    method(*arguments, event)
            except GeosetError as error:
                _notify(event.client, "Not possible", str(error))

        return answer

    def _add_controls(self) -> None:
        gui, session = self.server.gui, self.session
        if len(session.scene_names) > 1:
            scene = gui.add_dropdown("Scene", session.scene_names)
            scene.on_update(self._answer(self._choose_scene))
        tabs = gui.add_tab_group()
        with tabs.add_tab("Surface"):
            self.coloring = gui.add_dropdown("Colours", session.colorings, initial_value=COLOR)
            self.coloring.on_update(self._answer(self._paint))
            self.cameras = gui.add_checkbox("Cameras", initial_value=True)
            self.cameras.on_update(self._answer(self._toggle_cameras))
            gui.add_button("See all of it").on_click(
                self._answer(lambda event: self._look_from_afar(event.client))
            )
        with tabs.add_tab("Frame"):
            self.frame = gui.add_slider("Frame", 0, 1, 1, 0)
            self.frame.on_update(self._answer(self._show_frame))
            gui.add_button("Look through it").on_click(self._answer(self._look_through))
            self.pictures = gui.add_image(BACKGROUND, format="jpeg")
            self.pairs = gui.add_markdown("")
        with tabs.add_tab("Names"):
            self._add_naming()

    def _add_naming(self) -> None:
        gui = self.server.gui
        self.layer = gui.add_dropdown("Sets of", self.session.scene.layers)
        self.layer.on_update(self._answer(self._choose_layer))
        self.name = gui.add_text("Name", "chair")
        gui.add_markdown("**Shift-click** on a set gives it the name; an empty name takes it away.")
        self.server.scene.on_click(modifier="shift")(self._answer(self._name_set))
        gui.add_button("Undo").on_click(self._answer(self._undo))
        self.legend = gui.add_html("")
        gui.add_button("Export label images").on_click(self._answer(self._export))

    def _choose_scene(self, event: Any) -> None:
        self.session.open(event.target.value)
        self.frame.value = 0
        self.coloring.options = self.session.colorings  # what was chosen stays, if it is there too
        self.layer.options = self.session.scene.layers
        self.session.layer = self.layer.value
        self._show_scene(event)
        for client in self.server.get_clients().values():
            self._look_from_afar(client)

    def _show_scene(self, event: Any = None) -> None:
        self.server.scene.set_up_direction(self.session.up)
        self._paint(event)
        self._show_legend()
        self._add_cameras()
        self.frame.max = max(1, len(self.session.scene) - 1)
        self._show_frame()

    def _paint(self, event: Any = None) -> None:
        scene, coloring = self.session.scene, self.coloring.value
        is_long = event is not None and self.session.takes_long(coloring)
        with _busy(event.client, coloring) if is_long else nullcontext():
            colors = self.session.surface_colors(coloring)
        linear = np.round(255 * (colors / 255) ** GAMMA).astype(np.uint8)  # as glTF has them
        visual = trimesh.visual.ColorVisuals(vertex_colors=linear)
        mesh = trimesh.Trimesh(scene.vertices, scene.faces, visual=visual, process=False)
        self.server.scene.add_mesh_trimesh("/surface", mesh)

    def _add_cameras(self) -> None:
        scene = self.session.scene
        extent = np.linalg.norm(np.ptp(np.percentile(scene.vertices, [2, 98], axis=0), axis=0))
        self.server.scene.remove_by_name("/cameras")
        shown = self.cameras.value
        self.camera_node = self.server.scene.add_frame("/cameras", show_axes=False, visible=shown)
        for i in evenly_spaced(len(scene), MOST_CAMERAS):
            image, pose, camera = scene.image(i), scene.world_from_camera(i), scene.camera(i)
            step = max(1, image.shape[1] // THUMBNAIL)
            self.server.scene.add_camera_frustum(
                f"/cameras/{i}",
                fov=_vertical_angle(camera),
                aspect=camera.width / camera.height,
                scale=FRUSTUM * extent,
                color=(60, 90, 200),
                image=np.ascontiguousarray(image[::step, ::step]),
                wxyz=SO3.from_matrix(pose[:3, :3]).wxyz,
                position=pose[:3, 3],
            ).on_click(self._answer(self._choose_frame, int(i)))

    def _toggle_cameras(self, _: Any) -> None:
        self.camera_node.visible = self.cameras.value

    def _choose_frame(self, i: int, event: Any) -> None:
        self.frame.value = i  # which shows it
        self._look_through(event)

    def _show_frame(self, _: Any = None) -> None:
        session, i = self.session, self._frame_index()
        rows = [[item] for item in session.pictures(i).items()]
        self.pictures.image = np.asarray(tile(rows))
        pairs = session.pairs_of(i)
        lines = [f"`{session.scene.frame_ids[i]}` is in {len(pairs)} pairs", ""]
        lines += ["| frame | overlap | residual |", "|---|---|---|"]
        for other, overlap, residual in pairs[:PAIRS_SHOWN]:
            drift = "unknown" if np.isnan(residual) else f"{1000 * residual:.0f} mm"
            lines.append(f"| {other} | {overlap:.2f} | {drift} |")
        self.pairs.content = "\n".join(lines)
        self._draw_pairs(i, pairs)

    def _draw_pairs(self, i: int, pairs: list[tuple[int, float, float]]) -> None:
        """Draw lines to the frames that overlap, the redder the more."""
        self.server.scene.remove_by_name("/cameras/pairs")
        if not pairs:
            return
        place = [
            self.session.scene.world_from_camera(k)[:3, 3] for k in (i, *(p[0] for p in pairs))
        ]
        ends = np.stack([np.stack([place[0], end]) for end in place[1:]])
        colors = [(int(255 * overlap), 60, int(255 * (1 - overlap))) for _, overlap, _ in pairs]
        twice = np.repeat(np.array(colors, dtype=np.uint8)[:, None], 2, axis=1)
        self.server.scene.add_line_segments("/cameras/pairs", ends, twice, line_width=2.0)

    def _look_through(self, event: Any) -> None:
        scene, i = self.session.scene, self._frame_index()
        pose = scene.world_from_camera(i)
        self.cameras.value = False  # its own picture would hide the surface
        with event.client.atomic():
            event.client.camera.wxyz = SO3.from_matrix(pose[:3, :3]).wxyz
            event.client.camera.position = pose[:3, 3]
            event.client.camera.fov = _vertical_angle(scene.camera(i))

    def _look_from_afar(self, client: viser.ClientHandle) -> None:
        place, middle = self.session.overview()
        with client.atomic():
            client.camera.fov = FAR_ANGLE  # a frame's may be narrower
            client.camera.up_direction = self.session.up
            client.camera.position = place
            client.camera.look_at = middle

    def _frame_index(self) -> int:
        return min(int(self.frame.value), len(self.session.scene) - 1)

    def _choose_layer(self, _: Any) -> None:
        self.session.layer = self.layer.value
        self._show_frame()
        if self.coloring.value == NAMES:
            self._paint()

    def _name_set(self, event: Any) -> None:
        given = self.session.name_under(self.name.value, event.ray_origin, event.ray_direction)
        self._show_names()
        _notify(event.client, given.name or "no name", f"set {given.label} of {given.layer}")

    def _undo(self, event: Any) -> None:
        given = self.session.undo()
        self._show_names()
        if given is None:
            _notify(event.client, "Nothing to undo", "no set of this scene is named")

    def _show_names(self) -> None:
        self._show_legend()
        if self.coloring.value == NAMES:
            self._paint()
        else:
            self.coloring.value = NAMES  # which paints

    def _show_legend(self) -> None:
        lines = [
            f"<span style='color:rgb{color}'>&#9632;</span> {escape(name)}: {share:.1%}"
            for name, color, share in self.session.legend()
        ]
        self.legend.content = f"<p style='margin:0 1em'>{'<br>'.join(lines) or NO_NAMES}</p>"

    def _export(self, event: Any) -> None:
        done = self.session.export()
        _notify(event.client, f"Exported to {self.session.folder}", str(done))


def _vertical_angle(camera: Camera) -> float:
    """Return the vertical field of view in radians."""
    return float(2 * np.arctan(camera.height / 2 / camera.K[1, 1]))


@contextmanager
def _busy(client: viser.ClientHandle | None, what: str) -> Iterator[None]:
    """Say to a client that something is being computed, until it is."""
    if client is None:  # a control that was set by another one
        yield
        return
    message = client.add_notification(
        f"Computing: {what}", "of all frames, once a scene", loading=True, with_close_button=False
    )
    try:
        yield
    finally:
        message.remove()


def _notify(client: viser.ClientHandle | None, title: str, body: str) -> None:
    if client is not None:  # a control that was set by another one
        client.add_notification(title, body, auto_close_seconds=NOTICE)
