"""Maps of images as the trunk computes them, kept on disk within a limit, read through memory maps.

Each map is stored as uint8, one scale a channel and image: its maximum there. InceptionV3's mixed layers are never negative,
so nothing has to be fitted on any image, and a value is off by at most 1/510 of its channel's maximum (docs/adr/0024).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Maps:
    """Where the maps of a list of images lie; small, to be handed to a child process.

    Attributes:
        shape: (height, width, channels), of every layer.
        shards: the files.
        places: by layer int64 [1 + views, images, 2]: number of the file and of the record in it; view 0 is the image itself.
    """

    shape: tuple[int, int, int]
    shards: tuple[Path, ...]
    places: dict[str, NDArray[np.int64]]

    def read(self, layer: str, images: NDArray[np.int64], view: int = 0) -> NDArray[np.float32]:
        """Maps of some images, float32 [images, height, width, channels]."""
        raise NotImplementedError
