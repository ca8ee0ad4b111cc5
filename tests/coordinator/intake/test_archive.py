"""Archives: each trick is refused whole, with the entry named, and nothing is unpacked for it."""

from __future__ import annotations

import io
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from coordinator.errors import CoordinatorError
from coordinator.intake.limits import Limits
from coordinator.intake.source import open_training_set
from tests.support.pictures import noise, png

PICTURE = png(noise(1))
GOOD = {"a/1.png": PICTURE, "b/2.png": PICTURE}


def packed(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name) if "\\" in name else name, data)
    return buffer.getvalue()


def info(**attributes: object) -> bytes:
    """Two good files and one entry with these attributes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in GOOD.items():
            archive.writestr(name, data)
        entry = zipfile.ZipInfo("a/odd.png")
        for name, value in attributes.items():
            setattr(entry, name, value)
        archive.writestr(entry, b"/etc/passwd")
    return buffer.getvalue()


def directory(data: bytes, change: Callable[[bytearray, int], None]) -> bytes:
    """Change each entry of the directory at the end; ``change`` gets all bytes and where the entry starts."""
    changed, at = bytearray(data), data.find(b"PK\x01\x02")
    while at >= 0:
        change(changed, at)
        at = data.find(b"PK\x01\x02", at + 1)
    return bytes(changed)


def encrypted() -> bytes:
    def flag(data: bytearray, at: int) -> None:
        data[at + 8] |= 1

    return directory(packed(GOOD), flag)


def lied(by: int) -> bytes:
    def size(data: bytearray, at: int) -> None:
        struct.pack_into("<L", data, at + 24, len(PICTURE) + by)

    return directory(packed(GOOD), size)


def crc() -> bytes:
    data = bytearray(packed(GOOD, zipfile.ZIP_STORED))
    data[60] ^= 0xFF  # within the first picture
    return bytes(data)


def overlapping() -> bytes:
    """Two entries that share their bytes, as in the zip bombs of David Fifield."""
    offsets: list[int] = []

    def point(data: bytearray, at: int) -> None:
        offsets.append(at)
        if len(offsets) == 2:
            data[at + 42 : at + 46] = data[offsets[0] + 42 : offsets[0] + 46]

    return directory(packed(GOOD), point)


def twice() -> bytes:
    buffer = io.BytesIO()
    with pytest.warns(UserWarning), zipfile.ZipFile(buffer, "w") as archive:
        for name in ("a/1.png", "a/1.png", "b/1.png"):
            archive.writestr(name, PICTURE)
    return buffer.getvalue()


def with_entry(name: str, data: bytes = PICTURE) -> Callable[[], bytes]:
    return lambda: packed({**GOOD, name: data})


def with_info(**attributes: object) -> Callable[[], bytes]:
    return lambda: info(**attributes)


TRAVERSAL, BAD, DAMAGED = "intake.zip.path_traversal", "intake.zip.bad_entry", "intake.zip.damaged"
ROWS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "dot dot": (with_entry("../a/odd.png"), TRAVERSAL, "odd.png"),
    "dot dot inside": (with_entry("a/../../odd.png"), TRAVERSAL, "odd.png"),
    "dot dot with backslash": (with_entry("a\\..\\odd.png"), TRAVERSAL, "odd.png"),
    "absolute": (with_entry("/a/odd.png"), TRAVERSAL, "odd.png"),
    "network share": (with_entry("\\\\server\\odd.png"), TRAVERSAL, "odd.png"),
    "drive letter": (with_entry("C:/a/odd.png"), TRAVERSAL, "C:/a/odd.png"),
    "drive letter without slash": (with_entry("c:odd.png"), TRAVERSAL, "c:odd.png"),
    "backslash": (with_entry("a\\odd.png"), BAD, "odd.png"),
    "control character": (with_entry("a/o\x07dd.png"), BAD, "o\\x07dd.png"),
    "right-to-left override is shown": (with_entry("../\u202egnp.exe"), TRAVERSAL, "\\u202e"),
    "endless name": (with_entry("a/" + "x" * 2000 + ".png"), BAD, "more than 1000"),
    "symbolic link": (with_info(external_attr=(stat.S_IFLNK | 0o777) << 16), BAD, "symbolic link"),
    "device": (with_info(external_attr=(stat.S_IFCHR | 0o777) << 16), BAD, "not a plain file"),
    "unusual compression": (with_info(compress_type=zipfile.ZIP_LZMA), BAD, "unusual"),
    "ratio": (with_entry("a/odd.png", b"\0" * 30_000_000), BAD, "far more"),
    "nested zip": (with_entry("a/inner.zip"), BAD, "inner.zip"),
    "nested tar": (with_entry("a/inner.TAR"), BAD, "inner.TAR"),
    "twice": (twice, BAD, "stands twice"),
    "overlapping": (overlapping, BAD, "overlaps"),
    "encrypted": (encrypted, BAD, "encrypted"),
    "crc": (crc, DAMAGED, "damaged"),
    "lied size, smaller": (lambda: lied(-10), DAMAGED, "damaged"),
    "lied size, larger": (lambda: lied(1000), DAMAGED, "damaged"),
    "truncated": (lambda: packed(GOOD)[:-40], DAMAGED, "damaged"),
    "cut in half": (lambda: packed(GOOD)[: len(PICTURE)], DAMAGED, "damaged"),
    "no zip": (lambda: b"hello", "intake.not_a_dataset", "neither"),
    "empty zip": (lambda: packed({}), "intake.no_classes", "0 class folder"),
    "one class": (lambda: packed({"a/1.png": PICTURE}), "intake.no_classes", "1 class folder"),
    "alike in case": (with_entry("A/3.png"), "intake.classes_alike", "A, a"),
    "alike in encoding": (
        lambda: packed({f"{unicodedata.normalize(f, 'é')}/1.png": PICTURE for f in ("NFC", "NFD")} | GOOD),
        "intake.classes_alike",
        "é",
    ),
    "parts of a split": (
        lambda: packed({f"{part}/{c}/1.png": PICTURE for part in ("train", "Test") for c in "ab"}),
        "intake.split_folders",
        "Test, train",
    ),
    "nameless class": (with_entry(" /1.png"), "intake.bad_class", "1 to 120"),
    "endless class": (with_entry("x" * 121 + "/1.png"), "intake.bad_class", "120"),
}


def refusal(data: bytes, tmp_path: Path, limits: Limits | None = None) -> CoordinatorError:
    path, spool = tmp_path / "set.zip", tmp_path / "spool"
    path.write_bytes(data)
    spool.mkdir()
    with pytest.raises(CoordinatorError) as caught, open_training_set(path, spool, limits=limits):
        pass
    return caught.value


@pytest.mark.parametrize("row", ROWS)
def test_refused(tmp_path: Path, row: str) -> None:
    build, code, word = ROWS[row]
    error = refusal(build(), tmp_path)
    assert (error.code, word in error.message()) == (code, True), error.message()
    if code in (TRAVERSAL, BAD):
        assert list((tmp_path / "spool").iterdir()) == [], "checked before a byte is unpacked"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_entries=1), "intake.zip.too_large"),
        (Limits(max_total_mb=1), "intake.zip.too_large"),
        (Limits(max_entry_mb=1), "intake.zip.bad_entry"),
    ],
)
def test_settings_limit_entries_and_sizes(tmp_path: Path, limits: Limits, code: str) -> None:
    large = {f"{c}/large.png": bytes(noise(1, 600).tobytes()) for c in "ab"}
    assert refusal(packed(large, zipfile.ZIP_STORED), tmp_path, limits).code == code


def test_a_directory_of_millions_is_not_even_read(tmp_path: Path) -> None:
    entry = packed({"a/1.png": b"x"}, zipfile.ZIP_STORED)
    at = entry.find(b"PK\x01\x02")
    one, end = entry[at : entry.find(b"PK\x05\x06")], bytearray(entry[entry.find(b"PK\x05\x06") :])
    count = 300_000
    struct.pack_into("<HHLL", end, 8, 1, 1, len(one) * count, at)  # it says that there is one
    error = refusal(entry[:at] + one * count + bytes(end), tmp_path)
    assert error.code == "intake.zip.too_large" and "entries" in error.message()


def read(data: bytes, tmp_path: Path) -> dict[str, str]:
    path, spool = tmp_path / "set.zip", tmp_path / "spool"
    path.write_bytes(data)
    spool.mkdir()
    with open_training_set(path, spool) as found:
        assert all(m.path.parent == spool and m.path.name.isdigit() for m in found.members), "names of our own"
        return {m.name: m.label for m in found.members}


def windows_zip(labels: dict[bytes, bytes]) -> bytes:
    """A zip with raw names and without the UTF-8 flag, built by hand as old Windows programs do."""
    parts, central = [], []
    offset = 0
    for name, content in labels.items():
        crc_, size = zlib.crc32(content), len(content)
        common = struct.pack("<HHHHHLLLHH", 20, 0, 0, 0, 0x5A21, crc_, size, size, len(name), 0)
        parts.append(b"PK\x03\x04" + common + name + content)
        central.append(
            b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHLL", 0, 0, 0, 0x20, offset) + name
        )
        offset += len(parts[-1])
    listed = b"".join(central)
    end = struct.pack("<HHHHLLH", 0, 0, len(central), len(central), len(listed), offset, 0)
    return b"".join(parts) + listed + b"PK\x05\x06" + end


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8"])
def test_names_that_are_not_flagged(tmp_path: Path, encoding: str) -> None:
    names = ("疟疾/镜检 1.png", "正常/镜检 2.png", "正常/𠮷.png")
    found = read(windows_zip({n.encode(encoding): PICTURE for n in names}), tmp_path)
    assert found == {n: n.split("/")[0] for n in names}


def test_names_that_windows_reserves_are_only_data(tmp_path: Path) -> None:
    names = {"CON/nul.png": "CON", "CON/a .": "CON", "aux./LPT1": "aux.", "b*?/<1>|.png": "b*?"}
    assert read(packed(dict.fromkeys(names, PICTURE)), tmp_path) == names


def test_folder_with_names_in_a_chinese_encoding(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for label in ("疟疾", "正常"):
        inside = folder / bytes(label, "gb18030").decode("utf-8", "surrogateescape")
        inside.mkdir(parents=True)
        (inside / "1.png").write_bytes(PICTURE)
    with open_training_set(folder, tmp_path) as found:
        assert {m.label for m in found.members} == {"疟疾", "正常"}


def test_folder_with_a_link_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "l.png").symlink_to("/etc/passwd")
    with pytest.raises(CoordinatorError) as caught, open_training_set(folder, tmp_path):
        pass
    assert caught.value.code == BAD and "l.png" in caught.value.message()


def test_hidden_files_are_counted_and_others_beside_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    hidden = ("__MACOSX/a/._1.png", "a/Thumbs.db", ".DS_Store", "b/.hidden/1.png", "a/desktop.ini")
    path.write_bytes(packed({**GOOD, **dict.fromkeys(hidden, b"x"), "notes.txt": b"x", "a/deep/er/3.png": PICTURE}))
    (tmp_path / "s").mkdir()
    with open_training_set(path, tmp_path / "s") as found:
        assert [(m.name, m.label) for m in found.members] == [
            ("a/1.png", "a"),
            ("b/2.png", "b"),
            ("a/deep/er/3.png", "a"),
        ]
        assert (found.ignored, found.beside, found.nested) == (5, ["notes.txt"], 1)
