"""Where a labelled image of this site is read from: the file that was named, or the sealed copy that the history kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from edge_node.capture.keep import Kept
from edge_node.errors import EdgeError
from edge_node.federation.folder import Found

Content = Path | bytes


class Copies(Protocol):
    """The history's copies of pictures; ``edge_node.outbox.pictures.Pictures`` in the field."""

    async def results(self) -> Collection[str]:
        """Ids of the results whose picture is kept."""
        ...

    async def of(self, result: str) -> Kept | None:
        """The copy of the picture that a result is about."""
        ...


class NoCopies:
    """There is no history, or it cannot be opened now."""

    async def results(self) -> Collection[str]:
        """See ``Copies``."""
        return ()

    async def of(self, _: str) -> Kept | None:
        """See ``Copies``."""
        return None


async def present(images: Sequence[Found], copies: Copies) -> list[Found]:
    """Those that can be read now."""
    kept = frozenset(await copies.results())
    return [i for i in images if (i.path.exists() if i.result is None else i.result in kept)]


async def content(image: Found, copies: Copies) -> Content | None:
    """What an image is read from; None where it is gone or damaged. A copy is opened in memory alone."""
    if image.result is None:
        return image.path
    try:
        kept = await copies.of(image.result)
    except EdgeError:
        return None
    return None if kept is None else kept.data
