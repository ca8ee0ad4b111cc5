"""How current the node is, in the app's own values. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_node.ui.values import Freshness

if TYPE_CHECKING:
    from edge_node.trust.standing import Standing


def freshness(standing: Standing) -> Freshness:
    """The standing in the app's own values."""
    return Freshness(
        standing.last_verified, standing.stale_days, standing.is_stale, standing.clock_behind, standing.node_revoked
    )
