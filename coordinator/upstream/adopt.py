"""Another network's release as a model version of this one: the same files, the first signature attached. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

from protocols.manifest import Label, ReleaseManifest
from protocols.origin import KEY, Origin

_NOT_OURS = ("federated", "recalibrated", "personal", KEY)  # said of runs and sites that are not here


def adopted(
    signed: ReleaseManifest,
    origin: Origin,
    model: str,
    version: int,
    entries: Collection[str],
    evaluation: dict[str, Any] | None,
    now: datetime,
) -> ReleaseManifest:
    """The manifest of the version here.

    The files, the input, the calibration and the golden answers stay the origin's. Figures at the head are those that were
    measured here, or none; the origin's stand in its own signed manifest, and beside them in ``data``. A floor under versions
    counted there, so it has no meaning here; a reason for labels without an entry was given there, so it must be given again.

    Args:
        signed: the origin's.
        origin: where it comes from.
        model, version: its name here.
        entries: of the knowledge base here; a label that names another one opens no page.
        evaluation: what was measured here; None: nothing.
        now: the time.
    """
    data = {key: value for key, value in signed.data.items() if key not in _NOT_OURS}
    figures = None if evaluation is None else evaluation["balanced_accuracy"]
    theirs = signed.metrics.get("balanced_accuracy")
    return replace(
        signed,
        model=model,
        version=version,
        created=now.isoformat(timespec="seconds"),
        labels=tuple(
            label if label.entry in entries else Label(label.label, None, label.kind) for label in signed.labels
        ),
        unmapped_reason=None,
        floor_version=0,
        metrics={} if figures is None else {"balanced_accuracy": figures},
        data={**data, KEY: {**origin.document(), "balanced_accuracy": theirs, "evaluation": _short(evaluation)}},
    )


def _short(evaluation: dict[str, Any] | None) -> dict[str, Any] | None:
    """What of an evaluation goes into a manifest that every node carries."""
    if evaluation is None:
        return None
    return {key: evaluation[key] for key in ("on", "n", "groups", "balanced_accuracy", "auc_macro", "ece")}
