"""python-tuf's exceptions in the node's own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tuf.api import exceptions

from edge_node.errors import TrustError

_CODES: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.ExpiredMetadataError, "trust.expired"),
    (exceptions.UnsignedMetadataError, "trust.signature"),
    (exceptions.BadVersionNumberError, "trust.rollback"),
    (exceptions.LengthOrHashMismatchError, "trust.mismatch"),
    (exceptions.DownloadLengthMismatchError, "trust.endless"),
)
_MAX_DETAIL = 120


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what the TUF client refuses into ``TrustError``; download failures pass."""
    try:
        yield
    except (exceptions.RepositoryError, exceptions.DownloadLengthMismatchError) as error:
        code = next((code for kind, code in _CODES if isinstance(error, kind)), "trust.malformed")
        raise TrustError(code, detail=_detail(error)) from error


def _detail(error: Exception) -> str:
    """The exception's own words, made safe for one line of a terminal."""
    words = "".join(c if c.isprintable() else " " for c in str(error))
    return " ".join(words.split())[:_MAX_DETAIL]
