"""Which model of a disease is meant. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from edge_node.errors import EdgeError
from protocols.manifest import parse_release_name


class Candidate(Protocol):
    """A release in the list L or on this machine."""

    @property
    def disease(self) -> str:
        """The disease's slug."""
        ...

    @property
    def model(self) -> str:
        """The model's slug."""
        ...

    @property
    def version(self) -> int:
        """The model's version."""
        ...


C = TypeVar("C", bound=Candidate)


def choose(candidates: Sequence[C], disease: str, wanted: str | None) -> C:
    """The release of ``disease`` that ``wanted`` (``model`` or ``model@version``) names; without it, the only model
    there is or the one that is called like the disease. Of several versions the first candidate is taken.

    Raises:
        EdgeError: ``edge.disease_unknown``, ``edge.model_unknown`` or ``edge.model_choice``.
        ProtocolError: ``release.bad_name``.
    """
    of_disease = [c for c in candidates if c.disease == disease]
    if not of_disease:
        known = ", ".join(sorted({c.disease for c in candidates})) or "-"
        raise EdgeError("edge.disease_unknown", disease=disease, known=known)
    models = sorted({c.model for c in of_disease})
    if wanted is None:
        model = models[0] if len(models) == 1 else disease
        version = None
        if model not in models:
            raise EdgeError("edge.model_choice", disease=disease, models=", ".join(models))
    else:
        model, version = parse_release_name(wanted)
    fitting = [c for c in of_disease if c.model == model and version in (None, c.version)]
    if not fitting:
        names = ", ".join(f"{c.model}@{c.version}" for c in of_disease)
        raise EdgeError("edge.model_unknown", model=wanted, disease=disease, known=names)
    return fitting[0]


def choose_installed(installed: Sequence[C], disease: str, wanted: str | None) -> C:
    """Like ``choose``, among the releases on this machine; the active version of a model comes before its previous one.

    Raises:
        EdgeError: ``edge.not_installed``, ``edge.model_unknown`` or ``edge.model_choice``.
        ProtocolError: ``release.bad_name``.
    """
    if all(c.disease != disease for c in installed):
        raise EdgeError("edge.not_installed", disease=disease)
    return choose(installed, disease, wanted)
