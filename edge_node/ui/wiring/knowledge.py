"""The knowledge base's replica."""

from __future__ import annotations

from edge_node.ui.findings import disease_page
from edge_node.ui.values import DiseasePage, KnowledgeHit
from edge_node.ui.wiring.node import Adapter
from protocols.errors import Language


class ReplicaReader(Adapter):
    """The knowledge base's replica."""

    async def entries(self) -> list[KnowledgeHit]:
        """All entries, by name."""
        return await self._run(self._entries)

    async def _entries(self) -> list[KnowledgeHit]:
        found = await (await self._node.knowledge()).entries()
        hits = [
            KnowledgeHit(
                entry.id,
                {"zh": entry.name.zh, "en": entry.name.en},
                entry.urgency.level if entry.urgency else "none",
                entry.review.status,
            )
            for entry in found
            if entry.kind == "disease"
        ]
        return sorted(hits, key=lambda hit: hit.name["en"].casefold())

    async def search(self, text: str, limit: int, language: Language) -> list[KnowledgeHit]:
        """What fits, best first, with the place that fits."""
        return await self._run(lambda: self._search(text, limit, language))

    async def _search(self, text: str, limit: int, language: Language) -> list[KnowledgeHit]:
        hits = await (await self._node.knowledge()).search(text, limit)
        found = []
        for hit in hits:
            snippets = sorted(hit.snippets, key=lambda s: s.language != language)
            snippet = snippets[0].text if snippets else ""
            found.append(KnowledgeHit(hit.id, hit.name, hit.urgency, hit.review_status, snippet))  # type: ignore[arg-type]
        return found

    async def page(self, entry_id: str) -> DiseasePage | None:
        """One entry."""
        return await self._run(lambda: self._page(entry_id))

    async def _page(self, entry_id: str) -> DiseasePage | None:
        from disease_kb.diagnosis import diagnosis_aid

        entry = await (await self._node.knowledge()).get(entry_id)
        return None if entry is None else disease_page(diagnosis_aid(entry))
