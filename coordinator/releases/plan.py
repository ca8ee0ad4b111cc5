"""Which rollout document follows from the releases' states. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protocols.trust import KNOWLEDGE, ModelRollout, Offer, Revocation, Rollout

OFFERED = ("released", "paused")


@dataclass(frozen=True)
class ReleaseState:
    """What the store says about one release."""

    name: str  # model@version
    disease: str
    state: str  # proposed | approved | released | paused | rolled back | withdrawn
    percent: int
    groups: tuple[str, ...]
    reason: str

    @property
    def model(self) -> str:
        """The model's name."""
        return self.name.split("@")[0]

    @property
    def version(self) -> int:
        """The version within the model."""
        return int(self.name.split("@")[1])

    @property
    def stage(self) -> str:
        """Where in its life it is: how far it is offered (``canary``, ``10%``, ``full``), else its state."""
        if self.state not in OFFERED:
            return self.state
        return {0: "canary", 100: "full"}.get(self.percent, f"{self.percent}%")


def plan(releases: Iterable[ReleaseState], serial: int, coordinator: str, revoked_nodes: Iterable[str]) -> Rollout:
    """Newest offers first; a model is paused while its newest offer is; withdrawn releases are revoked."""
    rows = sorted(releases, key=lambda r: (r.disease, r.model, -r.version))
    offered = [r for r in rows if r.state in OFFERED]
    knowledge = next((r.name for r in offered if r.model == KNOWLEDGE and r.disease == KNOWLEDGE), None)
    by_model: dict[tuple[str, str], list[ReleaseState]] = {}
    for row in offered:
        if row.disease != KNOWLEDGE:
            by_model.setdefault((row.disease, row.model), []).append(row)
    models = []
    for (disease, model), mine in by_model.items():
        offers = []
        for row in mine:
            offers.append(Offer(row.name, row.percent, row.groups))
            if row.percent == 100:
                break  # it reaches every node, so nothing older can be chosen …
        older = next((r for r in mine if r.version < int(offers[-1].release.split("@")[1]) and r.percent == 100), None)
        if older is not None:
            offers.append(Offer(older.name, 100))  # … unless a node's floor or a revocation leaves it the one before
        models.append(ModelRollout(disease, model, tuple(offers), paused=mine[0].state == "paused"))
    return Rollout(
        serial=serial,
        coordinator=coordinator,
        knowledge=knowledge,
        models=tuple(models),
        revoked=tuple(Revocation(r.name, r.reason) for r in rows if r.state == "withdrawn"),
        revoked_nodes=tuple(sorted(revoked_nodes)),
    )
