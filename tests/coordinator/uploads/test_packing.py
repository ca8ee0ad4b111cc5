from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from coordinator.errors import CoordinatorError
from coordinator.intake.source import open_training_set
from coordinator.uploads.packing import pack, stream
from coordinator.uploads.remote import part_bytes_for
from tests.support.pictures import write_set


def everything(_: int) -> bool:
    return True


def test_the_same_folder_gives_the_same_zip_and_it_holds_what_the_folder_holds(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 4)
    (folder / ".DS_Store").write_bytes(b"x")
    first = pack(folder, lambda *_: None)
    copied = tmp_path / "copy"
    shutil.copytree(folder, copied)
    os.utime(copied / "groups.csv", (1, 1))
    assert pack(copied, lambda *_: None).sha256 == first.sha256
    target = tmp_path / "sent.zip"
    target.write_bytes(b"".join(data for _, data in first.parts(1000, everything)))
    assert target.stat().st_size == first.size
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert all(i.compress_type == zipfile.ZIP_STORED and i.date_time[0] == 1980 for i in archive.infolist())
    with open_training_set(target, _empty(tmp_path / "spool")) as found, open_training_set(folder, tmp_path) as local:
        assert [m.name for m in found.members] == [m.name for m in local.members]
        assert [m.path.read_bytes() for m in found.members] == [m.path.read_bytes() for m in local.members]
        assert found.groups_file is not None and found.ignored == 0


def test_only_wanted_parts_come_out_each_in_its_place(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 3)
    whole = b"".join(stream(folder))
    packed = pack(folder, lambda *_: None)
    parts = dict(packed.parts(777, lambda n: n % 3 == 1))
    assert parts == {n: whole[n * 777 : (n + 1) * 777] for n in range(-(-len(whole) // 777)) if n % 3 == 1}


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_changes_while_it_is_sent_is_noticed(tmp_path: Path, kind: str) -> None:
    source = write_set(tmp_path / "set", 2) if kind == "folder" else tmp_path / "a.zip"
    if kind == "file":
        source.write_bytes(b"1" * 5000)
    packed = pack(source, lambda *_: None)
    (source / "groups.csv" if kind == "folder" else source).write_bytes(b"2" * 5000)
    with pytest.raises(CoordinatorError, match=r"upload\.changed"):
        list(packed.parts(1000, everything))


def test_links_and_emptiness_are_refused(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 2)
    (folder / "parasitized" / "x.png").symlink_to("/etc/passwd")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, code in (
        (folder, "intake.zip.bad_entry"),
        (_empty(tmp_path / "empty"), "upload.empty"),
        (tmp_path / "none", "file.not_found"),
        (pipe, "file.wrong_kind"),
    ):
        with pytest.raises(CoordinatorError) as caught:
            pack(path, lambda *_: None)
        assert caught.value.code == code


def test_names_that_are_no_utf8_are_read_as_a_chinese_windows_wrote_them(tmp_path: Path) -> None:
    folder = tmp_path / "set" / os.fsdecode("肺炎".encode("gb18030"))
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(b"x")
    (tmp_path / "sent.zip").write_bytes(b"".join(stream(tmp_path / "set")))
    assert zipfile.ZipFile(tmp_path / "sent.zip").namelist() == ["肺炎/1.png"]


def test_parts_grow_with_the_file_and_stay_few() -> None:
    assert part_bytes_for(1) == part_bytes_for(2 * 1024**3) == 1024**2
    assert part_bytes_for(20 * 1024**3) == 16 * 1024**2


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder
