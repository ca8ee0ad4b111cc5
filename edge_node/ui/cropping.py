"""Moving and resizing the region of a picture. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from protocols.imaging import MIN_EDGE_PX, Box

Handle = Literal["move", "top_left", "top_right", "bottom_left", "bottom_right"]
HANDLES: tuple[Handle, ...] = ("top_left", "top_right", "bottom_left", "bottom_right")
STEP = 0.02  # of the shorter side, for one press of a key
LEAST_SHARE = 0.05  # of the shorter side: smaller regions happen by accident


def least_edge(width: int, height: int) -> int:
    """The smallest side that a region of a ``width`` x ``height`` picture may have, in pixels."""
    shorter = min(width, height)
    return min(shorter, max(MIN_EDGE_PX, round(shorter * LEAST_SHARE)))


def moved(box: Box, dx: int, dy: int, width: int, height: int) -> Box:
    """The region shifted, stopped by the picture's edges."""
    x = min(max(box.x + dx, 0), width - box.width)
    y = min(max(box.y + dy, 0), height - box.height)
    return replace(box, x=x, y=y)


def dragged(box: Box, handle: Handle, dx: int, dy: int, width: int, height: int) -> Box:
    """The region after dragging one of its handles by (dx, dy) pixels, inside the picture and not too small."""
    if handle == "move":
        return moved(box, dx, dy, width, height)
    least = least_edge(width, height)
    left, top, right, bottom = box.x, box.y, box.x + box.width, box.y + box.height
    if handle.endswith("left"):
        left = min(max(left + dx, 0), right - least)
    else:
        right = max(min(right + dx, width), left + least)
    if handle.startswith("top"):
        top = min(max(top + dy, 0), bottom - least)
    else:
        bottom = max(min(bottom + dy, height), top + least)
    return Box(left, top, right - left, bottom - top)


def scaled(box: Box, steps: int, width: int, height: int) -> Box:
    """The region grown (or shrunk, for negative ``steps``) about its middle."""
    by = round(min(width, height) * STEP) * steps
    least = least_edge(width, height)
    wide = min(max(box.width + 2 * by, least), width)
    high = min(max(box.height + 2 * by, least), height)
    centred = Box(box.x + (box.width - wide) // 2, box.y + (box.height - high) // 2, wide, high)
    return moved(centred, 0, 0, width, height)


def within(box: Box, width: int, height: int) -> Box:
    """The part of ``box`` that lies in the picture, enlarged where it would be too small."""
    least = least_edge(width, height)
    wide, high = min(max(box.width, least), width), min(max(box.height, least), height)
    return moved(Box(box.x, box.y, wide, high), 0, 0, width, height)
