"""Rights, who has them, and API tokens. A token names the coordinator it belongs to, so that its holder needs nothing else.

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
from typing import Final, Literal

from protocols.errors import ProtocolError

PREFIX: Final = "medmesh-token1"
ID_BYTES: Final = 6
SECRET_BYTES: Final = 32
_MAX_CHARACTERS = 300

VIEW: Final = "view"  # read everything that the API and the dashboard show
DATASET_UPLOAD: Final = "dataset:upload"  # make data sets, and add to one's own
DATASET_ANY: Final = "dataset:any"  # add to everybody's data sets, and map their labels
MODEL_UPLOAD: Final = "model:upload"
TRAIN: Final = "train"  # queue trainings of data sets that one may write to
JOB_ANY: Final = "job:any"  # see and cancel everybody's jobs
LABEL_MAP: Final = "label:map"  # say which page of the knowledge base a class of a data set means
RELEASE_PROPOSE: Final = "release:propose"
RELEASE_APPROVE: Final = "release:approve"  # hand in a signature that was made elsewhere
RELEASE_ROLLOUT: Final = "release:rollout"  # roll out, pause, resume, roll back, withdraw
FEDERATION_RUN: Final = "federation:run"
NODE_MANAGE: Final = "node:manage"  # invite and revoke
UPSTREAM_MANAGE: Final = "upstream:manage"
KB_REVIEW: Final = "kb:review"
USER_MANAGE: Final = "user:manage"
TOKEN_MANAGE: Final = "token:manage"
AUDIT_READ: Final = "audit:read"
RIGHTS: Final = (
    VIEW,
    DATASET_UPLOAD,
    DATASET_ANY,
    MODEL_UPLOAD,
    TRAIN,
    JOB_ANY,
    LABEL_MAP,
    RELEASE_PROPOSE,
    RELEASE_APPROVE,
    RELEASE_ROLLOUT,
    FEDERATION_RUN,
    NODE_MANAGE,
    UPSTREAM_MANAGE,
    KB_REVIEW,
    USER_MANAGE,
    TOKEN_MANAGE,
    AUDIT_READ,
)

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
class Principal:
    """Who asks, and what they may.

    Attributes:
        name: the person or site; what they upload belongs to this name, whether they come with a token or a password.
        kind: how they have shown who they are.
        rights: some of ``RIGHTS``.
        token: id of the token; empty for a person who has signed in.
    """

    name: str
    kind: Literal["user", "token"]
    rights: frozenset[str]
    token: str = ""

    def may(self, right: str) -> bool:
        """Whether they have this right."""
        return right in self.rights


def holder(token: Token, kept: Kept | None, now: datetime) -> Principal | None:
    """Whom a token stands for; None: nobody. Takes the same time wherever the secret is wrong."""
    expected = kept.secret_sha256 if kept is not None else "0" * 64
    right = hmac.compare_digest(token.secret_sha256, expected)
    if kept is None or not right or kept.revoked or kept.expires <= now:
        return None
    return Principal(kept.owner, "token", kept.scopes, kept.id)


class Failures:
    """Counts wrong attempts by key, in a sliding window. No clock: the time comes in. Memory is bounded."""

    WINDOW_S = 60.0
    MOST = 10
    _MOST_KEYS = 4096

    def __init__(self, most: int = MOST, window_s: float = WINDOW_S) -> None:
        self.most, self.window_s = most, window_s
        self._times: dict[str, list[float]] = {}

    def blocked(self, key: str, now_s: float) -> bool:
        """Whether this one has failed too often."""
        return self.wait_s(key, now_s) > 0

    def wait_s(self, key: str, now_s: float) -> float:
        """How long this one has to wait for the next attempt; 0: not at all."""
        times = self._recent(key, now_s)
        return 0.0 if len(times) < self.most else times[-self.most] + self.window_s - now_s

    def add(self, key: str, now_s: float) -> None:
        """Note a failure."""
        times = [*self._recent(key, now_s), now_s][-self.most :]
        self._times.pop(key, None)
        self._times[key] = times  # newest last
        while len(self._times) > self._MOST_KEYS:
            self._times.pop(next(iter(self._times)))

    def take_back(self, key: str) -> None:
        """The last attempt was none: it was noted before its outcome was known."""
        if times := self._times.get(key):
            times.pop()

    def _recent(self, key: str, now_s: float) -> list[float]:
        return [t for t in self._times.get(key, ()) if now_s - t < self.window_s]
