"""Requests that a browser sends in its owner's name without its owner's will: how they are told from wanted ones. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def csrf_token(secret: str) -> str:
    """The token that the forms of one session carry; it gives its secret away to nobody."""
    digest = hmac.digest(secret.encode(), b"medmesh csrf", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def right_token(sent: str, expected: str) -> bool:
    """Whether a form came from a page of this session. Takes the same time wherever the token is wrong."""
    return hmac.compare_digest(sent.encode("utf-8", "surrogateescape"), expected.encode())


def same_origin(origin: str | None, fetch_site: str | None, host: str | None, own: Collection[str] = ()) -> bool:
    """Whether a state-changing request comes from a page of our own.

    Args:
        origin: the ``Origin`` header; browsers send it with every POST. ``null`` is a stranger's.
        fetch_site: the ``Sec-Fetch-Site`` header; pages cannot set it.
        host: the ``Host`` header: what the browser believes to speak with.
        own: further origins of ours, for a proxy that hands on another ``Host``.
    """
    if origin is None or (fetch_site is not None and fetch_site != "same-origin"):
        return False
    told = origin.lower()
    return told in own or (bool(host) and told == f"https://{(host or '').lower()}")


def own_path(path: str, otherwise: str) -> str:
    """Where to go after signing in: a path of ours, never another host's page."""
    if not path.startswith("/") or path[1:2] in ("/", "\\") or len(path) > 500 or not path.isascii():
        return otherwise
    return path if path.isprintable() and "\\" not in path else otherwise
