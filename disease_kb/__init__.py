"""The disease knowledge base: bilingual, coded, cited and searchable without a network."""

from disease_kb.errors import KnowledgeBaseError
from disease_kb.model import Entry
from disease_kb.seeding import open_or_build
from disease_kb.store import KnowledgeBase

__all__ = ["Entry", "KnowledgeBase", "KnowledgeBaseError", "open_or_build"]
