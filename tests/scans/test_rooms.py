import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from folder_contents import contents
from geoset.errors import GeosetError
from geoset.geometry.camera import Camera, invert, transform, why_not_rigid
from geoset.scans.rooms import FLUSH_CLASSES, ROOM_CLASSES, RoomSettings, write_room
from geoset.scans.rooms.furniture import Piece, box, cylinder
from geoset.scans.rooms.layout import ELBOWROOM, SHELL, Placed, Room, furnish, shell
from geoset.scans.rooms.render import View, look, render
from geoset.scans.rooms.scene import dress
from geoset.scans.rooms.sensor import sense
from geoset.scans.rooms.textures import PATTERNS, TYPICAL, draw_texture
from geoset.scans.rooms.walk import walk
from reference.rooms import nearest_hits

SMALL = RoomSettings(frames=3, height=24, width=32)
IDEAL = RoomSettings(
    frames=4, height=96, width=128, depth_noise=0, holes=False, depth_range=(0, 60)
)
CAMERA = Camera(np.array([[100.0, 0, 64], [0, 100, 48], [0, 0, 1]]), 128, 96)
FLUSH = [ROOM_CLASSES.index(name) + 1 for name in FLUSH_CLASSES]


def make_room(seed, furniture=(8, 16)):
    rng = np.random.default_rng(seed)
    room = furnish(rng, RoomSettings(furniture=furniture))
    return room, dress(room, rng, 0.6)


def facing(x, y, z, heading):
    """World_from_camera of a level camera that looks along `heading` (radians from world x)."""
    c, s = np.cos(heading), np.sin(heading)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[s, -c, 0], [0, 0, -1], [c, s, 0]]).T
    pose[:3, 3] = x, y, z
    return pose


def read(folder, kind, k):
    return np.array(Image.open(folder / f"{kind}/{k:06d}.png")).astype(int)


def read_camera(folder):
    """The camera as a reader must understand it: ScanNet's centre is that of whole pixels."""
    K = np.loadtxt(folder / "intrinsics_depth.txt")[:3, :3]
    K[:2, 2] += 0.5
    return Camera(K, 128, 96)


def world_points(folder, camera, k):
    depth = read(folder, "depth", k) / 1000
    return transform(np.loadtxt(folder / f"pose/{k:06d}.txt"), camera.rays() * depth[..., None])


@pytest.fixture(scope="module")
def ideal(tmp_path_factory):
    """A scan with perfect depth."""
    folder = tmp_path_factory.mktemp("rooms") / "ideal"
    write_room(folder, 3, IDEAL)
    return folder


def distance_to_shell(size, origin, rays):
    """Closed form: the first of six planes that a ray from inside the room reaches."""
    ahead = np.where(rays > 0, size - origin, -origin)
    return (ahead / rays).min(axis=-1)


