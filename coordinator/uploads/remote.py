"""A coordinator as an uploader sees it: HTTPS with a token, and the CA that the token names."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, Final

from coordinator.errors import CoordinatorError
from coordinator.uploads.declaration import MOST_PARTS
from coordinator.uploads.packing import Packed
from coordinator.web import pinned
from protocols.access import Token
from protocols.errors import KINDS, Kind, Language, table

_TIMEOUT_S = 60.0
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MIB = 1024 * 1024
_PASSING: Final = {"upload.unreachable", "upload.part_digest", "upload.part_busy", "upload.busy", "api.slow", "api.cut",
                   "storage.busy"}  # fmt: skip
_WAITS_S: Final = (0.5, 1, 2, 4, 8, 15)


class RefusedError(CoordinatorError):
    """What the coordinator answered, in its own words."""

    def __init__(self, code: str, message: str, remedy: str, exit_code: int) -> None:
        super().__init__(code)
        self._said, self._advised, self._exit_code = _printable(message), _printable(remedy), exit_code

    @property
    def kind(self) -> Kind:
        """As the coordinator classed it."""
        known = table().get(self.code)
        return known.kind if known else next(k for k in KINDS.values() if k.exit_code == self._exit_code)

    def message(self, language: Language = "en") -> str:
        """The coordinator was asked to answer in the reader's language."""
        return self._said

    def remedy(self, language: Language = "en") -> str:
        """As ``message``."""
        return self._advised


