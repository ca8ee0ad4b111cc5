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
    """Decoded invite.

    Attributes:
        urls: addresses of the coordinator.
        ca_sha256: digest of the CA certificate's DER form.
        token: one-time secret.
        root_sha256: digest of the TUF root metadata from which the node's trust starts.
        least_serial: serial of the rollout document when the invite was made; an older repository is a replay.
    """

    urls: tuple[str, ...]
    ca_sha256: str
    token: str
    root_sha256: str
    least_serial: int

    def encode(self) -> str:
        """The one line of text."""
        document = {
            "u": list(self.urls),
            "c": self.ca_sha256,
            "t": self.token,
            "r": self.root_sha256,
            "s": self.least_serial,
        }
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
            case {"u": [_, *_] as urls, "c": str(ca), "t": str(token), "r": str(root), "s": int(serial)} if (
                is_sha256(ca)
                and is_sha256(root)
                and serial >= 0
                and token
                and len(urls) <= 8
                and all(isinstance(u, str) and u.startswith("https://") for u in urls)
            ):
                return cls(tuple(urls), ca, token, root, serial)
        raise ProtocolError("invite.malformed")