class TestFiles:
    def test_layout(self, tmp_path):
        write_room(tmp_path / "room", 0, SMALL)
        names = [
            f"{kind}/{k:06d}.{suffix}"
            for kind, suffix in zip(
                ("color", "depth", "label", "instance", "pose"),
                ("jpg", "png", "png", "png", "txt"),
                strict=True,
            )
            for k in range(3)
        ]
        names += ["intrinsics_color.txt", "intrinsics_depth.txt", "classes.txt", "room.json"]
        assert sorted(contents(tmp_path / "room")) == sorted(names)
        assert tuple((tmp_path / "room/classes.txt").read_text().split()) == ROOM_CLASSES
        color = Image.open(tmp_path / "room/color/000000.jpg")
        assert (color.format, color.mode, color.size) == ("JPEG", "RGB", (32, 24))
        for kind in ("depth", "label", "instance"):
            image = Image.open(tmp_path / f"room/{kind}/000000.png")
            assert (image.format, image.mode, image.size) == ("PNG", "I;16", (32, 24))
        for k in range(3):
            pose = np.loadtxt(tmp_path / f"room/pose/{k:06d}.txt")
            assert why_not_rigid(pose) is None
            assert 1.2 <= pose[2, 3] <= 1.7
            assert pose[2, 1] < -0.5  # the camera's y, down, is down in a world with z up

    def test_same_seed_same_bytes_other_seed_other_room(self, tmp_path):
        for name, seed in (("a", 5), ("b", 5), ("c", 6)):
            write_room(tmp_path / name, seed, SMALL)
        a, b, c = (contents(tmp_path / name) for name in "abc")
        assert a == b
        assert not any(a[name] == c[name] for name in a if name[-3:] in ("jpg", "png"))

    def test_more_frames_are_the_same_frames_and_more(self, tmp_path):
        write_room(tmp_path / "three", 5, SMALL)
        write_room(tmp_path / "four", 5, RoomSettings(frames=4, height=24, width=32))
        three, four = contents(tmp_path / "three"), contents(tmp_path / "four")
        assert all(four[name] == three[name] for name in three if name != "room.json")
        assert len(four) == len(three) + 5

    def test_finished_room_is_left_alone_and_half_a_room_is_finished(self, tmp_path):
        write_room(tmp_path, 1, SMALL)
        complete = contents(tmp_path)
        (tmp_path / "color/000001.jpg").write_bytes(b"mine")
        write_room(tmp_path, 1, SMALL)
        assert (tmp_path / "color/000001.jpg").read_bytes() == b"mine"
        (tmp_path / "classes.txt").unlink()
        (tmp_path / "pose/.000002.txt.k1.part").write_text("left by a killed writer")
        write_room(tmp_path, 1, SMALL)
        assert contents(tmp_path) == complete

    @pytest.mark.parametrize("finished", [True, False])
    def test_other_room_is_refused(self, tmp_path, finished):
        write_room(tmp_path, 1, SMALL)
        if not finished:
            (tmp_path / "classes.txt").unlink()
        with pytest.raises(GeosetError, match=r"holds something other .* remove the folder"):
            write_room(tmp_path, 2, SMALL)

    def test_foreign_folder_is_refused(self, tmp_path):
        (tmp_path / "color").mkdir()
        with pytest.raises(GeosetError, match=r"holds something other"):
            write_room(tmp_path, 1, SMALL)
        assert [p.name for p in tmp_path.iterdir()] == ["color"]

    def test_negative_seed(self, tmp_path):
        with pytest.raises(GeosetError, match=r"seed is -1, expected 0 or more"):
            write_room(tmp_path, -1, SMALL)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"frames": 0}, "frames is 0, expected 1 or more"),
        ({"width": -3}, "width is -3, expected 1 or more"),
        ({"fov": (70, 60)}, r"fov is \(70, 60\), expected 10 <= least <= most <= 120"),
        ({"furniture": (3, 1)}, r"furniture is \(3, 1\), expected 0 <= fewest <= most"),
        ({"typical_style": 60}, "typical_style is 60, expected a probability"),
        ({"depth_noise": -1}, "depth_noise is -1, expected 0 or more"),
        ({"depth_range": (0.4, 100)}, r"depth_range is \(0.4, 100\), expected .* 65 m; change it"),
    ],
)
def test_settings_that_make_no_room(wrong, text):
    with pytest.raises(GeosetError, match=text):
        RoomSettings(**wrong)


