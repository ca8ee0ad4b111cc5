"""API tokens and what they allow. A token names the coordinator it belongs to, so that its holder needs nothing else.

One line: ``medmesh-token1.CA.ID.SECRET``: the SHA-256 of the coordinator's CA certificate (DER) in base64url without padding,
the token's public id in hexadecimal, and 256 random bits, base64url too. The whole line is the ``Bearer`` credential; the
coordinator keeps the secret's hash only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from protocols.errors import ProtocolError

PREFIX: Final = "medmesh-token1"
ID_BYTES: Final = 6
SECRET_BYTES: Final = 32
_MAX_CHARACTERS = 300

VIEW: Final = "view"  # read everything that the API and the dashboard show
DATASET_UPLOAD: Final = "dataset:upload"  # make data sets, and add to one's own
DATASET_ANY: Final = "dataset:any"  # add to everybody's data sets
MODEL_UPLOAD: Final = "model:upload"
TRAIN: Final = "train"  # queue trainings of data sets that one may write to
JOB_ANY: Final = "job:any"  # see and cancel everybody's jobs
SCOPES: Final = (VIEW, DATASET_UPLOAD, DATASET_ANY, MODEL_UPLOAD, TRAIN, JOB_ANY)

_PART = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True)
class Token:
    """A token as its holder has it.

    Attributes:
        ca_sha256: digest of the coordinator's CA certificate, hexadecimal.
        id: public name of the token; may stand in lists and logs.
        secret: never stored, never logged.
    """

    ca_sha256: str
    id: str
    secret: bytes

    def encode(self) -> str:
        """The one line of text."""
        return f"{PREFIX}.{_text(bytes.fromhex(self.ca_sha256))}.{self.id}.{_text(self.secret)}"

    @classmethod
    def decode(cls, text: str) -> Token:
        """Read a token; spaces and line breaks from copying are forgiven.

        Raises:
            ProtocolError: ``token.malformed``.
        """
        text = "".join(text.split()) if len(text) <= _MAX_CHARACTERS else ""
        parts = text.split(".")
        if len(parts) != 4 or parts[0] != PREFIX or not all(_PART.fullmatch(p) for p in parts[1:]):
            raise ProtocolError("token.malformed")
        try:
            ca, secret = _bytes(parts[1]), _bytes(parts[3])
        except (binascii.Error, ValueError) as error:
            raise ProtocolError("token.malformed") from error
        if len(ca) != hashlib.sha256().digest_size or len(secret) != SECRET_BYTES:
            raise ProtocolError("token.malformed")
        return cls(ca.hex(), parts[2], secret)

    @property
    def secret_sha256(self) -> str:
        """What the coordinator keeps."""
        return hashlib.sha256(self.secret).hexdigest()


def make(ca_sha256: str, random: bytes) -> Token:
    """A token of ``ID_BYTES + SECRET_BYTES`` random bytes."""
    if len(random) != ID_BYTES + SECRET_BYTES:
        raise ValueError("not enough randomness")
    return Token(ca_sha256, random[:ID_BYTES].hex(), random[ID_BYTES:])


@dataclass(frozen=True)
class Kept:
    """A token as the coordinator keeps it."""

    id: str
    owner: str  # the person or site that it stands for; data sets belong to owners, not to tokens
    secret_sha256: str
    scopes: frozenset[str]
    expires: datetime
    revoked: bool


@dataclass(frozen=True)
class Grant:
    """Who asks, and what they may."""

    token: str
    owner: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether the token has this scope."""
        return scope in self.scopes


def grant(token: Token, kept: Kept | None, now: datetime) -> Grant | None:
    """What a token allows; None: nothing. Takes the same time wherever the secret is wrong."""
    expected = kept.secret_sha256 if kept is not None else "0" * 64
    right = hmac.compare_digest(token.secret_sha256, expected)
    if kept is None or not right or kept.revoked or kept.expires <= now:
        return None
    return Grant(kept.id, kept.owner, kept.scopes)


class Failures:
    """Counts wrong tokens by who tried, in a sliding minute. No clock: the time comes in. Memory is bounded."""

    WINDOW_S = 60.0
    MOST = 10
    _MOST_KEYS = 4096

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = {}

    def blocked(self, key: str, now_s: float) -> bool:
        """Whether this one has failed too often."""
        return len(self._recent(key, now_s)) >= self.MOST

    def add(self, key: str, now_s: float) -> None:
        """Note a failure."""
        times = [*self._recent(key, now_s), now_s][-self.MOST :]
        self._times.pop(key, None)
        self._times[key] = times  # newest last
        while len(self._times) > self._MOST_KEYS:
            self._times.pop(next(iter(self._times)))

    def _recent(self, key: str, now_s: float) -> list[float]:
        return [t for t in self._times.get(key, ()) if now_s - t < self.WINDOW_S]
