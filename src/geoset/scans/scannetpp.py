"""ScanNet++: a laser-scanned mesh, and the frames of an iPhone or of a DSLR camera.

Poses are those of COLMAP, which lie in the mesh's coordinates; those of the nerfstudio files do
not. Frames of the iPhone, which have depth, are taken where they have been extracted; otherwise
the DSLR images, where they have been undistorted. The data set's own toolkit does both.
Masks are black where something must not be used.
"""

from pathlib import Path, PurePosixPath

from geoset.errors import GeosetError
from geoset.scans.assemble import FrameFiles, assemble_frames, own_cameras
from geoset.scans.colmap import PosedImage, read_cameras, read_images
from geoset.scans.decode import files_by_stem, mesh_reader, natural_key, read_json
from geoset.scans.distortion import Lens
from geoset.scans.nerfstudio import UNDISTORTED, check_model, lens_of
from geoset.scans.scan import Scan

LAYOUT = "ScanNet++"
LOOKS_FOR = "iphone/ with colmap/, rgb/, depth/, or dslr/ with colmap/, undistorted_images/"

MESH = "scans/mesh_aligned_0.05.ply"  # else mesh.ply
NO_DEPTH = "DSLR images have no depth: the mesh alone says what they see"
BOTH = "frames of the iPhone are read; to read the DSLR's instead, move iphone/ elsewhere"
UNDISTORTED_CAMERA = "nerfstudio/transforms_undistorted.json"


def matches(path: Path) -> bool:
    """Tell whether `path` holds the COLMAP model of a device."""
    return any((path / device / "colmap").is_dir() for device in ("iphone", "dslr"))


def read(path: Path) -> Scan:
    """Read a scene.

    Raises:
        GeosetError: no images have been extracted or undistorted, or a camera file is unusable.
    """
    iphone, dslr = path / "iphone", path / "dslr"
    if (iphone / "colmap").is_dir() and (iphone / "rgb").is_dir():
        return _read_iphone(path, iphone)
    if (dslr / "colmap").is_dir() and (dslr / "undistorted_images").is_dir():
        return _read_dslr(path, dslr)
    raise GeosetError(
        f"{path}: holds neither {iphone.name}/rgb/ nor {dslr.name}/undistorted_images/. Extract "
        "the frames of the iPhone (python -m iphone.prepare_iphone_data of the ScanNet++ toolkit), "
        "or undistort the DSLR's fisheye images (python -m dslr.undistort)"
    )


def _read_iphone(path: Path, iphone: Path) -> Scan:
    lenses = read_cameras(iphone / "colmap/cameras.txt")
    has_depth = (iphone / "depth").is_dir()
    files, masks = [], files_by_stem(iphone / "rgb_masks", ".png")
    images, rejected = read_images(iphone / "colmap/images.txt")
    for image in images:
        if image.camera_id not in lenses:
            rejected.append((_stem(image), "no camera of its id"))
            continue
        depth = iphone / f"depth/{_stem(image)}.png" if has_depth else None
        lens = lenses[image.camera_id]
        files.append(_frame_files(image, lens, iphone / "rgb", depth, masks))
    notes = [UNDISTORTED] * any(entry.distortion for entry in files)
    if (path / "dslr/undistorted_images").is_dir():
        notes.append(BOTH)
    return _scan(path, files, rejected, notes)


def _read_dslr(path: Path, dslr: Path) -> Scan:
    file = dslr / UNDISTORTED_CAMERA
    camera = read_json(file)
    if not isinstance(camera, dict):
        raise GeosetError(f"{file}: expected an object with fl_x, fl_y, cx, cy, w, h")
    check_model(camera, file)
    lens = lens_of(camera, file)
    folder = dslr / "undistorted_images"
    masks = files_by_stem(dslr / "undistorted_anon_masks", ".png")
    images, rejected = read_images(dslr / "colmap/images.txt")
    files = [_frame_files(image, lens, folder, None, masks) for image in images]
    return _scan(path, files, rejected, [NO_DEPTH])


def _frame_files(
    image: PosedImage, lens: Lens, folder: Path, depth: Path | None, masks: dict[str, Path]
) -> FrameFiles:
    return FrameFiles(
        name=_stem(image),
        color=folder / PurePosixPath(image.name).name,
        depth=depth,
        pose=image.world_from_camera,
        mask=masks.get(_stem(image)),
        masked_is_black=True,
        cameras=own_cameras(lens.camera),
        distortion=lens.distortion,
    )


def _scan(
    path: Path, files: list[FrameFiles], rejected: list[tuple[str, str]], notes: list[str]
) -> Scan:
    frames, unusable = assemble_frames(files)
    frames.sort(key=lambda frame: natural_key(frame.name))
    mesh = mesh_reader(path / MESH, path / "mesh.ply")
    return Scan(path, LAYOUT, frames, rejected + unusable, mesh, notes=notes)


def _stem(image: PosedImage) -> str:
    return PurePosixPath(image.name).stem
