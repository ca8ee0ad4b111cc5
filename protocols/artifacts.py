"""Content-addressed artifacts: a file is its SHA-256, whoever carries it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocols.errors import ProtocolError

MAX_ARTIFACT_BYTES = 512 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_sha256(text: object) -> bool:
    """Whether ``text`` is a lower-case hexadecimal SHA-256 digest."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def sha256_file(path: Path) -> str:
    """Digest of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(document: Any) -> bytes:
    """The one byte form of a JSON document: sorted keys, no spaces, UTF-8, no NaN."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8")


@dataclass(frozen=True)
class Artifact:
    """A file named by its digest.

    Attributes:
        role: what the file is for within a release.
        chunks: the digest of its chunk list (``protocols.chunks``), where it has one.
    """

    role: str
    sha256: str
    size_bytes: int
    chunks: str | None = None

    @classmethod
    def of(cls, role: str, data: bytes) -> Artifact:
        """Describe ``data``."""
        return cls(role, hashlib.sha256(data).hexdigest(), len(data))

    @classmethod
    def from_document(cls, document: object) -> Artifact:
        """Read one from JSON.

        Raises:
            ProtocolError: ``artifact.malformed``.
        """
        match document:
            case {"role": str(role), "sha256": sha256, "size": int(size), **more} if (
                is_sha256(sha256) and 0 <= size <= MAX_ARTIFACT_BYTES and 0 < len(role) <= 40
            ):
                chunks = more.get("chunks")
                if chunks is None or (isinstance(chunks, str) and is_sha256(chunks)):
                    return cls(role, sha256, size, chunks)
        raise ProtocolError("artifact.malformed")

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        listed = {} if self.chunks is None else {"chunks": self.chunks}
        return {"role": self.role, "sha256": self.sha256, "size": self.size_bytes, **listed}

    def verify(self, data: bytes) -> None:
        """Refuse ``data`` unless it is this artifact.

        Raises:
            ProtocolError: ``artifact.mismatch``.
        """
        if len(data) != self.size_bytes or hashlib.sha256(data).hexdigest() != self.sha256:
            raise ProtocolError("artifact.mismatch", artifact=self.sha256[:12])
