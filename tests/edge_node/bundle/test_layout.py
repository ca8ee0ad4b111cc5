"""What is not a bundle byte for byte is refused before anything of it is used."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_node.bundle.reader import Bundle
from edge_node.bundle.writer import write_bundle
from edge_node.errors import EdgeError
from protocols.artifacts import Artifact, canonical_json
from protocols.bundle import MAX_ENTRIES, is_name
from protocols.errors import MedMeshError
from tests.edge_node.bundle.support import HEADER

SHA = "ab" * 32


def zipped(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED, **zip_options: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method, **zip_options) as archive:
        archive.writestr(zipfile.ZipInfo("bundle.json"), canonical_json(HEADER))
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, data)
    return buffer.getvalue()


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(MedMeshError) as caught:
        Bundle.opened(path)
    assert path.read_bytes() == data
    return caught.value.code


WHOLE = zipped([(f"artifacts/{SHA}", b"x" * 500), ("tuf/metadata/1.root.json", b"{}")])


def test_what_the_writer_writes_is_read_and_any_unpacker_agrees(tmp_path: Path) -> None:
    data, path = b"model" * 1000, tmp_path / "a"
    path.write_bytes(data)
    artifact = Artifact.of("head", data)
    told: list[int] = []
    files = {"tuf/metadata/timestamp.json": b"{}", f"parcels/{SHA}": b"p"}
    size = write_bundle(tmp_path / "b.medmesh", HEADER, files, [(artifact, path)], told.append)
    opened = Bundle.opened(tmp_path / "b.medmesh")
    assert opened.holds(artifact) and not opened.holds(Artifact.of("head", b"other"))
    assert (sum(told), size) == (len(data) + 3, (tmp_path / "b.medmesh").stat().st_size)
    with zipfile.ZipFile(tmp_path / "b.medmesh") as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {"bundle.json", *files, f"artifacts/{artifact.sha256}"}


@pytest.mark.parametrize("length", [0, 1, 21, 22, 100, len(WHOLE) // 2, len(WHOLE) - 22, len(WHOLE) - 1])
def test_truncated(tmp_path: Path, length: int) -> None:
    assert refusal(tmp_path / "t", WHOLE[:length]) == "bundle.malformed"


def test_every_byte_of_the_structure_counts(tmp_path: Path) -> None:
    """A changed byte is refused, or it is one of those that say nothing: content, times, checksums, attributes."""
    opened = 0
    for at in range(len(WHOLE)):
        data = WHOLE[:at] + bytes([WHOLE[at] ^ 1]) + WHOLE[at + 1 :]
        (tmp_path / "t").write_bytes(data)
        try:
            found = Bundle.opened(tmp_path / "t")
        except MedMeshError as error:
            assert error.code in ("bundle.malformed", "bundle.newer")
            continue
        opened += 1
        assert all(is_name(entry.name) for entry in found.below(""))
        assert sum(entry.size_bytes for entry in found.below("")) < len(WHOLE)
    assert 500 < opened < 800


@pytest.mark.parametrize(
    "name",
    [
        "../edge/identity/identity.json",
        "/etc/passwd",
        "C:\\evil",
        "artifacts/../../evil",
        "artifacts/short",
        f"artifacts/{SHA}/x",
        f"artifacts/{SHA.upper()}",
        f"artifacts/{SHA}\n",
        "tuf/metadata/../timestamp.json",
        "tuf/metadata/0.root.json",
        "tuf/targets/releases/malaria/../../x",
        "readme.txt",
        "artifacts/",
        "疟疾",
    ],
)
def test_a_name_that_is_not_on_the_list(tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path / "t", zipped([(name, b"x")])) == "bundle.malformed"
    assert list(tmp_path.iterdir()) == [tmp_path / "t"]


def test_a_hundred_thousand_entries_are_refused_unread(tmp_path: Path) -> None:
    entry = zipped([(f"artifacts/{SHA}", b"")])
    at = entry.index(b"PK\1\2")
    directory = entry[at:-22] * 50_000
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory), at, 0)
    assert refusal(tmp_path / "t", entry[:at] + directory + end) == "bundle.malformed"
    many = zipped([(f"artifacts/{number:064x}", b"") for number in range(MAX_ENTRIES)])
    assert refusal(tmp_path / "u", many) == "bundle.malformed"


def repeated() -> bytes:
    with pytest.warns(UserWarning):
        return zipped([(f"artifacts/{SHA}", b"x"), (f"artifacts/{SHA}", b"y")])


def overlapping() -> bytes:
    """Two entries that are the same bytes."""
    one, two = f"artifacts/{'1' * 64}", f"artifacts/{'2' * 64}"
    data = zipped([(one, b"x"), (two, b"y")])
    directory = data.index(b"PK\1\2")
    second = data.index(two.encode(), directory) - 46
    first_start = data[data.index(one.encode(), directory) - 4 : data.index(one.encode(), directory)]
    return data[: second + 42] + first_start + data[second + 46 :]


@pytest.mark.parametrize(
    "make",
    [
        repeated,
        overlapping,
        lambda: zipped([(f"artifacts/{SHA}", b"0" * 10**6)], zipfile.ZIP_DEFLATED),
        lambda: b"MZ program" + WHOLE,
        lambda: WHOLE + b"trailing",
        lambda: WHOLE[: WHOLE.index(b"PK\1\2")] + b"gap" + WHOLE[WHOLE.index(b"PK\1\2") :],
        lambda: WHOLE.replace(b"PK\3\4\x14\0\0\0", b"PK\3\4\x14\0\1\0"),
        lambda: zipped([])[:0] + b"PK\5\6" + bytes(18),
    ],
)
def test_a_zip_that_is_more_or_other_than_its_files(tmp_path: Path, make: Callable[[], bytes]) -> None:
    assert refusal(tmp_path / "t", make()) == "bundle.malformed"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"{", "bundle.malformed"),
        (b"[" * 60_000, "bundle.malformed"),
        (b"{}" + b" " * 70_000, "bundle.malformed"),
        (canonical_json({**HEADER, "format": "medmesh.bundle/2"}), "bundle.newer"),
        (canonical_json({**HEADER, "format": "zip"}), "bundle.malformed"),
        (canonical_json({**HEADER, "timestamp": "1"}), "bundle.malformed"),
        (canonical_json({**HEADER, "coordinator": None}), "bundle.malformed"),
    ],
)
def test_a_header_that_cannot_be_read(tmp_path: Path, header: bytes, code: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("bundle.json"), header)
    assert refusal(tmp_path / "t", buffer.getvalue()) == code


def test_a_full_stick_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, source = tmp_path / "b.medmesh", tmp_path / "source"
    out.write_bytes(b"former")
    source.write_bytes(b"x" * 5_000_000)
    artifact = Artifact.of("head", source.read_bytes())
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before, former = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    try:
        with pytest.raises(EdgeError) as caught:
            write_bundle(out, HEADER, {}, [(artifact, source)], lambda _: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, former)
    assert (caught.value.code, caught.value.kind.exit_code) == ("bundle.stick_full", 6)
    assert out.read_bytes() == b"former" and sorted(tmp_path.iterdir()) == [out, source]


def test_a_damaged_artifact_is_not_written(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"altered")
    with pytest.raises(EdgeError) as caught:
        write_bundle(tmp_path / "b", HEADER, {}, [(Artifact.of("head", b"genuine"), source)], lambda _: None)
    assert caught.value.code == "edge.cache_damaged" and not (tmp_path / "b").exists()
