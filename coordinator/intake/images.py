"""Checking one image and making the copy that is kept: upright, RGB or grey, PNG, without any metadata."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coordinator.intake import headers, originals
from coordinator.intake.limits import Limits
from coordinator.store.blobs import FolderBlobs
from protocols.dicom import is_dicom, lacks_head, read_dicom
from protocols.imaging import DECODING_ERRORS, TURNS, ImageError, open_image, orientation, oriented_size, to_rgb

# A node decodes a JPEG at the smallest scale that is twice the model's edge; that is what is kept.
NODE_EDGE_PX = 2 * 299
LARGE_EDGE_PX = 2 * NODE_EDGE_PX  # shorter side from which pictures that cannot be decoded small are made smaller
KEPT_SHORT_EDGE_PX = 640
SMALL_EDGE_PX = 64
CHECK_VERSION = 1  # rises when a check may answer otherwise, so that no unfinished import goes on from old answers
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif")
_KINDS = {
    "SVG": (b"<svg",),
    "HTML": (b"<!doctype html", b"<html"),
    "XML": (b"<?xml",),
    "PDF": (b"%pdf",),
    "PostScript": (b"%!ps", b"\xc5\xd0\xd3\xc6"),
    "Git LFS pointer": (b"version https://git-lfs",),
}
_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n")


@dataclass(frozen=True)
class Wanted:
    """One file to check, and how.

    Attributes:
        blobs: where the copy goes that is kept.
        originals: where the de-identified original goes; None where it is not kept.
        salt: of this site, for what stands for a patient.
    """

    path: Path
    blobs: Path
    min_edge_px: int
    first_frame: bool
    limits: Limits = field(default_factory=Limits)
    originals: Path | None = None
    salt: bytes = b""


@dataclass(frozen=True)
class Facts:
    """What the file was like before it was re-encoded: a model must not learn its class from these.

    Attributes:
        width, height: as a person sees the picture.
        format: Pillow's name, or DICOM.
        border: mean colour of the outermost pixels.
    """

    width: int
    height: int
    format: str
    border: tuple[int, int, int]


@dataclass(frozen=True)
class Checked:
    """What became of it. ``code`` is empty where the image is accepted or waits for a person's look.

    Attributes:
        source: SHA-256 of the file.
        sha256: of the copy that is kept.
        patient: what stands for the patient, from a DICOM file; or empty.
        doubt: why a person has to look first; or empty.
        original: SHA-256 of the de-identified original; or empty.
        turn: EXIF orientation of that original.
    """

    code: str = ""
    reason: dict[str, str] = field(default_factory=dict)
    source: str = ""
    sha256: str = ""
    perceptual: bytes = b""
    notes: tuple[str, ...] = ()
    facts: Facts | None = None
    patient: str = ""
    doubt: str = ""
    original: str = ""
    turn: int = 1


def check(wanted: Wanted) -> Checked:
    """Check one image and store its kept copy. Runs in a worker process; never raises for a bad image."""
    source = ""
    try:
        with wanted.path.open("rb") as file:
            source = hashlib.file_digest(file, "sha256").hexdigest()
        return replace(_check(wanted), source=source)
    except ImageError as error:
        return rejected(too_demanding() if isinstance(error.__cause__, MemoryError) else error, source)
    except MemoryError:
        return rejected(too_demanding(), source)


def rejected(error: ImageError, source: str = "") -> Checked:
    """The answer for a file that cannot be used."""
    return Checked(error.code, {"en": error.message("en"), "zh": error.message("zh")}, source)


def too_demanding() -> ImageError:
    """For a file that ran out of its worker's memory or time, or killed it."""
    return ImageError("image.too_demanding")


def lost(_: Wanted) -> Checked:
    """The answer for a file whose worker died."""
    return rejected(too_demanding())


def _check(wanted: Wanted) -> Checked:
    found = read(wanted)
    kept = found.picture
    levels = np.asarray(kept.convert("L").resize((64, 64)))
    low, high = int(levels.min()), int(levels.max())
    if high <= 2 or low >= 253 or high - low <= 2:
        raise ImageError("image.blank", low=low, high=high)
    data = encode(kept)
    original = ""
    if wanted.originals is not None:
        original = FolderBlobs(wanted.originals).put(originals.cleaned(wanted.path, found.facts.format))
    return Checked(
        sha256=FolderBlobs(wanted.blobs).put(data),
        perceptual=perceptual_hash(kept).tobytes(),
        notes=found.notes,
        facts=found.facts,
        patient=found.patient,
        doubt=found.doubt,
        original=original,
        turn=found.turn,
    )


@dataclass(frozen=True)
class Read:
    """A decoded file: the picture to keep, upright and of the size that is kept, and what was seen on the way."""

    picture: Image.Image
    facts: Facts
    notes: tuple[str, ...] = ()
    patient: str = ""
    doubt: str = ""
    turn: int = 1


