"""Training curves of a job, as its row keeps them and a page draws them. Pure."""

from __future__ import annotations

import math
from typing import Any, Final

MOST_RUNS: Final = 40
MOST_EPOCHS: Final = 1000
Curves = list[dict[str, Any]]
"""Each ``{"run", "name", "loss": […], "validation": […]}``; the place in the lists is the epoch, None where nothing is known."""


def with_point(curves: Curves, message: dict[str, Any]) -> Curves:
    """The curves with one more epoch; a new list, the old one stays. An epoch that is told again counts as told last.

    Raises:
        ValueError: the message is no point, or more than is kept.
    """
    match message:
        case {"run": str(run), "name": str(name), "epoch": int(epoch), "loss": float(loss), "validation": validation}:
            pass
        case _:
            raise ValueError("no point")
    known = next((c for c in curves if c["run"] == run), None)
    if not 1 <= epoch <= MOST_EPOCHS or (known is None and len(curves) >= MOST_RUNS):
        raise ValueError("too much")
    seen = known or {"run": run[:40], "name": name[:60], "loss": [], "validation": []}
    heard = {
        "loss": _placed(seen["loss"], epoch, loss),
        "validation": _placed(seen["validation"], epoch, validation if isinstance(validation, float) else None),
    }
    new = {**seen, **heard}
    return [new if c is known else c for c in curves] if known else [*curves, new]


def _placed(values: list[float | None], epoch: int, value: float | None) -> list[float | None]:
    before = [*values[: epoch - 1], *[None] * (epoch - 1 - len(values))]
    return [*before, None if value is None or not math.isfinite(value) else round(value, 5)]


def newest(curves: Curves) -> list[dict[str, Any]]:
    """Of each run: its number, name, epochs and newest figures."""
    return [
        {
            "number": number,
            "name": c["name"],
            "epochs": len(c["loss"]),
            "loss": c["loss"][-1],
            "validation": c["validation"][-1],
        }
        for number, c in enumerate(curves, 1)
    ]