class TestGeometry:
    def test_empty_room_against_closed_form(self):
        room, scene = make_room(0, furniture=(0, 0))
        size = room.size
        pose = facing(0.4 * size[0], 0.6 * size[1], 1.5, 0.3)
        view = render(scene, CAMERA, pose)
        expected = distance_to_shell(size, pose[:3, 3], CAMERA.rays() @ pose[:3, :3].T)
        shell = view.label <= 3
        assert shell.mean() > 0.5
        np.testing.assert_allclose(view.depth[shell], expected[shell], rtol=1e-12)

    def test_straight_at_a_wall(self):
        # Facing wall x = size at 1.7 m: z-depth is 1.7 at every pixel that shows it.
        room, scene = make_room(0, furniture=(0, 0))
        view = render(scene, CAMERA, facing(room.size[0] - 1.7, room.size[1] / 2, 1.5, 0.0))
        wall = (view.label == 1) & (view.instance == 1004)
        assert wall.sum() > 1000
        np.testing.assert_allclose(view.depth[wall], 1.7, rtol=1e-12)

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_against_slow_caster(self, seed):
        room, scene = make_room(seed)
        camera = CAMERA.resized(20, 28)
        i, j = np.argwhere(room.walkable())[seed]
        pose = facing(0.05 * (i + 0.5), 0.05 * (j + 0.5), 1.4, 2.1 * seed + 0.1)
        depth, piece = look(scene, camera, pose)
        rays = (camera.rays() @ pose[:3, :3].T).reshape(-1, 3)
        expected, expected_piece = nearest_hits(room, pose[:3, 3], rays)
        np.testing.assert_allclose(depth.ravel(), expected, rtol=1e-9)
        assert (piece.ravel() == expected_piece).mean() > 0.999

    def test_incidence_on_a_cylinder(self):
        # From far away rays are parallel: s beside the axis the cosine is sqrt(1 - (s / r)^2).
        size = np.array([40, 40, 2.5])
        post = Placed(Piece("lamp", [cylinder(0, 0, 0, 0.2, 2)]), np.array([39, 20, 0.0]), 0.7)
        scene = dress(Room(size, [*shell(size), post]), np.random.default_rng(0), 1.0)
        for side in (0.0, 0.05, 0.12, 0.19):
            pixel = Camera(np.array([[1e5, 0, 0.5], [0, 1e5, 0.5], [0, 0, 1]]), 1, 1)
            view = render(scene, pixel, facing(1, 20 + side, 1, 0.0))
            assert view.label[0, 0] == ROOM_CLASSES.index("lamp") + 1
            expected = np.sqrt(1 - (side / 0.2) ** 2)
            assert view.incidence[0, 0] == pytest.approx(expected, abs=1e-6)
            assert view.depth[0, 0] == pytest.approx(38 - 0.2 * expected, abs=1e-6)

    def test_flush_classes_lie_flush(self):
        seen = set()
        for seed in range(4):
            room, scene = make_room(seed, furniture=(0, 0))
            for heading in np.arange(4) * np.pi / 2:
                pose = facing(*room.size[:2] / 2, 1.4, heading)
                view = render(scene, CAMERA, pose)
                flush = np.isin(view.label, FLUSH)
                seen |= set(view.label[flush])
                points = transform(pose, CAMERA.rays() * view.depth[..., None])[flush]
                x, y = points[:, 0], points[:, 1]
                to_wall = np.min([x, room.size[0] - x, y, room.size[1] - y], axis=0)
                assert (to_wall > 0).all() and (to_wall < 0.01).all()
        assert seen == set(FLUSH)

    def test_written_files_put_the_shell_on_planes(self, ideal):
        # Depth, pose and intrinsics together: half a pixel off in K would bend these by 1 cm.
        camera, heights, walls = read_camera(ideal), [], {}
        for k in range(IDEAL.frames):
            points = world_points(ideal, camera, k)
            instance = read(ideal, "instance", k)
            heights.append(points[instance == 2001][:, 2])
            for wall in (1001, 1002, 1003, 1004):
                axis = 1 if wall < 1003 else 0
                walls.setdefault(wall, []).append(points[instance == wall][:, axis])
        assert np.abs(np.concatenate(heights)).max() < 0.002
        spans = [np.ptp(np.concatenate(w)) for w in walls.values() if len(np.concatenate(w))]
        assert len(spans) >= 2 and max(spans) < 0.002

    def test_neighbouring_frames_show_the_same_surface(self, ideal):
        camera = read_camera(ideal)
        for k in range(IDEAL.frames - 1):
            other = invert(np.loadtxt(ideal / f"pose/{k + 1:06d}.txt"))
            pixels, z = camera.project(transform(other, world_points(ideal, camera, k)))
            x, y = np.floor(pixels).astype(int).transpose(2, 0, 1)
            inside = (z > 0) & (x >= 0) & (x < 128) & (y >= 0) & (y < 96)
            x, y = x[inside], y[inside]
            same = np.abs(read(ideal, "depth", k + 1)[y, x] / 1000 - z[inside]) < 0.03 * z[inside]
            assert 0.25 < same.sum() / inside.size < 0.95
            assert same.mean() > 0.7  # the rest is hidden from one of them
            instances = (read(ideal, "instance", k)[inside], read(ideal, "instance", k + 1)[y, x])
            assert (instances[0] == instances[1])[same].mean() > 0.95

    def test_labels_and_instances(self, ideal):
        for k in range(IDEAL.frames):
            label, instance = read(ideal, "label", k), read(ideal, "instance", k)
            assert label.min() >= 1 and label.max() <= len(ROOM_CLASSES)
            assert (instance // 1000 == label).all() and (instance % 1000 >= 1).all()

    def test_rooms_hold_every_class_and_what_they_hold_fits(self):
        names = set()
        for seed in range(12):
            room, _ = make_room(seed)
            names |= {placed.piece.name for placed in room.placed}
            for placed in room.placed[SHELL:]:
                low, high = placed.bounds
                assert (low > -1e-6).all() and (high < room.size + 1e-6).all()
        assert names == set(ROOM_CLASSES)


class TestWalk:
    @pytest.mark.parametrize("seed", range(4))
    def test_camera_stays_clear_and_looks_at_something(self, seed):
        room, scene = make_room(seed)
        poses = walk(room, scene, CAMERA, 12, np.random.default_rng(seed))
        headings = []
        for pose in poses:
            x, y, z = pose[:3, 3]
            margin = ELBOWROOM - 0.05  # a cell
            assert margin < x < room.size[0] - margin and margin < y < room.size[1] - margin
            for placed in room.placed[SHELL:]:
                low, high = placed.bounds
                assert not ((low < (x, y, z)) & ((x, y, z) < high)).all()
            depth, _ = look(scene, CAMERA.resized(12, 16), pose)
            assert np.median(depth) > 0.5
            headings.append(np.degrees(np.arctan2(pose[1, 2], pose[0, 2])))
        turns = np.abs((np.diff(headings) + 180) % 360 - 180)
        assert turns.min() > 11 and turns.max() < 33
        assert turns.sum() > 120  # the room is seen from several sides


class TestColour:
    def test_shadow_and_lamp(self):
        # One lamp over the middle of a plate: the floor below it gets ambient light alone, the
        # floor beside it 1 / (d^2 + 0.3) more, facing the lamp squarely or not.
        size = np.array([4, 4, 2.5])
        plate = Placed(Piece("table", [box(2, 2, 1, 1, 1, 0.05)]), np.zeros(3))
        room = Room(size, [*shell(size), plate])
        scene = dress(room, np.random.default_rng(0), 1.0)
        white = scene.textures.copy()
        white["pattern"], white["first"], white["second"], white["glow"] = 1, 1.0, 1.0, 0
        scene = scene._replace(
            textures=white,
            light=np.array([[2, 2, 2.0]]),
            light_color=np.ones((1, 3)),
            ambient=np.full(3, 0.1),
        )
        down = np.eye(4)
        down[:3, :3] = np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]]).T
        pixel = Camera(np.array([[1e4, 0, 0.5], [0, 1e4, 0.5], [0, 0, 1]]), 1, 1)

        def light_at(x, y, z):
            down[:3, 3] = x, y, z
            return render(scene, pixel, down).color[0, 0]

        np.testing.assert_allclose(light_at(2, 2, 0.9), 0.1, rtol=1e-6)  # below the plate
        np.testing.assert_allclose(
            light_at(2, 2, 1.9), 0.1 + 0.95 / 0.95 / (0.95**2 + 0.3), rtol=1e-3
        )
        # At 1.5 m to the side: d^2 = 2^2 + 1.5^2 = 6.25, cosine 2 / 2.5; the plate's shadow of
        # half width 0.5 * 2 / (2 - 1) = 1 m (1.05 m for its upper edge) ends before it.
        np.testing.assert_allclose(light_at(3.5, 2, 1.9), 0.1 + 0.8 / 6.55, rtol=1e-3)
        np.testing.assert_allclose(light_at(2.9, 2, 0.9), 0.1, rtol=1e-3)

    def test_images_are_neither_dark_nor_washed_out(self, tmp_path):
        for seed in range(4):
            write_room(tmp_path / str(seed), seed, SMALL)
            for path in (tmp_path / str(seed)).glob("color/*.jpg"):
                mean = np.array(Image.open(path)).mean()
                assert 50 < mean < 205

    def test_typical_style_is_a_probability(self):
        def usual(probability):
            rng = np.random.default_rng(0)
            drawn = [draw_texture(rng, "ceiling", probability) for _ in range(400)]
            bright = [t["first"].min() > 0.5 and t["pattern"] == 0 for t in drawn]
            return np.mean(bright)

        assert TYPICAL["ceiling"].patterns == ("plain",) and PATTERNS[0] == "plain"
        assert usual(1.0) == 1
        assert 0.52 < usual(0.6) < 0.72
        assert usual(0.0) < 0.1


