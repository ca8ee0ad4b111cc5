"""Lists of addresses in the settings. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

MOST = 64


def parse_peers(text: str) -> tuple[tuple[str, int], ...]:
    """Read ``host:port,[2001:db8::1]:port``.

    Raises:
        ValueError: one of them is no such address, or there are more than ``MOST``.
    """
    return tuple(_host_and_port(part) for part in _parts(text))


def parse_mirrors(text: str) -> tuple[str, ...]:
    """Read base addresses, ``https://host/path,http://host:port``; without a slash at the end.

    Raises:
        ValueError: one of them is no such address, or there are more than ``MOST``.
    """
    return tuple(_base(part) for part in _parts(text))


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if len(parts) > MOST or not text.isascii():
        raise ValueError(text)
    return parts


def _host_and_port(text: str) -> tuple[str, int]:
    found = urlsplit(f"//{text}")
    if found.netloc != text or found.username is not None or found.hostname is None or not found.port:
        raise ValueError(text)
    return _host(found.hostname), found.port


def _base(text: str) -> str:
    found = urlsplit(text)
    if found.scheme not in ("http", "https") or found.hostname is None or found.query or found.fragment:
        raise ValueError(text)
    _host(found.hostname)
    if found.username is not None or found.port == 0:  # a password would stand in messages
        raise ValueError(text)
    return text.rstrip("/")


def _host(name: str) -> str:
    if not all(character.isalnum() or character in "-.:_" for character in name):
        raise ValueError(name)
    return name
