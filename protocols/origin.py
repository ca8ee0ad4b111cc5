"""Where a release comes from that another network made, tested and signed first: a part of the manifest. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocols.artifacts import is_sha256
from protocols.errors import ProtocolError
from protocols.manifest import SLUG, ReleaseManifest, parse_release_name

KEY = "origin"  # in the manifest's ``data``
_MAX_TEXT = 120
_MAX_APPROVERS = 16


@dataclass(frozen=True)
class Origin:
    """The first signature, which stays attached.

    Attributes:
        network: its name.
        release: ``model@version`` there.
        disease: there.
        root: SHA-256 of the root metadata from which trust in it starts here.
        manifest: SHA-256 of the manifest that was signed there.
        proof: SHA-256 of the file with that manifest and every signature that vouches for it (``coordinator.upstream.proof``).
        approvers: who signed there.
    """

    network: str
    release: str
    disease: str
    root: str
    manifest: str
    proof: str
    approvers: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {**vars(self), "approvers": list(self.approvers)}

    @property
    def signer(self) -> str:
        """Who vouches, in one line."""
        return f"{self.network}: {', '.join(self.approvers)}"


def origin_of(manifest: ReleaseManifest) -> Origin | None:
    """The origin that a manifest names; None: it was made in the network that signed it.

    Raises:
        ProtocolError: ``manifest.malformed``.
    """
    if KEY not in manifest.data:
        return None
    match manifest.data[KEY]:
        case {
            "network": str(network), "release": str(release), "disease": str(disease), "root": str(root),
            "manifest": str(signed), "proof": str(proof), "approvers": [*approvers],
        }:  # fmt: skip
            texts = [network, *approvers]
            sound = all(isinstance(t, str) and 0 < len(t) <= _MAX_TEXT and t.isprintable() for t in texts)
            digests = all(is_sha256(x) for x in (root, signed, proof))
            if sound and digests and SLUG.fullmatch(disease) and len(approvers) <= _MAX_APPROVERS:
                parse_release_name(release)
                return Origin(network, release, disease, root, signed, proof, tuple(approvers))
    raise ProtocolError("manifest.malformed", field="data.origin")
