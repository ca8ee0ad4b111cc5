"""Archives: each trick is refused whole, with the entry named."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from coordinator.errors import CoordinatorError
from coordinator.intake.groups import read_groups
from coordinator.intake.source import arrange, open_training_set
from tests.support.pictures import noise, png

PICTURE = png(noise(1))


def pack(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name) if "\\" in name else name, data)
    return path


GOOD = {"a/1.png": PICTURE, "b/2.png": PICTURE}


def refusal(path: Path, spool: Path) -> CoordinatorError:
    spool.mkdir(exist_ok=True)
    with pytest.raises(CoordinatorError) as caught, open_training_set(path, spool):
        pass
    return caught.value


def test_plain_zip_is_read(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {**GOOD, "__MACOSX/a/1.png": b"x", "a/Thumbs.db": b"x", "notes.txt": b"x"})
    (tmp_path / "s").mkdir()
    with open_training_set(path, tmp_path / "s") as found:
        assert [(m.name, m.label) for m in found.members] == [("a/1.png", "a"), ("b/2.png", "b")]
        assert found.ignored == 2 and found.beside == ["notes.txt"]
        assert found.members[0].path.read_bytes() == PICTURE


@pytest.mark.parametrize("name", ["../a/1.png", "/a/1.png", "C:/a/1.png", "a/../../1.png"])
def test_paths_out_of_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    error = refusal(pack(tmp_path / "x.zip", {**GOOD, name: PICTURE}), tmp_path / "s")
    assert error.code == "intake.zip.path_traversal"
    assert "1.png" in error.message()


def test_control_characters_nested_zip_and_duplicates_are_refused(tmp_path: Path) -> None:
    for number, name in enumerate(["a/\x07.png", "a/inner.zip"]):
        error = refusal(pack(tmp_path / f"{number}.zip", {**GOOD, name: PICTURE}), tmp_path / "s")
        assert error.code == "intake.zip.bad_entry"
    with pytest.warns(UserWarning), zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for _ in range(2):
            archive.writestr("a/1.png", PICTURE)
        archive.writestr("b/1.png", PICTURE)
    assert refusal(tmp_path / "d.zip", tmp_path / "s").code == "intake.zip.bad_entry"


def test_symbolic_links_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        link = zipfile.ZipInfo("a/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("b/1.png", PICTURE)
    assert refusal(tmp_path / "x.zip", tmp_path / "s").code == "intake.zip.bad_entry"
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "l.png").symlink_to("/etc/passwd")
    assert refusal(folder, tmp_path / "s").code == "intake.zip.bad_entry"


def test_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {**GOOD, "a/bomb.png": b"\0" * 30_000_000})
    assert refusal(path, tmp_path / "s").code == "intake.zip.bad_entry"
    assert list((tmp_path / "s").iterdir()) == []


def test_truncated_damaged_and_lying_archives_are_refused(tmp_path: Path) -> None:
    good = pack(tmp_path / "x.zip", GOOD, zipfile.ZIP_STORED)
    data = good.read_bytes()
    (tmp_path / "short.zip").write_bytes(data[: len(data) // 2])
    assert refusal(tmp_path / "short.zip", tmp_path / "s").code == "intake.zip.damaged"
    flipped = bytearray(data)
    flipped[60] ^= 0xFF  # within the first picture: its checksum no longer fits
    (tmp_path / "crc.zip").write_bytes(flipped)
    assert refusal(tmp_path / "crc.zip", tmp_path / "s").code == "intake.zip.damaged"


def test_names_of_a_chinese_windows_zip_are_read(tmp_path: Path) -> None:
    path = tmp_path / "gbk.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for label in ("疟疾", "正常"):
            archive.writestr(f"{label}/1.png", PICTURE)
    raw = path.read_bytes()
    for label in ("疟疾", "正常"):  # same length in bytes is needed to patch in place: pad the GBK name
        wanted = label.encode("gb18030")
        raw = raw.replace(label.encode(), wanted + b"x" * (len(label.encode()) - len(wanted)))
    patched = bytearray(raw)
    with zipfile.ZipFile(path) as archive:
        offsets = [i.header_offset for i in archive.infolist()]
    for offset in offsets:
        patched[offset + 7] &= ~0x08
    position = patched.find(b"PK\x01\x02")
    while position >= 0:
        patched[position + 9] &= ~0x08
        position = patched.find(b"PK\x01\x02", position + 1)
    path.write_bytes(patched)
    (tmp_path / "s").mkdir()
    with open_training_set(path, tmp_path / "s") as found:
        assert {m.label for m in found.members} == {"疟疾xx", "正常xx"}


def test_classes_that_look_alike_stop_until_merged(tmp_path: Path) -> None:
    files = [("Nevus/1.png", tmp_path), ("nevus/2.png", tmp_path), ("mel/3.png", tmp_path)]
    with pytest.raises(CoordinatorError) as caught:
        arrange(files, tmp_path, merge_classes=False)
    assert caught.value.code == "intake.classes_alike"
    assert {m.label for m in arrange(files, tmp_path, merge_classes=True).members} == {"Nevus", "mel"}


def test_wrapper_folder_is_forgiven_and_one_class_is_not(tmp_path: Path) -> None:
    found = arrange(
        [("set/a/1.png", tmp_path), ("set/b/2.png", tmp_path), ("set/groups.csv", tmp_path)], tmp_path, False
    )
    assert found.wrapper == "set/" and {m.label for m in found.members} == {"a", "b"} and found.groups_file
    with pytest.raises(CoordinatorError) as caught:
        arrange([("a/1.png", tmp_path)], tmp_path, False)
    assert caught.value.code == "intake.no_classes"


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("name,patient\na/1.png,p1\n", 1),
        ("file,group\na/1.png,p1\nmissing.png,p2\n", 3),
        ("file,group\na/1.png,p1\na/1.png,p2\n", 3),
        ("file,group\na/1.png,\n", 2),
    ],
)
def test_groups_file_errors_name_the_row(tmp_path: Path, text: str, row: int) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(CoordinatorError) as caught:
        read_groups(path, {"a/1.png"}, "")
    assert caught.value.code == "intake.groups" and f"row {row}" in caught.value.message()


def test_groups_file_with_bom_gbk_backslashes_and_wrapper(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_bytes("﻿file,group\r\nset\\a\\1.png,病人一\r\n".encode())
    assert read_groups(path, {"a/1.png"}, "set/") == {"a/1.png": "病人一"}
    path.write_bytes("file,group\na/1.png,病人一\n".encode("gb18030"))
    assert read_groups(path, {"a/1.png"}, "") == {"a/1.png": "病人一"}
