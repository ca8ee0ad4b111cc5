"""The first signature, kept for good: the manifest as another network signed it, and every signature that vouches for it."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from coordinator.errors import CoordinatorError
from protocols.artifacts import canonical_json
from protocols.origin import Origin
from protocols.trust import release_path

if TYPE_CHECKING:
    from coordinator.upstream.repository import SignedRelease

FORMAT = "medmesh.origin/1"


def pack(signed: SignedRelease) -> bytes:
    """The file."""

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode("ascii")

    metadata = {role: [text(one) for one in all_of] for role, all_of in signed.metadata.items()}
    return canonical_json({"format": FORMAT, "manifest": text(signed.data), "metadata": metadata})


def verified(data: bytes, origin: Origin) -> bytes:
    """The manifest that the origin's approvers signed; anybody can check this years later, since expiry plays no part.

    Raises:
        CoordinatorError: ``upstream.signature``: the file does not prove what ``origin`` says.
    """
    try:
        document = json.loads(data)
        files = {role: [_bytes(one) for one in all_of] for role, all_of in document["metadata"].items()}
        manifest = _bytes(document["manifest"])
        roots = [Metadata[Root].from_bytes(one) for one in files["root"]]
        if document["format"] != FORMAT or hashlib.sha256(files["root"][0]).hexdigest() != origin.root:
            raise ValueError
        roots[0].verify_delegate("root", roots[0])
        for before, after in itertools.pairwise(roots):
            before.verify_delegate("root", after)
            after.verify_delegate("root", after)
        targets = Metadata[Targets].from_bytes(files["targets"][0])
        roots[-1].verify_delegate("targets", targets)
        approvers = Metadata[Targets].from_bytes(files["approvers"][0])
        targets.verify_delegate("approvers", approvers)
        approvers.signed.targets[release_path(origin.disease, origin.release)].verify_length_and_hashes(manifest)
        if hashlib.sha256(manifest).hexdigest() != origin.manifest:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RepositoryError) as error:
        raise CoordinatorError("upstream.signature", detail=origin.release) from error
    return manifest


def _bytes(text: Any) -> bytes:
    return base64.b64decode(text, validate=True)
