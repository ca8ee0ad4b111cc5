"""Pictures, each in the region that is suggested for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_node.capture.guarded import GuardedSuggestions
from edge_node.recognition.picture import Picture
from protocols.imaging import ImageError
from protocols.manifest import ReleaseManifest


async def cropped(
    pictures: Sequence[Picture], suggestions: GuardedSuggestions, releases: Sequence[ReleaseManifest]
) -> list[Picture]:
    """The same pictures with a crop; one release's subject is looked for, of several only a plain rectangle.

    A release that dies over it is in quarantine afterwards: ask anew what is to run.
    """
    model = releases[0] if len(releases) == 1 else None
    return [await _cropped(picture, suggestions, model) for picture in pictures]


async def _cropped(picture: Picture, suggestions: GuardedSuggestions, model: ReleaseManifest | None) -> Picture:
    try:
        crop = await suggestions.suggest(picture.file, model, picture.frame)
    except (ImageError, OSError):  # recognising it will say so
        return picture
    return replace(picture, crop=crop, is_suggested=crop is not None)
