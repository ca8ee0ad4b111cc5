"""Who may say what about releases, and how a node decides. Pure.

Signed with TUF (python-tuf): the *approvers* role signs releases (``releases/<disease>/<name>``: the release manifest itself),
the *rollout* role, an online key, signs one document that only chooses among approved releases. So a stolen online key can
stop or move a rollout, and cannot ship a model.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from protocols.artifacts import canonical_json
from protocols.errors import ProtocolError
from protocols.manifest import SLUG, parse_release_name

FORMAT = "medmesh.rollout/1"
ROLLOUT_PATH = "rollout/catalogue.json"
MAX_ROLLOUT_BYTES = 256 * 1024
MAX_MODELS = 1000
MAX_OFFERS = 8
TIMESTAMP_DAYS = 7
KNOWLEDGE = "kb"  # the knowledge base is approved and released like a model, under this name
_NODE_ID = re.compile(r"[0-9a-f]{16}")


def release_path(disease: str, release: str) -> str:
    """The TUF target path of a release; for the knowledge base the disease is ``kb`` too."""
    return f"releases/{disease}/{release}"


@dataclass(frozen=True)
class Offer:
    """A release offered to a share of the nodes, and to whole groups of sites first."""

    release: str  # model@version
    percent: int  # 0..100
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelRollout:
    """What is offered of one model, newest first. ``paused``: the newest goes to nobody more; who has it keeps it."""

    disease: str
    model: str
    offers: tuple[Offer, ...]
    paused: bool = False


@dataclass(frozen=True)
class Revocation:
    """A release that must not be used any more."""

    release: str
    reason: str


@dataclass(frozen=True)
class Rollout:
    """The one rollout document. ``serial`` rises with every change; a node never accepts a lower one."""

    serial: int
    coordinator: str
    knowledge: str | None  # kb@version
    models: tuple[ModelRollout, ...]
    revoked: tuple[Revocation, ...] = ()
    revoked_nodes: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The canonical bytes that are signed. What is empty or usual is left out: every poll after a change carries this."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "serial": self.serial,
            "coordinator": self.coordinator,
            "models": [_model_document(m) for m in self.models],
        }
        if self.knowledge is not None:
            document["knowledge"] = self.knowledge
        if self.revoked:
            document["revoked"] = [{"release": r.release, "reason": r.reason} for r in self.revoked]
        if self.revoked_nodes:
            document["revoked_nodes"] = list(self.revoked_nodes)
        return canonical_json(document)

    @classmethod
    def from_bytes(cls, data: bytes) -> Rollout:
        """Read and check a rollout document.

        Raises:
            ProtocolError: ``rollout.malformed``.
        """
        try:
            if len(data) > MAX_ROLLOUT_BYTES:
                raise ValueError
            return _read(json.loads(data))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ProtocolError) as error:
            raise ProtocolError("rollout.malformed") from error


def _model_document(model: ModelRollout) -> dict[str, Any]:
    document: dict[str, Any] = {"disease": model.disease, "offers": []}
    if model.model != model.disease:
        document["model"] = model.model
    if model.paused:
        document["paused"] = True
    for offer in model.offers:
        row: dict[str, Any] = {"release": offer.release}
        if offer.percent != 100:
            row["percent"] = offer.percent
        if offer.groups:
            row["groups"] = list(offer.groups)
        document["offers"].append(row)
    return document


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise ValueError
    return value


def _release(value: Any) -> str:
    _, version = parse_release_name(_text(value, 80))
    if version is None:
        raise ValueError
    return str(value)


def _count(value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError
    return value


def _rows(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError
    return value


def _model(row: Any) -> ModelRollout:
    model, paused = row.get("model", row["disease"]), row.get("paused", False)
    for slug in (row["disease"], model):
        if not isinstance(slug, str) or not SLUG.fullmatch(slug):
            raise ValueError
    offers = tuple(
        Offer(
            _release(o["release"]),
            _count(o.get("percent", 100), 100),
            tuple(_text(g, 60) for g in _rows(o.get("groups", []), 64)),
        )
        for o in _rows(row["offers"], MAX_OFFERS)
    )
    if not isinstance(paused, bool) or any(o.release.split("@")[0] != model for o in offers):
        raise ValueError
    return ModelRollout(row["disease"], model, offers, paused)


def _read(document: Any) -> Rollout:
    if document["format"] != FORMAT:
        raise ValueError
    nodes = tuple(_text(n, 16) for n in _rows(document.get("revoked_nodes", []), 10_000))
    if not all(_NODE_ID.fullmatch(n) for n in nodes):
        raise ValueError
    return Rollout(
        serial=_count(document["serial"], 2**53),
        coordinator=_text(document["coordinator"], 80),
        knowledge=_release(document["knowledge"]) if "knowledge" in document else None,
        models=tuple(_model(m) for m in _rows(document["models"], MAX_MODELS)),
        revoked=tuple(
            Revocation(_release(r["release"]), _text(r["reason"], 500))
            for r in _rows(document.get("revoked", []), 1000)
        ),
        revoked_nodes=nodes,
    )


def bucket(node_id: str, release: str) -> float:
    """Where a node stands among all for this release: 0 to 100, even, fixed, different for each release."""
    return int.from_bytes(hashlib.sha256(f"{node_id}:{release}".encode()).digest()[:8]) / 2**64 * 100


@dataclass(frozen=True)
class Choice:
    """What a node should run of one model.

    Attributes:
        release: the release to have active; None: none.
        reason: why the present one must go, in the publisher's words; empty otherwise.
    """

    release: str | None
    reason: str = ""


def choose(
    rollout: Rollout, model: ModelRollout, node_id: str, groups: frozenset[str], active: str | None, floor: int
) -> Choice:
    """Decide which release of ``model`` a node should run.

    The newest offer that reaches this node wins. While paused, a node keeps its active release, and one without any gets an
    earlier offer than the newest. A revoked release is never chosen or kept, and nothing below ``floor`` (set by a
    manifest that was active before) is chosen.
    """
    revoked = {r.release: r.reason for r in rollout.revoked}
    reason = revoked.get(active or "", "")

    def allowed(release: str) -> bool:
        return release not in revoked and int(release.split("@")[1]) >= floor

    if model.paused and active is not None and allowed(active):
        return Choice(active)
    for offer in model.offers[1:] if model.paused else model.offers:
        reached = bool(groups & set(offer.groups)) or bucket(node_id, offer.release) < offer.percent
        if reached and allowed(offer.release):
            return Choice(offer.release, reason)
    return Choice(None, reason)
