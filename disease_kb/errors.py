"""Failures of the knowledge base. The sentences stand in ``protocols/error_codes/kb.toml``."""

from __future__ import annotations

from protocols.errors import MedMeshError


class KnowledgeBaseError(MedMeshError):
    """Root of every expected failure of this package; also used as a value where problems are collected."""


class InvalidEntryError(KnowledgeBaseError):
    """An entry breaks a structural rule or limit: correct the source; nothing of it was taken."""


class UnreadableSourceError(KnowledgeBaseError):
    """A file or a replica cannot be read at all: get a good copy."""


class NotFoundError(KnowledgeBaseError):
    """No entry has this id: search for another."""


class ConflictError(KnowledgeBaseError):
    """An import or review would change something it may not: decide by hand, then repeat."""


class StoreError(KnowledgeBaseError):
    """The database file is damaged or of another kind: rebuild it."""
