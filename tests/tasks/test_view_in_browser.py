"""geoset view as a user meets it: clicks and keys in a browser."""

from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
from two_rooms import prepare_quietly, write_two_rooms

from browser import PROGRAM, SHIFT, Browser, until
from geoset.prepare.groups import write_grouping
from geoset.prepare.scene import PreparedScene
from geoset.viewer.session import Session

window_module = pytest.importorskip("geoset.viewer.window")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome is installed")
COARSE = "?fixedDpr=0.1"  # a tenth of the pixels each way; clicks are as exact


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A window on two rooms, of which the second has groups, and a browser that shows it.

    `seen_from` is where the browser says that it looks from: of the server's own word it is not
    known whether the page has followed.
    """
    folder = tmp_path_factory.mktemp("rooms")
    prepare_quietly(write_two_rooms(folder / "scans"), folder / "prepared")
    scenes = [PreparedScene(folder / "prepared" / name) for name in "ab"]
    groups = np.arange(scenes[1].sets().max() + 1, dtype=np.int32) % 2
    write_grouping(scenes[1:], "two", "geometric", [groups], 2, {"by": "hand"})
    computed = Event()

    def feature_colors(scene):
        computed.wait()
        return scene.colors[:, ::-1]

    session = Session(scenes, folder / "labels", feature_colors)
    window = window_module.Window(session, "localhost", 8492)
    seen_from = SimpleNamespace(position=np.full(3, np.nan), wxyz=np.ones(4))

    async def note(camera):
        seen_from.__dict__.update(position=camera.position, wxyz=camera.wxyz, fov=camera.fov)

    async def listen(client):
        client.camera.on_update(note)

    window.server.on_client_connect(listen)
    try:
        with Browser(f"http://localhost:{window.port}/{COARSE}", folder / "profile") as page:
            until(lambda: looks_from_afar(seen_from, session), "the view from afar")
            yield SimpleNamespace(
                window=window, session=session, page=page, seen_from=seen_from, computed=computed
            )
    finally:
        computed.set()
        window.stop()


def looks(camera, place, along):
    """Whether a camera is at a place (3,) and looks along a direction (3,).

    Both are asked for: what viser says of a page that has just come holds the place where the page
    was sent and the direction that it had before.
    """
    ahead = window_module.SO3(camera.wxyz).as_matrix()[:, 2]
    return np.allclose([camera.position, ahead], [place, along], atol=1e-3)


def looks_from_afar(camera, session):
    place, middle = session.overview()
    return looks(camera, place, (middle - place) / np.linalg.norm(middle - place))


def looks_through_frame(camera, session, i):
    pose = session.scene.world_from_camera(i)
    return looks(camera, pose[:3, 3], pose[:3, 2])


def on_screen(point, opened):
    """Where a point of the scene is on the page, of which all is canvas, in pixels."""
    camera, (width, height) = opened.seen_from, opened.page.size
    rotation = window_module.SO3(camera.wxyz).as_matrix()
    x, y, z = (point - camera.position) @ rotation
    focal = height / 2 / np.tan(camera.fov / 2)
    return width / 2 + focal * x / z, height / 2 + focal * y / z


def middle_of_picture(i, session):
    """The point (3,) in the middle of the picture that camera i of the scene holds before it."""
    scene = session.scene
    camera, pose = scene.camera(i), scene.world_from_camera(i)
    spread = np.ptp(np.percentile(scene.vertices, [2, 98], axis=0), axis=0)
    tangents = camera.width / 2 / camera.K[0, 0], camera.height / 2 / camera.K[1, 1]
    # All cameras have one volume, whatever their angles.
    depth = window_module.FRUSTUM * np.linalg.norm(spread) / np.cbrt(np.prod(tangents) / 3)
    return pose[:3, 3] + depth * pose[:3, 2]


def clear_places(scene, i):
    """By set of frame i, a point (3,) behind a pixel all around which the set is seen."""
    set_map, pose = scene.set_map(i), scene.world_from_camera(i)
    rays = scene.camera(i).rays() @ pose[:3, :3].T
    places = {}
    for y in range(4, 44):
        for x in range(20, 40):  # between messages and controls
            around = np.unique(set_map[y - 3 : y + 4, x - 3 : x + 4])
            if len(around) == 1 and around[0] >= 0:
                places[int(around[0])] = pose[:3, 3] + rays[y, x]
    return places


def test_a_click_on_a_camera_looks_through_it(opened):
    session = opened.session
    places = [on_screen(middle_of_picture(i, session), opened) for i in range(len(session.scene))]
    apart = np.linalg.norm(np.subtract.outer(places, places).diagonal(axis1=1, axis2=3), axis=2)
    alone = int(np.partition(apart, 1)[:, 1].argmax())  # the one that no other is before

    def looks_through():
        opened.page.click_scene(*places[alone])  # again, until the cameras are there
        return looks_through_frame(opened.seen_from, session, alone)

    until(looks_through, f"the view of frame {alone}")
    assert opened.window.frame.value == alone
    assert not opened.window.cameras.value  # or its own picture would be all that is seen


def test_names_by_clicks_undo_and_export(opened):
    page, session, window = opened.page, opened.session, opened.window
    window.frame.value = 2
    page.click("Frame")
    page.click("Look through it")
    until(lambda: looks_through_frame(opened.seen_from, session, 2), "the view of frame 2")
    page.click("Names")
    (one, first), (two, second) = list(clear_places(session.scene, 2).items())[:2]
    given = session.names.given
    page.rewrite("chair", "wall")
    until(lambda: window.name.value == "wall")
    page.click_scene(*on_screen(first, opened), SHIFT)
    until(lambda: given == [("geometric", one, "wall")])
    page.rewrite("wall", "floor")
    until(lambda: window.name.value == "floor")
    page.click_scene(*on_screen(second, opened), SHIFT)
    until(lambda: page.shows("floor: "))
    assert given[1:] == [("geometric", two, "floor")]
    page.click("Undo")
    until(lambda: not page.shows("floor: "))
    assert len(given) == 1
    page.click_scene(*on_screen(second, opened), SHIFT)
    until(lambda: page.shows("floor: "))  # and has moved the button
    page.click("Export label images")
    until(lambda: (session.folder / "val.txt").is_file())
    assert (session.folder / "classes.txt").read_text() == "1 floor\n2 wall\n"


@pytest.mark.slow  # it is drawn, in software
def test_choice_of_scene_and_of_colours(opened):
    page, session, window = opened.page, opened.session, opened.window
    page.click("Surface")
    page.click(session.scene.name)
    page.click("b")
    until(lambda: looks_from_afar(opened.seen_from, session), "the other scene from afar")
    assert session.scene.name == "b"

    def seen():
        return page.picture()[160:, 320:600].astype(int)  # of the scene alone

    def choose(coloring):
        page.click(window.coloring.value)
        page.click(coloring)

    def until_painted(coloring, before):
        until(lambda: (np.abs(seen() - before).max(axis=2) > 20).mean() > 0.1, coloring)

    colour = seen()
    choose("groups: two")
    until_painted("groups: two", colour)
    groups = seen()
    choose("features")
    until(lambda: page.shows("Computing: features"))
    opened.computed.set()
    until(lambda: not page.shows("Computing: features"))
    until_painted("features", groups)
