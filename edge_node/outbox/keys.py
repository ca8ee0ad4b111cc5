"""Where the history's key is kept: in the system's keystore where there is one, else in a file that only its owner reads."""

from __future__ import annotations

import asyncio
import base64
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

from edge_node.files import write_atomic
from edge_node.outbox.seal import KEY_BYTES
from edge_node.sqlite import os_failure

_SERVICE = "medmesh-edge"
_KEYSTORE_TIMEOUT_S = 10.0  # a locked keystore asks on the desktop and waits for ever where nobody is
_LEAST_PRIORITY = 1  # what keyring recommends; below are its stand-ins for "none" and plain files

Answer = TypeVar("Answer")


class KeyPlaceError(Exception):
    """The place does not answer, or is none."""


class KeyPlace(Protocol):
    """Somewhere to keep a key."""

    async def read(self, name: str) -> bytes | None:
        """The key called ``name``; None: there is none here.

        Raises:
            KeyPlaceError: that cannot be told now.
        """
        ...

    async def write(self, name: str, key: bytes) -> None:
        """Keep a key.

        Raises:
            KeyPlaceError: it cannot be kept here.
        """
        ...


class KeyFile:
    """One key in a file of mode 0600, whatever it is called; for machines without a keystore."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self, name: str) -> bytes | None:
        """The key; a file that others could read is closed to them."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if os.name == "posix" and stat.S_IMODE(self._path.stat().st_mode) & 0o077:
            self._path.chmod(0o600)
        return _decoded(text.decode("ascii", "replace"))

    async def write(self, name: str, key: bytes) -> None:
        """Write the file.

        Raises:
            EdgeError: ``storage.*``.
        """
        try:
            write_atomic(self._path, base64.b64encode(key) + b"\n", mode=0o600)
        except OSError as error:
            raise os_failure(error, self._path) from error


class SystemKeystore:
    """Keychain, Credential Manager, Secret Service or KWallet, through ``keyring``."""

    def __init__(self) -> None:
        self._asked: threading.Thread | None = None

    async def read(self, name: str) -> bytes | None:
        """The key."""
        text = await self._bounded(lambda: _keyring().get_password(_SERVICE, name))
        return None if text is None else _decoded(text)

    async def write(self, name: str, key: bytes) -> None:
        """Keep the key."""
        text = base64.b64encode(key).decode()
        await self._bounded(lambda: _keyring().set_password(_SERVICE, name, text))

    async def _bounded(self, ask: Callable[[], Answer]) -> Answer:
        """Ask in a thread of its own, which is left behind where it never answers; while it hangs, nothing more is asked."""
        if self._asked is not None and self._asked.is_alive():
            raise KeyPlaceError("the keystore still hangs")
        answer: Future[Answer] = Future()
        answer.set_running_or_notify_cancel()

        def work() -> None:
            try:
                answer.set_result(ask())
            except Exception as error:  # backends raise whatever their system gives them
                answer.set_exception(error)

        self._asked = threading.Thread(target=work, daemon=True)
        self._asked.start()
        try:
            async with asyncio.timeout(_KEYSTORE_TIMEOUT_S):
                return await asyncio.wrap_future(answer)
        except KeyPlaceError:
            raise
        except Exception as error:
            raise KeyPlaceError(type(error).__name__) from error
        finally:
            if answer.done():
                self._asked.join()


class _Backend(Protocol):
    priority: float

    def get_password(self, service: str, username: str) -> str | None: ...

    def set_password(self, service: str, username: str, password: str) -> None: ...


def _keyring() -> _Backend:
    import keyring

    backend: _Backend = keyring.get_keyring()
    if backend.priority < _LEAST_PRIORITY:
        raise KeyPlaceError("no keystore")
    return backend


def _decoded(text: str) -> bytes:
    """The key in ``text``; where it is none, something of the wrong length that opens nothing."""
    with suppress(ValueError):
        return base64.b64decode(text.strip(), validate=True)
    return b""


def is_key(data: bytes | None) -> bool:
    """Whether ``data`` can be a key at all."""
    return data is not None and len(data) == KEY_BYTES
