"""The list L as the coordinator tells it, read strictly. No I/O here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edge_node.errors import EdgeError
from protocols.artifacts import MAX_ARTIFACT_BYTES, Artifact, is_sha256
from protocols.errors import ProtocolError
from protocols.manifest import MAX_MANIFEST_BYTES, SLUG

MAX_CATALOGUE_BYTES = 2 * 1024 * 1024
_MAX_REPLICA_BYTES = 64_000_000
_MAX_VERSION = 999_999_999
_MAX_ARTIFACTS = 64


@dataclass(frozen=True)
class CatalogueRelease:
    """One approved release: enough to show it and to know what it costs, before anything is fetched."""

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
    """The replica of the disease knowledge base that the coordinator publishes."""

    artifact: Artifact
    version: str


@dataclass(frozen=True)
class Catalogue:
    """The coordinator's list at one ``serial``."""

    serial: int
    coordinator: str
    node_url: str
    knowledge: KnowledgeReference | None
    releases: tuple[CatalogueRelease, ...]

    def current(self) -> list[CatalogueRelease]:
        """The newest version of each model, by disease and model."""
        newest: dict[tuple[str, str], CatalogueRelease] = {}
        for release in self.releases:
            key = (release.disease, release.model)
            if key not in newest or newest[key].version < release.version:
                newest[key] = release
        return [newest[key] for key in sorted(newest)]

    @classmethod
    def from_bytes(cls, data: bytes) -> Catalogue:
        """Read and check a catalogue.

        Raises:
            EdgeError: ``edge.catalogue_malformed`` with the field.
        """
        with _field("size"):
            _check(len(data) <= MAX_CATALOGUE_BYTES)
        with _field("JSON"):
            document = json.loads(data)
            _check(isinstance(document, dict))
        with _field("serial"):
            serial = _whole(document["serial"], 0, 2**53)
        with _field("coordinator"):
            coordinator = text_of(document["coordinator"], 200)
            node_url = text_of(document["node_url"], 300)
            _check(node_url.startswith("wss://"))
        with _field("kb"):
            knowledge = None if document["kb"] is None else _knowledge(document["kb"])
        with _field("releases"):
            releases = tuple(_release(x) for x in _list(document["releases"], None))
            _check(len({(r.disease, r.model, r.version) for r in releases}) == len(releases))
        return cls(serial, coordinator, node_url, knowledge, releases)


@contextmanager
def _field(name: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, RecursionError, ProtocolError) as error:
        raise EdgeError("edge.catalogue_malformed", field=name) from error


def _check(fits: bool) -> None:
    if not fits:
        raise ValueError


def _list(value: Any, most: int | None) -> list[Any]:
    _check(isinstance(value, list) and (most is None or len(value) <= most))
    return list(value)


def _whole(value: Any, low: int, high: int) -> int:
    _check(type(value) is int and low <= value <= high)
    return int(value)


def text_of(value: Any, most: int) -> str:
    """One printable line of at most ``most`` characters; control characters could deceive a terminal.

    Raises:
        ValueError: it is not.
    """
    _check(isinstance(value, str) and 0 < len(value) <= most and value.isprintable())
    return str(value)


def _require(value: Any, fits: Callable[[Any], object]) -> Any:
    _check(bool(fits(value)))
    return value


def _artifact(document: Any, role: str, most: int) -> Artifact:
    return Artifact(role, _require(document["sha256"], is_sha256), _whole(document["size"], 0, most))


def _knowledge(document: Any) -> KnowledgeReference:
    return KnowledgeReference(_artifact(document, "kb", _MAX_REPLICA_BYTES), text_of(document["version"], 80))


def _release(document: Any) -> CatalogueRelease:
    release = CatalogueRelease(
        disease=_require(document["disease"], SLUG.fullmatch),
        model=_require(document["model"], SLUG.fullmatch),
        version=_whole(document["version"], 1, _MAX_VERSION),
        signer=text_of(document["signer"], 300),
        manifest=_artifact(document["manifest"], "manifest", MAX_MANIFEST_BYTES),
        artifacts=tuple(
            _artifact(x, text_of(x["role"], 40), MAX_ARTIFACT_BYTES)
            for x in _list(document["artifacts"], _MAX_ARTIFACTS)
        ),
    )
    _check(document["release"] == release.name)
    return release
