"""Everything that a node sends is recorded, from joining to the clinician's word: nothing of picture or patient is in it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from protocols.results.batch import unpack
from protocols.results.report import Confirmation, ResultReport
from tests.edge_node.support.commands import edge
from tests.edge_node.support.server import CoordinatorServer

CASE = "Wang Xiaoming 王小明 1971-03-04"
NAME = "王小明_ward-7_IMG0042"
EXIF = {
    0x010F: "ACME-Endoscopes",
    0x0110: "Scope-9000",
    0x0131: "CaptureWare",
    0x013B: "Dr Secret",
    0x9003: "2026:01:31 08:15:42",
}
_WINDOW = 12


def photograph() -> bytes:
    """A JPEG of a reddish kind, unlike any other in each of its rows, with camera, author, time and thumbnail in its EXIF."""
    noise = np.random.default_rng(7).integers(0, 60, (120, 120, 3), dtype=np.uint8)
    noise[..., 0] += 180
    exif = Image.Exif()
    for tag, text in EXIF.items():
        exif[tag] = text
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def windows(data: bytes) -> set[bytes]:
    return {data[start : start + _WINDOW] for start in range(len(data) - _WINDOW + 1)}


class Secrets:
    """What must not leave, in every form in which it might."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        small = np.asarray(Image.open(io.BytesIO(data)).resize((32, 32)))
        self._pieces = windows(data) | windows(pixels.tobytes()) | windows(small.tobytes())
        self._pieces |= windows(base64.b64encode(data)) | windows(pixels.astype(np.float32).tobytes())
        digest = hashlib.sha256(data).digest()
        texts = [CASE, "王小明", NAME, path.name, str(path.parent), *EXIF.values(), digest.hex(), "Exif\0"]
        forms = [digest, digest[:8], digest.hex()[:12].encode(), b"\xff\xd8\xff"]
        for text in texts:
            forms += [text.encode(), text.encode("utf-16-le"), base64.b64encode(text.encode()).rstrip(b"=")]
            forms += [json.dumps(text)[1:-1].encode(), text.encode().hex().encode()]
        self._forms = forms

    def found_in(self, sent: bytes) -> list[bytes]:
        """What of it is in ``sent``."""
        return [form for form in self._forms if form in sent] + sorted(windows(sent) & self._pieces)[:3]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / f"{NAME}.jpg"
    path.write_bytes(photograph())
    return path


def as_bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


def test_nothing_of_the_picture_its_name_its_case_or_its_exif_is_ever_sent(
    joined: Path, coordinator: CoordinatorServer, image: Path
) -> None:
    assert edge(joined, "pull", "malaria").code == 0
    recognised = edge(joined, "recognise", str(image), "--all", "--case", CASE).json["results"]
    assert recognised[0]["case"] == CASE and NAME in recognised[0]["image"]
    result = recognised[0]["id"]
    assert edge(joined, "confirm", result, "--label", "red").code == 0
    assert edge(joined, "sync").json["outbox"]["queued"] == 0
    assert edge(joined, "models").code == 0

    gateway = coordinator.gateway
    frames = [frame for frame in gateway.heard if isinstance(frame, bytes)]
    assert frames
    sent = [*coordinator.received, *gateway.requests, *map(as_bytes, gateway.heard), *map(zlib.decompress, frames)]
    secrets = Secrets(image)
    assert [found for data in sent for found in secrets.found_in(data)] == []
    for leak in (
        image.read_bytes()[700:760],
        json.dumps({"case": CASE}).encode(),
        str(image).encode(),
        b"ACME-Endoscopes",
    ):
        assert secrets.found_in(sent[-1] + leak), "the search itself works"

    reports = [report for frame in frames for report in unpack(frame)]
    ours = next(r for r in reports if r.id == result)
    assert isinstance(ours, ResultReport) and ours.scores[0].label == "red"
    assert [(r.result, r.label) for r in reports if isinstance(r, Confirmation)] == [(result, "red")]
    assert sum(map(len, frames)) < 600 * len(frames), "a few hundred bytes"


def test_a_node_with_nothing_to_tell_says_nothing(joined: Path, coordinator: CoordinatorServer) -> None:
    assert edge(joined, "sync").code == 0
    assert coordinator.gateway.requests == []
