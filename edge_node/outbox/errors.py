"""Failures on the way to the coordinator that call for different next steps."""

from __future__ import annotations

from edge_node.errors import EdgeError


class NotAcceptedError(EdgeError):
    """The gateway turns this node away: trying again is of no use until a person has acted."""


class BatchRefusedError(EdgeError):
    """The coordinator takes the node but not this batch: something in it is wrong in its eyes."""


class CoordinatorOlderError(EdgeError):
    """The coordinator does not take results yet: they wait for its next version."""
