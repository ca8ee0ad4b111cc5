"""Errors of the edge node; codes and sentences stand in the one table of ``protocols.errors``."""

from __future__ import annotations

from protocols.errors import MedMeshError


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


class LimitError(EdgeError):
    """A limit that a person set forbids it: asking again changes nothing before the limit or the month does."""
