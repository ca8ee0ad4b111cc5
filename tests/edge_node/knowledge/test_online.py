from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from disease_kb.diagnosis import diagnosis_aid
from disease_kb.seeding import seed_entries
from edge_node.errors import UnreachableError
from edge_node.knowledge.lookup import consult, is_diagnosis_aid
from edge_node.knowledge.online import CoordinatorKnowledge

MALARIA = diagnosis_aid(next(e for e in seed_entries() if e.id == "malaria"))


class SimulatedOrigin:
    url = "memory"

    def __init__(self, entries: dict[str, Any] | None) -> None:
        self._entries = entries

    async def knowledge_entry(self, entry_id: str) -> dict[str, Any] | None:
        if self._entries is None:
            raise UnreachableError("edge.coordinator_unreachable", url=self.url)
        return {"kb_version": "v1", "entry": self._entries[entry_id]} if entry_id in self._entries else None


def knowledge(*origins: SimulatedOrigin) -> CoordinatorKnowledge:
    @asynccontextmanager
    async def connect() -> AsyncIterator[list[SimulatedOrigin]]:
        yield list(origins)

    return CoordinatorKnowledge(connect)


async def test_lookup_asks_the_next_address_when_one_is_gone() -> None:
    answer = await knowledge(SimulatedOrigin(None), SimulatedOrigin({"malaria": MALARIA})).lookup({"malaria", "x"})
    assert answer is not None
    assert (answer.source, answer.kb_version, list(answer.entries)) == ("coordinator", "v1", ["malaria"])


async def test_lookup_leaves_to_the_replica_what_the_coordinator_knows_nothing_of() -> None:
    assert await knowledge(SimulatedOrigin({})).lookup({"malaria"}) is None
    assert await knowledge(SimulatedOrigin({"malaria": MALARIA})).lookup(set()) is None


@pytest.mark.parametrize(
    "broken",
    [
        MALARIA | {"id": "tuberculosis"},
        MALARIA | {"name": "Malaria"},
        MALARIA | {"red_flags": {"zh": [], "en": "none"}},
        MALARIA | {"urgency": None},
        MALARIA | {"definition": {"zh": "", "en": "\x1b[2J"}},
        {},
        [],
    ],
)
async def test_an_entry_of_the_wrong_shape_is_not_shown(broken: Any) -> None:
    assert not is_diagnosis_aid(broken, "malaria")
    assert (await consult([(knowledge(SimulatedOrigin({"malaria": broken})), 1.0)], {"malaria"})).source == "none"


def test_every_packaged_entry_has_the_shape() -> None:
    assert all(is_diagnosis_aid(diagnosis_aid(e), e.id) for e in seed_entries())
