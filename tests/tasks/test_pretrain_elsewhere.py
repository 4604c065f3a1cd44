"""Pre-training on scenes at a URL ends with the weights of a run on the same scenes here."""

import fsspec
import pytest
from tiny_run import tiny_pretrain, untimed_log, weights

from geoset.prepare.data_set import find_scenes, publish_scene, write_index
from geoset.prepare.storage import open_folder
from geoset.recipes import Hardware
from http_folder import serve


@pytest.fixture(scope="module")
def run_here(prepared_rooms, tmp_path_factory):
    out = tmp_path_factory.mktemp("here")
    tiny_pretrain(prepared_rooms, out)
    return out


@pytest.fixture
def http(prepared_rooms):
    write_index(open_folder(prepared_rooms))
    with serve(prepared_rooms) as served:
        yield served.url


@pytest.fixture
def memory(prepared_rooms):
    for scene in find_scenes([prepared_rooms]):
        publish_scene(scene, f"memory://prepared/{scene.name}")
    yield "memory://prepared"
    fsspec.filesystem("memory").rm("/prepared", recursive=True)


@pytest.mark.parametrize(
    ("where", "room_for", "workers"), [("http", 2, 2), ("http", 0, 0), ("memory", 1, 0)]
)
def test_the_same_weights(
    where, room_for, workers, run_here, prepared_rooms, tmp_path, monkeypatch, request
):
    """The frames of `room_for` of the two scenes fit into the cache."""
    url = request.getfixturevalue(where)
    frames = [path.stat().st_size for path in prepared_rooms.glob("*/frames.tar")]
    limit = [0, 1.5 * max(frames), 10 * max(frames)][room_for]
    monkeypatch.setenv("GEOSET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GEOSET_CACHE_GB", f"{limit / 1e9}")
    hardware = Hardware("cpu", workers=workers, checkpoint_seconds=0)
    tiny_pretrain(url, tmp_path / "run", hardware=hardware)
    assert weights(tmp_path / "run") == weights(run_here)
    assert untimed_log(tmp_path / "run") == untimed_log(run_here)
    kept = [path for path in tmp_path.glob("cache/*") if path.is_file()]
    assert sum(path.suffix == ".tar" for path in kept) == room_for
    assert sum(path.stat().st_size for path in kept) <= limit


def test_a_run_goes_on_with_a_copy_of_its_scenes(http, run_here, tmp_path, monkeypatch):
    monkeypatch.setenv("GEOSET_CACHE", str(tmp_path / "cache"))
    before = weights(run_here)
    tiny_pretrain(http, run_here, resume=True)  # refused if checksums differed
    assert weights(run_here) == before
