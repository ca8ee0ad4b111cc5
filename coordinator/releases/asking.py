"""A request for an approval as one line of text. Pure.

``medmesh-approve1.`` and base64url of JSON: where the coordinator is, its certificate authority's fingerprint, the release, and
the digest of exactly what is to be signed. The line holds no secret. Whoever answers it signs what the page showed or nothing:
where the coordinator hands out other bytes than these, the digest differs.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Final

from coordinator.errors import CoordinatorError

PREFIX: Final = "medmesh-approve1."
_MAX_CHARACTERS = 1200
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RELEASE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}@[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Asked:
    """What an approver is asked to sign.

    Attributes:
        url: the coordinator's ``https://`` address.
        ca_sha256: of its certificate authority's certificate, hexadecimal.
        release: ``model@version``.
        digest: SHA-256 of the bytes that are signed, hexadecimal.
    """

    url: str
    ca_sha256: str
    release: str
    digest: str

    def encode(self) -> str:
        """The line."""
        told = json.dumps([self.url, self.ca_sha256, self.release, self.digest], separators=(",", ":"))
        return PREFIX + base64.urlsafe_b64encode(told.encode()).decode("ascii").rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Asked:
        """Read a line; spaces and line breaks from copying are forgiven.

        Raises:
            CoordinatorError: ``approve.bad_request``.
        """
        line = "".join(text.split()) if len(text) <= _MAX_CHARACTERS else ""
        body = line.removeprefix(PREFIX)
        try:
            if not line.startswith(PREFIX):
                raise ValueError
            told = json.loads(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True))
        except (binascii.Error, ValueError, RecursionError) as error:
            raise CoordinatorError("approve.bad_request") from error
        match told:
            case [str(url), str(ca), str(release), str(digest)] if (
                url.startswith("https://")
                and _SHA256.fullmatch(ca)
                and _SHA256.fullmatch(digest)
                and _RELEASE.fullmatch(release)
            ):
                return cls(url, ca, release, digest)
        raise CoordinatorError("approve.bad_request")
