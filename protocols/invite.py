"""The invite: one line of text that a person carries from the coordinator to a node.

It says where the coordinator is, which certificate authority to pin, and holds a one-time token. Whoever has the line can
enrol one node until it expires; the coordinator keeps only the token's hash.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from protocols.artifacts import is_sha256
from protocols.errors import ProtocolError

_PREFIX = "medmesh1."
_MAX_CHARACTERS = 2000


@dataclass(frozen=True)
class Invite:
    """Decoded invite. ``ca_sha256`` is the digest of the CA certificate's DER form."""

    urls: tuple[str, ...]
    ca_sha256: str
    token: str

    def encode(self) -> str:
        """The one line of text."""
        document = {"u": list(self.urls), "c": self.ca_sha256, "t": self.token}
        return _PREFIX + base64.urlsafe_b64encode(json.dumps(document, separators=(",", ":")).encode()).decode().rstrip(
            "="
        )

    @classmethod
    def decode(cls, text: str) -> Invite:
        """Read an invite; spaces and line breaks from copying are forgiven.

        Raises:
            ProtocolError: ``invite.malformed``.
        """
        text = "".join(text.split())
        if not text.startswith(_PREFIX) or len(text) > _MAX_CHARACTERS:
            raise ProtocolError("invite.malformed")
        try:
            body = text.removeprefix(_PREFIX)
            document = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except (ValueError, RecursionError) as error:
            raise ProtocolError("invite.malformed") from error
        match document:
            case {"u": [_, *_] as urls, "c": str(ca), "t": str(token)} if (
                is_sha256(ca)
                and token
                and len(urls) <= 8
                and all(isinstance(u, str) and u.startswith("https://") for u in urls)
            ):
                return cls(tuple(urls), ca, token)
        raise ProtocolError("invite.malformed")
