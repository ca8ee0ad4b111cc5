"""Where a labelled image of this site is read from: the file that was named, or the sealed copy that the history kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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


CopiesOf = Callable[[], AbstractAsyncContextManager[Copies]]


@asynccontextmanager
async def no_copies() -> AsyncIterator[Copies]:
    """Originals alone."""
    yield NoCopies()


def copies_for(images: Sequence[Found], opening: CopiesOf) -> AbstractAsyncContextManager[Copies]:
    """The history is opened, which may ask a keystore, only where one of the images lies in it."""
    return opening() if any(image.result is not None for image in images) else no_copies()


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
