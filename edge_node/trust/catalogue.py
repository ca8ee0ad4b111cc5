"""The list L as this node sees it: of each model the release that the signed rollout gives to this very node. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edge_node.errors import ReleaseRefusedError
from edge_node.identity.anchor import Anchor
from protocols.artifacts import Artifact
from protocols.errors import MedMeshError, ProtocolError
from protocols.manifest import ReleaseManifest
from protocols.origin import origin_of
from protocols.trust import KNOWLEDGE, Choice, ModelRollout, Rollout, choose

MAX_REPLICA_BYTES = 64_000_000
_KNOWLEDGE_FORMAT = "medmesh.kb/1"


@dataclass(frozen=True)
class CatalogueRelease:
    """An approved release: enough to show it and to know what it costs."""

    disease: str
    model: str
    version: int
    signer: str
    manifest: Artifact
    artifacts: tuple[Artifact, ...]

    @property
    def name(self) -> str:
        """``model@version``."""
        return f"{self.model}@{self.version}"

    @property
    def files(self) -> tuple[Artifact, ...]:
        """Everything that a node needs of this release, the manifest first."""
        return (self.manifest, *self.artifacts)


@dataclass(frozen=True)
class KnowledgeReference:
    """The replica of the disease knowledge base that the approvers released.

    Attributes:
        artifact: the whole replica.
        version: of its content.
        patches: by the digest of an earlier replica, what turns that one into ``artifact``.
    """

    artifact: Artifact
    version: str
    patches: Mapping[str, Artifact] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> KnowledgeReference:
        """Read one from JSON.

        Raises:
            ProtocolError: ``manifest.malformed``.
        """
        try:
            artifact, version = Artifact.from_document(document["artifact"]), document["version"]
            patches = {p["from"]: Artifact.from_document(p) for p in document.get("patches", [])}
            fits = artifact.role == KNOWLEDGE and artifact.size_bytes <= MAX_REPLICA_BYTES
            if not fits or not isinstance(version, str) or not 0 < len(version) <= 80 or not version.isprintable():
                raise ValueError
        except (ValueError, KeyError, TypeError, ProtocolError) as error:
            raise ProtocolError("manifest.malformed", field="kb") from error
        return cls(artifact, version, patches)

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        patches = [{"from": base, **artifact.document()} for base, artifact in self.patches.items()]
        return {"artifact": self.artifact.document(), "version": self.version, "patches": patches}


@dataclass(frozen=True)
class ListedModel:
    """A model in the list.

    Attributes:
        version: of the release for this node, else of the newest one that anybody is offered; 0: none.
        choice: the release for this node; None: none now.
        reason: why the one in use must go, in the publisher's words.
        release: ``choice`` with its files.
        failure: why ``choice`` cannot be used here.
    """

    disease: str
    model: str
    version: int
    paused: bool
    choice: str | None
    reason: str
    release: CatalogueRelease | None
    failure: MedMeshError | None


@dataclass(frozen=True)
class Catalogue:
    """The list at one ``serial``."""

    serial: int
    coordinator: str
    knowledge: KnowledgeReference | None
    models: tuple[ListedModel, ...]
    revoked_node: str | None = None  # this node's id, when the coordinator has put it out

    @property
    def releases(self) -> list[CatalogueRelease]:
        """What this node may install."""
        return [model.release for model in self.models if model.release is not None]


@dataclass(frozen=True)
class Holdings:
    """What this node has: active releases and version floors, by (disease, model)."""

    active: Mapping[tuple[str, str], str]
    floors: Mapping[tuple[str, str], int]

    def choice(self, rollout: Rollout, model: ModelRollout, anchor: Anchor) -> Choice:
        """What the rollout gives to this node."""
        key = (model.disease, model.model)
        return choose(rollout, model, anchor.node, anchor.groups, self.active.get(key), self.floors.get(key, 0))


def without(model: ModelRollout, releases: set[tuple[str, str]]) -> ModelRollout:
    """``model`` without the offers that nobody approved."""
    return replace(model, offers=tuple(o for o in model.offers if (model.disease, o.release) not in releases))


def read_release(disease: str, name: str, signer: str, data: bytes) -> CatalogueRelease:
    """A signed manifest as the list shows it.

    Raises:
        ProtocolError: the manifest is malformed, or made for another program.
        ReleaseRefusedError: ``edge.release_not_as_listed``.
    """
    manifest = ReleaseManifest.from_bytes(data)
    if (manifest.disease, manifest.name) != (disease, name):
        raise ReleaseRefusedError("edge.release_not_as_listed", release=name, field="name")
    artifact, origin = Artifact.of("manifest", data), origin_of(manifest)
    signers = signer if origin is None else f"{signer}; {origin.signer}"
    return CatalogueRelease(disease, manifest.model, manifest.version, signers, artifact, manifest.artifacts)


def read_knowledge(data: bytes) -> KnowledgeReference:
    """The signed description of a replica.

    Raises:
        ProtocolError: ``manifest.malformed``.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("manifest.malformed", field="kb") from error
    if not isinstance(document, dict) or document.get("format") != _KNOWLEDGE_FORMAT:
        raise ProtocolError("manifest.malformed", field="kb")
    return KnowledgeReference.from_document(document)


def newest_offer(model: ModelRollout) -> int:
    """The highest version that anybody is offered; 0: none."""
    return max((int(offer.release.split("@")[1]) for offer in model.offers), default=0)
