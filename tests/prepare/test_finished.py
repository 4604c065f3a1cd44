"""What counts as a change of a scan."""

import os

import pytest

from geoset.errors import GeosetError
from geoset.prepare.finished import scan_fingerprint


@pytest.fixture
def scan(tmp_path):
    (tmp_path / "scan/color").mkdir(parents=True)
    (tmp_path / "scan/color/0.jpg").write_bytes(b"12345")
    (tmp_path / "scan/intrinsics.txt").write_text("1 0 0")
    for file in (tmp_path / "scan").rglob("*.*"):
        os.utime(file, (1_000, 1_000))
    return tmp_path / "scan"


def grow(scan):
    (scan / "color/0.jpg").write_bytes(b"123456")
    os.utime(scan / "color/0.jpg", (1_000, 1_000))


def touch(scan):
    os.utime(scan / "intrinsics.txt", (2_000, 2_000))


def add(scan):
    (scan / "color/1.jpg").write_bytes(b"")


def remove(scan):
    (scan / "intrinsics.txt").unlink()


def move(scan):
    (scan / "color/0.jpg").rename(scan / "0.jpg")


@pytest.mark.parametrize("change", [grow, touch, add, remove, move])
def test_changes(scan, change):
    before = scan_fingerprint(scan)
    change(scan)
    assert scan_fingerprint(scan) != before


def hide(scan):
    (scan / "color/.DS_Store").write_bytes(b"7")


def rename_scan(scan):
    scan.rename(scan.with_name("other")).rename(scan)


def round_times(scan):
    os.utime(scan / "intrinsics.txt", ns=(1_000_999_999_999, 1_000_999_999_999))


@pytest.mark.parametrize("change", [hide, rename_scan, round_times])
def test_what_is_no_change(scan, change):
    before = scan_fingerprint(scan)
    change(scan)
    assert scan_fingerprint(scan) == before


def test_it_goes_with_the_folder(scan, tmp_path):
    before = scan_fingerprint(scan)
    assert scan_fingerprint(scan.rename(tmp_path / "elsewhere")) == before


def test_a_scan_of_one_file(scan):
    file = scan / "color/0.jpg"
    before = scan_fingerprint(file)
    touch(scan)
    assert scan_fingerprint(file) == before
    grow(scan)
    assert scan_fingerprint(file) != before


def test_a_link_to_nothing_is_no_error(scan):
    (scan / "color/2.jpg").symlink_to(scan / "nowhere")
    missing = scan_fingerprint(scan)
    (scan / "nowhere").write_bytes(b"8")
    assert scan_fingerprint(scan) != missing


def test_a_folder_that_cannot_be_listed(scan, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(GeosetError) as error:
        scan_fingerprint(scan)
    assert str(error.value) == (f"{scan}: cannot be listed (Permission denied); make it readable")
