"""What one network hands another out of band: the root of its trust, and how to reach it. Pure.

Also taken: the root metadata alone, as ``/v1/root.json`` serves it; then the address must prove itself by a public authority.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from protocols.errors import ProtocolError

FORMAT = "medmesh.network/1"
MAX_BYTES = 256 * 1024
_MAX_NAME = 80
_MAX_URLS = 8


@dataclass(frozen=True)
class NetworkFile:
    """One network's file.

    Attributes:
        name: as it calls itself; empty where only the root metadata was given.
        urls: https addresses, the first one first; may be empty.
        root: TUF root metadata, its exact bytes.
        ca_pem: certificate authority to pin; None: the address is to be believed by a public one.
        least_serial: of the rollout document when the file was written; an older repository is a replay.
    """

    name: str
    urls: tuple[str, ...]
    root: bytes
    ca_pem: str | None
    least_serial: int

    def to_bytes(self) -> bytes:
        """The file."""
        document = {
            "format": FORMAT,
            "name": self.name,
            "urls": list(self.urls),
            "root": base64.b64encode(self.root).decode("ascii"),
            "ca": self.ca_pem,
            "least_serial": self.least_serial,
        }
        return json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> NetworkFile:
        """Read a network's file, or root metadata alone.

        Raises:
            ProtocolError: ``upstream.bad_file``.
        """
        try:
            if len(data) > MAX_BYTES:
                raise ValueError
            return _read(json.loads(data), data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ProtocolError("upstream.bad_file") from error


def _read(document: object, data: bytes) -> NetworkFile:
    match document:
        case {"signed": {"_type": "root"}, "signatures": [*_]}:
            return NetworkFile("", (), data, None, 0)
        case {
            "format": str(form), "name": str(name), "urls": [*urls], "root": str(root), "ca": str() | None as ca,
            "least_serial": int(serial),
        } if form == FORMAT:  # fmt: skip
            sound = 0 < len(name) <= _MAX_NAME and name.isprintable() and 0 <= serial < 2**53 and len(urls) <= _MAX_URLS
            if sound and all(isinstance(url, str) and url.startswith("https://") for url in urls):
                return NetworkFile(name, tuple(urls), base64.b64decode(root, validate=True), ca, serial)
    raise ValueError