class TestSensor:
    def wall(self, depth, label=1, incidence=1.0):
        shape = 200, 200
        return View(
            np.ones((*shape, 3)),
            np.full(shape, depth),
            np.full(shape, label, np.uint16),
            np.zeros(shape, np.uint16),
            np.full(shape, incidence),
        )

    def test_noise_grows_with_depth_squared(self):
        for depth in (1.0, 2.0, 4.0):
            seen = sense(self.wall(depth), RoomSettings(holes=False), np.random.default_rng(0))
            # Rounding to millimetres adds a variance of 1/12 mm^2.
            expected = np.hypot(0.7 * depth**2, 12**-0.5)
            assert seen.std() == pytest.approx(expected, rel=0.03)
            assert seen.mean() == pytest.approx(1000 * depth, abs=0.2)

    def test_range(self):
        settings = RoomSettings(depth_noise=0, holes=False)
        rng = np.random.default_rng(0)
        seen = [sense(self.wall(depth), settings, rng)[0, 0] for depth in (0.39, 0.41, 4.99, 5.01)]
        assert seen == [0, 410, 4990, 0]

    def test_holes_are_where_sensors_have_them(self):
        settings, window = RoomSettings(depth_noise=0), ROOM_CLASSES.index("window") + 1

        def missing(view):
            return (sense(view, settings, np.random.default_rng(1)) == 0).mean()

        assert missing(self.wall(2.0)) < 0.03
        assert 0.3 < missing(self.wall(2.0, label=window)) < 0.9
        assert missing(self.wall(2.0, incidence=0.05)) > 0.5
        step = self.wall(2.0)
        step.depth[:, 100:] = 3.0
        holes = sense(step, settings, np.random.default_rng(1)) == 0
        assert holes[:, 99:101].mean() > 0.35 and holes.mean() < 0.04

    def test_a_slanted_plane_has_no_edges(self):
        # z = 1 / (a + b x) is a plane seen in perspective, steep enough to jump 8 % a pixel.
        view = self.wall(1.0)
        view.depth[:] = 1 / np.linspace(0.25, 2.4, 200)
        near = ndimage.binary_erosion(view.depth > 0)  # away from the image's border
        settings = RoomSettings(depth_noise=0, depth_range=(0, 60))
        assert (sense(view, settings, np.random.default_rng(1)) == 0)[near].mean() < 0.03
