"""The self-test that travels with a release: small drawn pictures and the scores that they must give.

The pictures are drawn, never taken from patients, and are the same for every release, so they cost a node once.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

PICTURES = 8
EDGE_PX = 32
_SEED = 7
_LEVELS = 16  # few grey levels keep the file at a few kB


def strip() -> bytes:
    """PNG of ``PICTURES`` squares side by side: coloured fields with spots, coarse to fine."""
    generator = np.random.default_rng(_SEED)
    squares = []
    for number in range(PICTURES):
        cells = 3 + number
        field = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        smooth = np.asarray(field.resize((EDGE_PX, EDGE_PX), Image.Resampling.BICUBIC), dtype=np.int32)
        squares.append(smooth // _LEVELS * _LEVELS)
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(squares, axis=1).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
