"""Errors of the coordinator; codes and sentences stand in the one table of ``protocols.errors``."""

from protocols.errors import MedMeshError


class CoordinatorError(MedMeshError):
    """Something that the coordinator refuses or cannot do."""