def read(wanted: Wanted) -> Read:
    """Decode a picture or DICOM file.

    Raises:
        ImageError: it cannot be used.
    """
    if is_dicom(wanted.path):
        found = headers.read(wanted.path, wanted.salt)
        picture = read_dicom(wanted.path, 1 if wanted.first_frame else None)
        notes = _notes(picture, "RGB", wanted)
        facts = Facts(*picture.size, "DICOM", border(picture))
        return Read(_grey_if_grey(_fitted(picture)), facts, notes, found.patient, found.doubt)
    try:
        with open_image(wanted.path, first_frame=wanted.first_frame) as image:
            megapixels, limits = image.size[0] * image.size[1] / 1e6, wanted.limits
            if megapixels > limits.max_megapixels:
                raise ImageError("image.too_large", megapixels=round(megapixels), limit=limits.max_megapixels)
            if _metadata_bytes(image) > limits.max_metadata_kb * 1000:
                raise ImageError("image.much_metadata", limit=limits.max_metadata_kb)
            notes = (*_notes(image, image.mode, wanted), *_form_notes(image, wanted.path))
            name, size, turn = image.format or "", oriented_size(image), orientation(image)
            if name == "PNG":
                _verify(wanted.path)
            picture = upright(image)
    except ImageError as error:
        if error.code == "image.unreadable" and not isinstance(error.__cause__, MemoryError):
            raise (unlike_picture(wanted.path) or error) from error
        raise
    return Read(picture, Facts(*size, name, border(picture)), notes, turn=turn)


def _fitted(picture: Image.Image) -> Image.Image:
    """A decoded picture in the size that is kept."""
    if min(picture.size) < LARGE_EDGE_PX:
        return picture
    shrink = KEPT_SHORT_EDGE_PX / min(picture.size)
    target = (round(picture.size[0] * shrink), round(picture.size[1] * shrink))
    return picture.resize(target, Image.Resampling.LANCZOS)


def border(picture: Image.Image) -> tuple[int, int, int]:
    """Mean RGB of the outermost row and column on each side."""
    pixels = np.asarray(picture.convert("RGB"))
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).mean(axis=0)
    return int(edge[0]), int(edge[1]), int(edge[2])


def _metadata_bytes(image: Image.Image) -> int:
    parts = [v for v in image.info.values() if isinstance(v, bytes | str)]
    parts += [data for _, data in getattr(image, "applist", [])]
    return sum(map(len, parts))


def _verify(path: Path) -> None:
    """Check all of a PNG: Pillow decodes one whose end is missing."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.verify()
    except DECODING_ERRORS as error:
        raise ImageError("image.unreadable") from error


def unlike_picture(path: Path) -> ImageError | None:
    """A better word than "unreadable" for what often stands under an image's name."""
    with path.open("rb") as file:
        head = file.read(512)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return ImageError("image.heic")
    if lacks_head(path):
        return ImageError("image.dicom_no_meta")
    kinds = [kind for kind, marks in _KINDS.items() if start.startswith(marks)]
    if not head:
        kinds = ["empty"]
    elif not kinds and all(byte in _TEXT for byte in head):
        kinds = ["text"]
    return ImageError("image.other_content", kind=kinds[0]) if kinds else None


def kept_copy(source: Path | bytes) -> bytes:
    """The copy that would be kept of an image.

    Raises:
        ImageError: the image cannot be used.
    """
    if isinstance(source, Path) and is_dicom(source):
        return encode(_grey_if_grey(_fitted(read_dicom(source))))
    with open_image(source) as image:
        return encode(upright(image))


def _notes(image: Image.Image, mode: str, wanted: Wanted) -> tuple[str, ...]:
    if mode == "1":
        raise ImageError("image.mask")
    least = min(image.size)
    if least < wanted.min_edge_px:
        raise ImageError("image.too_small", width=image.size[0], height=image.size[1], limit=wanted.min_edge_px)
    notes = []
    if least < SMALL_EDGE_PX:
        notes.append("small")
    if mode not in ("RGB", "L"):
        notes.append(f"converted from {mode}")
    return tuple(notes)


def _form_notes(image: Image.Image, path: Path) -> Iterator[str]:
    """What a person may want to know of how the picture was stored. The name is that of the file as it was given."""
    if image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA"):
        with path.open("rb") as file:
            file.seek(24)  # depth, in the header that must come first
            if file.read(1) == b"\x10":
                yield "reduced from 16 bits"
    if orientation(image) != 1:
        yield "turned upright"


def upright(image: Image.Image) -> Image.Image:
    """Decode to RGB (or grey where all channels agree), turned as a person sees it, at the scale that a node decodes."""
    turn = orientation(image)
    image.draft(None, (NODE_EDGE_PX, NODE_EDGE_PX))
    try:
        image.load()
        picture = _fitted(to_rgb(image))
    except DECODING_ERRORS as error:
        raise ImageError("image.unreadable") from error
    if turn in TURNS:
        picture = picture.transpose(TURNS[turn])
    return _grey_if_grey(picture)


def _grey_if_grey(picture: Image.Image) -> Image.Image:
    red, green, blue = picture.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else picture


def encode(picture: Image.Image) -> bytes:
    """The kept bytes, PNG. Equal pixels give equal bytes."""
    clean = Image.frombytes(picture.mode, picture.size, picture.tobytes())  # leaves EXIF, comments and profiles behind
    buffer = io.BytesIO()
    clean.save(
        buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE
    )  # as small for photographs, five times as fast
    return buffer.getvalue()


def perceptual_hash(picture: Image.Image) -> NDArray[np.uint8]:
    """256-bit difference hash (dHash): uint8 [32]; near-duplicates differ in few bits."""
    grey = np.asarray(picture.convert("L").resize((17, 16), Image.Resampling.BOX), dtype=np.int16)
    return np.packbits((grey[:, 1:] > grey[:, :-1]).ravel())