class Remote:
    """One coordinator. Calls are made one after the other over one connection, which ``with`` closes."""

    def __init__(self, url: str, token: Token, language: Language, interrupted: Callable[[], None]) -> None:
        """Nothing is sent yet.

        Args:
            url: its https:// address.
            token: names the certificate authority that must answer there.
            language: of refusals.
            interrupted: called when the line breaks and another try follows.

        Raises:
            CoordinatorError: ``usage``.
        """
        parts = urllib.parse.urlsplit(url)
        try:
            port = parts.port or 443
        except ValueError as error:
            raise CoordinatorError("usage", problem="--to takes the coordinator's https:// address") from error
        if parts.scheme != "https" or not parts.hostname:
            raise CoordinatorError("usage", problem="--to takes the coordinator's https:// address")
        self._url = f"https://{parts.netloc.rpartition('@')[2]}"
        self._token = token
        self._language = language
        self._interrupted = interrupted
        self._address = (parts.hostname, port)
        self._connection: pinned.PinnedConnection | None = None
        self._context: ssl.SSLContext | None = None

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, path: str) -> dict[str, Any]:
        """A JSON document."""
        return dict(self.call("GET", path))

    def call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        """One request. Each may be made again, so what may pass is tried for half a minute once the coordinator was met.

        Raises:
            RefusedError: with the coordinator's own words.
            CoordinatorError: ``upload.unreachable`` or ``upload.wrong_coordinator``.
        """
        for wait_s in (*_WAITS_S, None):
            try:
                return self._once(method, path, body, headers or {})
            except CoordinatorError as error:
                if error.code not in _PASSING or wait_s is None or self._context is None:
                    raise
                if error.code == "upload.unreachable" and wait_s == _WAITS_S[0]:
                    self._interrupted()
                time.sleep(wait_s)
        raise AssertionError

    def send_json(self, method: str, path: str, document: object) -> dict[str, Any]:
        """Send JSON and read JSON."""
        return dict(self.call(method, path, json.dumps(document).encode(), {"Content-Type": "application/json"}))

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        if self._context is None:
            self._context = self._pin()
        if self._connection is None:
            self._connection = pinned.PinnedConnection(*self._address, self._context, _TIMEOUT_S)
        told = {"Authorization": f"Bearer {self._token.encode()}", "Accept-Language": self._language, **headers}
        try:
            return self._document(*_exchange(self._connection, method, path, body, told))
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise CoordinatorError("upload.unreachable", url=self._url) from error

    def _pin(self) -> ssl.SSLContext:
        connection = pinned.PinnedConnection(*self._address, pinned.unverified(), _TIMEOUT_S)
        try:
            _, data = _exchange(connection, "GET", "/v1/ca.pem", None, {})
            trusted = pinned.trusting(data.decode("ascii", "replace"), self._token.ca_sha256)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise CoordinatorError("upload.unreachable", url=self._url) from error
        finally:
            connection.close()
        if trusted is None:
            raise CoordinatorError("upload.wrong_coordinator", url=self._url)
        return trusted

    def _document(self, status: int, data: bytes) -> Any:
        try:
            document = json.loads(data) if data else {}
            if 200 <= status < 300:
                return document
            told = document["error"]
            error = RefusedError(str(told["code"]), str(told["message"]), str(told["remedy"]), _exit_code(status))
        except (ValueError, KeyError, TypeError) as error_:
            raise CoordinatorError("upload.unreachable", url=self._url) from error_
        raise error

    def close(self) -> None:
        """End the connection; the next call makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _exchange(
    connection: http.client.HTTPSConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, bytes]:
    try:
        connection.request(method, path, body, headers)
    except (BrokenPipeError, ConnectionResetError):
        if connection.sock is None:
            raise
    answer = connection.getresponse()  # a refusal may have come before the body was sent
    data = answer.read(_MAX_ANSWER_BYTES)
    if answer.will_close:
        connection.close()
    return answer.status, data


def _exit_code(status: int) -> int:
    if status in (404, 410):
        return 4
    if status in (401, 403):
        return 5
    return 6 if status >= 500 or status in (408, 429) else 3


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in text)[:2000]


def part_bytes_for(size: int) -> int:
    """Small parts lose little when a line breaks; large files need larger ones, so that they are not too many."""
    part_bytes = _MIB
    while size > part_bytes * MOST_PARTS // 8 and part_bytes < 16 * _MIB:
        part_bytes *= 2
    return part_bytes


def send(
    remote: Remote, packed: Packed, declaration: dict[str, Any], progress: Callable[[int, int], None]
) -> tuple[str, int]:
    """Send what is missing and complete the upload; returns the job and the bytes that were sent now.

    Raises:
        CoordinatorError: what arrived stays; the same call goes on with it.
    """
    part_bytes = part_bytes_for(packed.size)
    told = {**declaration, "size": packed.size, "sha256": packed.sha256, "part_bytes": part_bytes}
    state = remote.send_json("POST", "/v1/uploads", told)
    if state["job"] is not None:
        return str(state["job"]), 0
    upload, missing = state["upload"], [range(first, last + 1) for first, last in state["missing"]]
    sent, done = 0, int(state["received_bytes"])
    progress(done, packed.size)
    try:
        for number, part in packed.parts(part_bytes, lambda n: any(n in run for run in missing)):
            digest = base64.b64encode(hashlib.sha256(part).digest()).decode()
            headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{digest}:"}
            remote.call("PUT", f"/v1/uploads/{upload}/parts/{number}", part, headers)
            sent, done = sent + len(part), done + len(part)
            progress(done, packed.size)
    except CoordinatorError as error:
        if error.code == "upload.changed":
            remote.call("DELETE", f"/v1/uploads/{upload}")
        raise
    return str(remote.call("POST", f"/v1/uploads/{upload}/complete")["job"]), sent


def wait(remote: Remote, job: str, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Wait until a job has ended; returns its result.

    Raises:
        RefusedError: the job failed or was cancelled.
    """
    pause_s = 0.25
    while True:
        document = remote.get(f"/v1/jobs/{job}")
        progress(document["part"], document["done"], document["total"])
        if document["state"] == "done":
            return dict(document["result"])
        if document["state"] in ("failed", "cancelled"):
            told = document["error"]
            raise RefusedError(told["code"], told["message"], told["remedy"], int(told["exit_code"]))
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 5.0)
