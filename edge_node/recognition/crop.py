"""Reading ``--crop x,y,w,h``."""

from __future__ import annotations

import re

from edge_node.errors import EdgeError
from protocols.imaging import Box

_FORM = re.compile(r"\s*(\d{1,6})\s*,\s*(\d{1,6})\s*,\s*([1-9]\d{0,5})\s*,\s*([1-9]\d{0,5})\s*", re.ASCII)


def parse_crop(text: str) -> Box:
    """A box in pixels of the picture as a person sees it.

    Raises:
        EdgeError: ``edge.crop_malformed``.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise EdgeError("edge.crop_malformed", text=text)
    return Box(*(int(number) for number in found.groups()))
