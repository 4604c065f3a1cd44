"""The command line: quick help, and bad input that ends with one clear line and exit code 2."""

import json
import subprocess
import sys

import numpy as np
import pytest

from geoset.cli import main
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from reference.box_room import POSES, box_mesh, write_box_room
from scan_folders import write_image, write_raster

SIZE = ["--image-size", "96", "128"]


@pytest.fixture
def geoset(monkeypatch, capsys):
    """Run the command line here; return its exit code and what it printed as an error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["geoset", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def scan(tmp_path):
    """Three frames of the box room, with its mesh."""
    return write_box_room(tmp_path / "room", POSES[:3])


@pytest.fixture
def refused(geoset, tmp_path):
    """Prepare what cannot be; return the one line that says why."""

    def run(scan, *options):
        code, printed = geoset("prepare", scan, tmp_path / "out", *SIZE, *options)
        assert code == 2
        assert "Traceback" not in printed
        assert printed.startswith("geoset: ")
        assert not list((tmp_path / "out").glob("*/scene.json"))
        return printed.removeprefix("geoset: ").strip()

    return run


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_help_is_quick_and_loads_no_torch():
    """In processor time, since others may be using the machine."""
    script = (
        "import sys, time\n"
        "from geoset.cli import main\n"
        "sys.argv = ['geoset', '--help']\n"
        "try:\n    main()\n"
        "finally:\n"
        "    print('loaded', sorted({'torch', 'numba', 'scipy'} & set(sys.modules)))\n"
        "    print('seconds', time.process_time())\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert "loaded []" in printed
    for command in ("inspect", "prepare", "pretrain", "demo"):
        assert command in printed
    assert float(printed.split()[-1]) < 1.5


def test_version(geoset, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["geoset", "--version"])
    main()
    assert capsys.readouterr().out.strip().count(".") == 2


def test_a_good_scan(geoset, scan, tmp_path):
    code, printed = geoset("prepare", scan, tmp_path / "out", *SIZE)
    assert code == 0 and "prepared" in printed
    assert (tmp_path / "out/room/scene.json").is_file()


def test_a_misspelt_option(geoset, scan, tmp_path):
    code, printed = geoset("prepare", scan, tmp_path / "out", "--treshold", "0.1")
    assert code == 2
    assert "Unrecognized options: --treshold" in printed and "--threshold" in printed


@pytest.mark.parametrize("value", ["many", "0.5"])
def test_a_value_of_another_type(geoset, scan, tmp_path, value):
    code, printed = geoset("prepare", scan, tmp_path / "out", "--frame-step", value)
    assert code == 2 and "--frame-step" in printed and "Traceback" not in printed


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--threshold", "0"], "threshold is 0.0, expected a number above 0"),
        (["--threshold", "-1"], "threshold is -1.0, expected a number above 0"),
        (["--frame-step", "0"], "frame_step is 0, expected 1 or more"),
        (["--min-overlap", "2"], "min_overlap is 2.0, expected 0 to 1"),
        (["--fusion.voxel-size", "0"], "voxel_size is 0.0, expected above 0"),
        (["--fusion.smoothing-steps", "-1"], "smoothing_steps is -1, expected 0 or more"),
        (["--max-pairs-per-scene", "-1"], "max_pairs_per_scene is -1, expected 1 or more"),
        (["--workers", "0"], "workers is 0, expected 1 or more"),
        (["--address", "tcp://host:1"], "address is tcp://host:1, but the engine is local"),
        (["--shard", "0/2"], "shard is '0/2', expected i/n with i from 1 to n"),
    ],
)
def test_options_out_of_range(refused, scan, options, text):
    assert refused(scan, *options).startswith(text)


def test_nothing_there(refused, tmp_path):
    assert refused(tmp_path / "nowhere") == (
        f"{tmp_path / 'nowhere'}: does not exist; give the folder (or file) of a scan"
    )


def test_an_empty_folder(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty").startswith(
        f"{tmp_path / 'empty'}: is empty; expected a scan in it, in one of these layouts:"
    )


def test_an_unknown_layout(refused, tmp_path):
    (tmp_path / "odd/pictures").mkdir(parents=True)
    (tmp_path / "odd/readme.txt").touch()
    assert refused(tmp_path / "odd").startswith(
        f"{tmp_path / 'odd'}: unknown layout (it holds pictures, readme.txt); expected one of"
    )


def test_a_file_for_a_folder(refused, tmp_path):
    (tmp_path / "scan.mp4").touch()
    assert "unknown layout (it holds a .mp4 file)" in refused(tmp_path / "scan.mp4")


def test_no_intrinsics(refused, scan):
    (scan / "intrinsics.txt").unlink()
    assert "no colour intrinsics; expected one of" in refused(scan)


def test_a_prepared_folder_of_another_version(refused, geoset, scan, tmp_path):
    info = tmp_path / "other/room/scene.json"
    geoset("prepare", scan, tmp_path / "other", *SIZE)
    before = info.read_bytes()
    info.write_text(json.dumps(json.loads(info.read_text()) | {"format_version": 0}))
    code, printed = geoset("inspect", tmp_path / "other/room")
    assert code == 2 and "Traceback" not in printed
    assert f"{tmp_path / 'other/room'}: was prepared in format 0 by geoset" in printed
    assert geoset("prepare", scan, tmp_path / "other", *SIZE)[0] == 0
    assert info.read_bytes() == before


def damage_color(scan, name):
    write_image(scan / f"color/{name}.png", np.zeros((50, 50, 3), dtype=np.uint8))


def damage_png(scan, name):
    cut(scan / f"color/{name}.png")


def damage_jpeg(scan, name):
    (scan / f"color/{name}.png").unlink()
    path = scan / f"color/{name}.jpg"
    write_image(path, np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8))
    cut(path)


def damage_depth(scan, name):
    cut(scan / f"depth/{name}.png")


def damage_pose(scan, name):
    pose = np.eye(4)
    pose[1, 2] = np.nan
    np.savetxt(scan / f"pose/{name}.txt", pose)


def damage_pose_axes(scan, name):
    np.savetxt(scan / f"pose/{name}.txt", np.diag([2, 1, 1, 1]))


def no_depth(scan, name):
    write_raster(scan / f"depth/{name}.png", np.zeros((96, 128), dtype=np.uint16))


def saturated_depth(scan, name):
    write_raster(scan / f"depth/{name}.png", np.full((96, 128), 65535, dtype=np.uint16))


BAD_FRAMES = [
    (damage_color, "image size differs from most frames'"),
    (damage_png, "unreadable colour file"),
    (damage_jpeg, "unreadable colour file"),
    (damage_depth, "unreadable depth file"),
    (damage_pose, "pose has non-finite entries"),
    (damage_pose_axes, "pose is not rigid (its axes are not orthonormal)"),
    (no_depth, "no valid depth"),
    (saturated_depth, "no valid depth"),
]


@pytest.mark.parametrize(("damage", "reason"), BAD_FRAMES)
def test_a_bad_frame_costs_only_itself(geoset, scan, tmp_path, damage, reason):
    damage(scan, "000001")
    code, printed = geoset("prepare", scan, tmp_path / "out", *SIZE)
    assert code == 0
    assert f"rejected frames: 1 x {reason}" in printed
    info = json.loads((tmp_path / "out/room/scene.json").read_text())
    assert [frame["id"] for frame in info["frames"]] == ["000000", "000002"]
    assert [name for name, _ in info["rejected"]] == ["000001"]


@pytest.mark.parametrize(("damage", "reason"), BAD_FRAMES[1:])
def test_only_bad_frames(refused, scan, damage, reason):
    for k in range(3):
        damage(scan, f"{k:06d}")
    line = refused(scan)
    assert line.startswith(f"{scan}: ") and f"3 x {reason}" in line


@pytest.mark.parametrize("value", [0, 65535])
def test_no_depth_to_make_a_surface_of(refused, tmp_path, value):
    depths = [np.full((96, 128), value, dtype=np.uint16)] * 2
    scan = write_box_room(tmp_path / "room", POSES[:2], depths=depths, mesh=None)
    assert refused(scan) == (
        f"{scan}: none of 2 depth images has a valid depth under 5 m; check the depth unit, or "
        "raise the maximum depth"
    )


def with_faces(faces):
    return TriangleMesh(box_mesh().vertices, np.int32(faces).reshape(-1, 3))


NAN_MESH = TriangleMesh(np.full((4, 3), np.nan, np.float32), np.int32([[0, 1, 2], [1, 2, 3]]))


@pytest.mark.parametrize(
    ("mesh", "found"),
    [
        (with_faces([]), "no faces"),
        (with_faces([[0, 1, 10**6], [-1, 2, 3]]), "2 faces with a vertex index out of range"),
        (NAN_MESH, "2 faces with a non-finite vertex"),
    ],
)
def test_meshes_without_a_usable_face(refused, scan, mesh, found):
    write_ply(scan / "mesh.ply", mesh)
    assert f"the mesh has no usable face ({found}). A surface needs triangles" in refused(scan)


def test_faces_without_area_do_no_harm(geoset, scan, tmp_path):
    mesh = box_mesh()
    flat = np.int32([[0, 0, 0], [5, 5, 6], [0, 1, 2]])  # a point, an edge, three in a row
    write_ply(scan / "mesh.ply", TriangleMesh(mesh.vertices, np.concatenate([mesh.faces, flat])))
    code, _ = geoset("prepare", scan, tmp_path / "out", *SIZE)
    assert code == 0
    info = json.loads((tmp_path / "out/room/scene.json").read_text())
    assert info["sets"] == 6 and info["frames"][0]["covered"] == 1


def test_only_faces_without_area(refused, scan):
    write_ply(scan / "mesh.ply", with_faces([[0, 1, 2], [5, 5, 6]]))
    assert "3 x sees no surface where its depth agrees" in refused(scan)


def test_a_truncated_mesh(refused, scan):
    cut(scan / "mesh.ply")
    line = refused(scan)
    assert line.startswith(f"{scan}/mesh.ply") and "\n" not in line


def test_a_mesh_in_millimetres(refused, scan):
    mesh = box_mesh()
    write_ply(scan / "mesh.ply", TriangleMesh(mesh.vertices * 1000, mesh.faces))
    line = refused(scan)
    assert line.startswith(f"{scan}: the mesh has") and "Check that it is in metres" in line


@pytest.mark.parametrize("frames", ["0", "-3"])
def test_a_picture_of_no_frames(geoset, scan, frames):
    code, printed = geoset("inspect", scan, "--frames", frames)
    assert code == 2 and f"frames is {frames}, expected 1 or more" in printed


def test_nothing_to_inspect(geoset, tmp_path):
    code, printed = geoset("inspect", tmp_path / "nowhere")
    assert code == 2 and "does not exist; give the folder (or file) of a scan" in printed
