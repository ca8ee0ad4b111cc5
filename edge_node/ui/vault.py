"""Case references, always encrypted on the disk, and the PIN that guards their key. Blocking: the worker calls it.

The references are sealed with AES-256-GCM under a random key. Without a PIN the key lies beside them, readable by this
user alone; with one it is wrapped by a key that scrypt derives from the PIN. Wrong PINs cost growing waits that survive
a restart. A short PIN does not stop somebody who copies the files and tries all PINs elsewhere: docs/ui.md says so.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from edge_node.files import write_atomic
from edge_node.ui.errors import UiError

LEAST_DIGITS = 4
FREE_ATTEMPTS = 5
FIRST_WAIT_S = 30
LONGEST_WAIT_S = 3600
_NONCE_BYTES = 12
_KEY_BYTES = 32
_SCRYPT = {"n": 2**15, "r": 8, "p": 1}  # 32 MB, about 0.1 s (RFC 7914; OWASP's memory-bound choice for interactive use)
_PURPOSE = b"medmesh.ui.cases/1"


def wait_s(failures: int) -> int:
    """Seconds to wait after so many wrong PINs in a row."""
    if failures < FREE_ATTEMPTS:
        return 0
    return int(min(FIRST_WAIT_S * 2 ** (failures - FREE_ATTEMPTS), LONGEST_WAIT_S))


class Vault:
    """Files in one folder: ``key.json`` and ``cases.sealed``."""

    def __init__(self, folder: Path, clock: Callable[[], datetime], scrypt: dict[str, int] | None = None) -> None:
        """Args: scrypt: cheaper costs, for tests."""
        self._folder = folder
        self._clock = clock
        self._scrypt = scrypt or _SCRYPT
        self._key: bytes | None = None

    def has_pin(self) -> bool:
        """Whether a PIN guards the key."""
        return "salt" in self._document()

    def is_locked(self) -> bool:
        """Whether the PIN is needed now."""
        return self._key is None and self.has_pin()

    def lock(self) -> None:
        """Forget the key until the PIN is given."""
        self._key = None

    def unlock(self, pin: str) -> None:
        """Open with the PIN.

        Raises:
            UiError: ``ui.pin_wrong`` or ``ui.pin_wait``.
        """
        from cryptography.exceptions import InvalidTag

        document = self._document()
        self._refuse_hurry(document)
        failures = int(document.get("failures", 0)) + 1
        document["failures"] = failures  # counted before the attempt: pulling the plug does not win another one
        document["not_before"] = (self._clock() + timedelta(seconds=wait_s(failures))).isoformat()
        self._write(document)
        try:
            self._key = _open(self._wrapping(pin, document), _decode(document["key"]))
        except InvalidTag as error:
            if wait_s(failures):
                self._refuse_hurry(document)
            raise UiError("ui.pin_wrong", left=max(FREE_ATTEMPTS - failures, 0)) from error
        document.update(failures=0, not_before="")
        self._write(document)

    def _refuse_hurry(self, document: dict[str, Any]) -> None:
        wanted = wait_s(int(document.get("failures", 0)))
        if not wanted:
            return
        left = (datetime.fromisoformat(document["not_before"]) - self._clock()).total_seconds()
        if left > wanted:  # the clock was set back since: the wait begins anew, and no more than that
            document["not_before"] = (self._clock() + timedelta(seconds=wanted)).isoformat()
            self._write(document)
        if left > 0:
            raise UiError("ui.pin_wait", seconds=round(min(left, wanted) + 0.5))

    def set_pin(self, pin: str | None) -> None:
        """Wrap the key anew, or (None) leave it open.

        Raises:
            UiError: ``ui.pin_form``, or ``ui.locked``.
        """
        key = self._open_key()
        if pin is None:
            self._write({"key": _encode(key)})
            return
        if len(pin) < LEAST_DIGITS or not pin.isdecimal() or len(set(pin)) == 1:
            raise UiError("ui.pin_form", least=LEAST_DIGITS)
        document = {"salt": _encode(os.urandom(16)), "failures": 0, "not_before": ""}
        document["key"] = _encode(_seal(self._wrapping(pin, document), key))
        self._write(document)

    def set_aside(self) -> None:
        """Rename the sealed references and their wrapped key, and begin with nothing."""
        stamp = self._clock().strftime("%Y%m%dT%H%M%S")
        for path in (self._key_path, self._cases_path):
            if path.exists():
                path.rename(path.with_name(f"{path.name}.{stamp}"))
        self._key = None

    def references(self) -> dict[str, str]:
        """Case references by result id.

        Raises:
            UiError: ``ui.locked``, or ``ui.vault_damaged``.
        """
        from cryptography.exceptions import InvalidTag

        key = self._open_key()
        if not self._cases_path.exists():
            return {}
        try:
            return dict(json.loads(_open(key, self._cases_path.read_bytes())))
        except (InvalidTag, ValueError) as error:
            raise UiError("ui.vault_damaged") from error

    def set_reference(self, result: str, text: str) -> None:
        """Note a reference; empty: forget it."""
        known = self.references()
        known.pop(result, None)
        if text:
            known[result] = text
        write_atomic(self._cases_path, _seal(self._open_key(), json.dumps(known).encode()), mode=0o600)

    @property
    def _key_path(self) -> Path:
        return self._folder / "key.json"

    @property
    def _cases_path(self) -> Path:
        return self._folder / "cases.sealed"

    def _open_key(self) -> bytes:
        if self._key is None:
            document = self._document()
            if "salt" in document:
                raise UiError("ui.locked")
            if "key" not in document:
                document = {"key": _encode(os.urandom(_KEY_BYTES))}
                self._write(document)
            self._key = _decode(document["key"])
        return self._key

    def _wrapping(self, pin: str, document: dict[str, Any]) -> bytes:
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        return Scrypt(salt=_decode(document["salt"]), length=_KEY_BYTES, **self._scrypt).derive(pin.encode())

    def _document(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._key_path.read_bytes()))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise UiError("ui.vault_damaged") from error

    def _write(self, document: dict[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(self._key_path, json.dumps(document).encode(), mode=0o600)


def _seal(key: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, _PURPOSE)


def _open(key: bytes, sealed: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _PURPOSE)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text)
