"""The label images of a scan, carried over to the vertices of a prepared scene."""

from collections import Counter

import numpy as np

from geoset.errors import GeosetError
from geoset.geometry.resize import nearest_source_pixels, same_aspect
from geoset.prepare.scene import PreparedScene
from geoset.prepare.views import cover
from geoset.prepare.votes import Majority, Votes
from geoset.scans.detect import open_scan
from geoset.scans.scan import Frame, FrameError

UNLABELLED = 0


def vote_from_images(scene: PreparedScene, kind: str) -> tuple[Majority, dict[str, int]]:
    """Give each vertex the label that most of the pixels that see it have in the scan's images.

    Pixels of label 0 have no vote. `kind` is "semantic" or "instance". Returns the vote, and how
    many stored frames could not take part, by reason.

    Raises:
        GeosetError: the scan is gone or has changed, or has no such label images.
    """
    path = scene.info["scan"]["path"]
    try:
        scan = open_scan(path)
    except GeosetError as error:
        raise GeosetError(
            f"{scene.path}: its label images are read from the scan it was prepared from, which "
            f"cannot be opened ({error}). Put the scan there again, or a link to it"
        ) from error
    frames = {frame.name: frame for frame in scan.frames}
    votes, skipped = Votes(scene.info["surface"]["vertices"]), Counter()
    for i, name in enumerate(scene.frame_ids):
        if name not in frames:
            skipped["frame is no longer in the scan"] += 1
        elif kind not in frames[name].read_labels:
            skipped["no label image"] += 1
        else:
            try:
                labels, vertex_map = (
                    stored_labels(scene, i, frames[name], kind),
                    scene.vertex_map(i),
                )
            except FrameError as error:
                skipped[error.reason] += 1
                continue
            voting = (vertex_map >= 0) & (labels != UNLABELLED)
            votes.add(vertex_map[voting], labels[voting])
    if sum(skipped.values()) == len(scene):
        have = sorted({name for frame in scan.frames for name in frame.read_labels})
        reasons = "; ".join(f"{n} x {why}" for why, n in skipped.items())
        raise GeosetError(
            f"{path}: no {kind} label image for any frame of {scene.path} ({reasons}); available: "
            f"{', '.join(have) or 'none'}. Labels of vertices are taken too: --labels FOLDER"
        )
    return votes.majority(), dict(skipped)


def stored_labels(scene: PreparedScene, i: int, frame: Frame, kind: str) -> np.ndarray:
    """Return the label image of a frame, resized (nearest) and cropped as its stored image was.

    Raises:
        FrameError: the label image cannot be read.
        GeosetError: the camera is another than the one stored, or the label image shows another
            part of the view than the colour image.
    """
    camera, box = cover(frame.camera, scene.info["settings"]["image_size"])
    stored = scene.camera(i)
    if (camera.height, camera.width) != (stored.height, stored.width) or not np.allclose(
        camera.K, stored.K
    ):
        raise GeosetError(
            f"{scene.path}: frame {frame.name} has another camera in {scene.info['scan']['path']} "
            "than when it was prepared; remove the scene's folder and run geoset prepare again"
        )
    try:
        labels = frame.label(kind)
    except GeosetError as error:
        raise FrameError(str(error), "unreadable label image") from error
    color = frame.camera.height, frame.camera.width
    if not same_aspect(labels.shape, color):
        raise GeosetError(
            f"{frame.name}: the {kind} label image is {labels.shape[1]}x{labels.shape[0]}, the "
            f"colour image {color[1]}x{color[0]}; expected one aspect, so that they show the same "
            "view. Crop or pad the label image"
        )
    return labels[nearest_source_pixels(labels.shape, color, (camera.height, camera.width), box)]
