"""Errors of the edge node; codes and sentences stand in the one table of ``protocols.errors``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.errors import MedMeshError

if TYPE_CHECKING:
    from edge_node.cache.acceptance import Decision


class EdgeError(MedMeshError):
    """Something that the node refuses or cannot do."""


class NotEnrolledError(EdgeError):
    """The node belongs to no coordinator yet: join one first."""


class SourceError(EdgeError):
    """A source did not deliver: ask another one, or the same one later."""


class UnreachableError(SourceError):
    """Nobody answered, or the answer broke off; what arrived so far is kept."""


class DamagedBytesError(SourceError):
    """A source delivered bytes other than those asked for: they are thrown away, and the source gets a strike."""


class RangelessError(SourceError):
    """The source gives files as a whole only."""


class AbsentError(SourceError):
    """The source answers and does not have what was asked for."""


class TrustError(EdgeError):
    """What the coordinator's repository says is not to be believed: nothing of it is used, everything stays as it was."""


class NodeRevokedError(EdgeError):
    """The coordinator has put this node out: it takes in nothing new."""


class ReleaseRefusedError(EdgeError):
    """The release cannot be used on this machine; what was active before still is."""


class DeclinedError(ReleaseRefusedError):
    """Declined at this site: the release is worse here than the one in use, or a person said no."""

    def __init__(self, decision: Decision) -> None:
        """Args: decision: what keeps it out."""
        figures = decision.figures
        shown = "-" if figures is None or figures.high is None else f"{figures.low:+.3f} … {figures.high:+.3f}"
        against = f"{decision.model}@{decision.against}" if decision.against else "-"
        super().__init__(f"acceptance.{decision.reason}", release=decision.name, active=against, difference=shown)
        self.decision = decision


class LimitError(EdgeError):
    """A limit that a person set forbids it: asking again changes nothing before the limit or the month does."""
