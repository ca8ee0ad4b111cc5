"""Making the copies that are kept, while the models run elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from edge_node.capture.keep import Kept, kept_copy
from edge_node.recognition.picture import Picture
from protocols.imaging import ImageError, InputSpec
from protocols.pictures import open_picture


async def kept_copies(pictures: Sequence[Picture], spec: InputSpec) -> list[Kept | None]:
    """A copy of what of each picture the models see; None for one that cannot be read, as its recognition will say."""
    return [await asyncio.to_thread(_copy, picture, spec) for picture in pictures]


def _copy(picture: Picture, spec: InputSpec) -> Kept | None:
    try:
        with open_picture(picture.file, picture.frame) as image:
            return kept_copy(image, spec, picture.crop)
    except (ImageError, OSError):
        return None
