"""Opening a picture file of whatever kind that is taken, by its content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from PIL import Image

from protocols.dicom import is_dicom, lacks_head, read_dicom
from protocols.imaging import DECODING_ERRORS, MAX_PIXELS, MIN_EDGE_PX, ImageError, open_image


@contextmanager
def open_picture(path: Path, frame: int | None = None) -> Iterator[Image.Image]:
    """As ``imaging.open_image``, for DICOM too.

    Args:
        path: the file.
        frame: which of several pictures in it, from 1; without it, a file with several is refused.

    Raises:
        ImageError: ``image.*``.
        OSError: the file itself cannot be read.
    """
    if is_dicom(path):
        yield read_dicom(path, frame)
        return
    with ExitStack() as opened:
        try:
            image = opened.enter_context(open_image(path, first_frame=frame is not None))
        except ImageError as error:
            if error.code == "image.unreadable" and lacks_head(path):
                raise ImageError("image.dicom_no_meta") from error
            raise
        if frame is not None:
            _go_to(image, frame)
        yield image


def _go_to(image: Image.Image, frame: int) -> None:
    frames = getattr(image, "n_frames", 1)
    if not 1 <= frame <= frames:
        raise ImageError("image.frame_absent", frame=frame, frames=frames)
    if frame == 1:
        return
    try:
        image.seek(frame - 1)
    except DECODING_ERRORS as error:
        raise ImageError("image.unreadable") from error
    width, height = image.size  # pages may differ
    if width * height > MAX_PIXELS:
        raise ImageError("image.too_large", megapixels=round(width * height / 1e6), limit=MAX_PIXELS // 1_000_000)
    if min(width, height) < MIN_EDGE_PX:
        raise ImageError("image.too_small", width=width, height=height, limit=MIN_EDGE_PX)
