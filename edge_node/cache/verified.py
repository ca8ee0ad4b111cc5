"""What was last verified of a coordinator: its trust record and its list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from edge_node.cache.tables import Tables
from edge_node.trust.catalogue import CatalogueRelease, KnowledgeReference
from edge_node.trust.record import TrustRecord
from protocols.artifacts import Artifact


class Verified(Tables):
    """Trust records and lists, by coordinator."""

    async def trust(self, coordinator: str) -> TrustRecord | None:
        """What was last verified of a coordinator."""
        rows = await self._file.rows(
            """SELECT document, serial, rollout_keys, timestamp_keys, time_floor, verified, revoked
            FROM trust WHERE coordinator = ?""",
            (coordinator,),
        )
        if not rows:
            return None
        document, serial, rollout_keys, timestamp_keys, floor, verified, revoked = rows[0]
        return TrustRecord(
            document=document,
            serial=serial,
            rollout_keys=frozenset(json.loads(rollout_keys)),
            timestamp_keys=frozenset(json.loads(timestamp_keys)),
            time_floor=datetime.fromisoformat(floor),
            verified=datetime.fromisoformat(verified),
            revoked=json.loads(revoked),
        )

    async def set_trust(self, coordinator: str, record: TrustRecord) -> None:
        """Keep what was just verified."""
        values = (
            record.document,
            record.serial,
            json.dumps(sorted(record.rollout_keys)),
            json.dumps(sorted(record.timestamp_keys)),
            record.time_floor.isoformat(),
            record.verified.isoformat(),
            json.dumps(dict(record.revoked), ensure_ascii=False),
        )
        async with self._file.transaction():
            await self._file.run(
                """INSERT INTO trust (coordinator, document, serial, rollout_keys, timestamp_keys, time_floor, verified,
                revoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET document = excluded.document,
                serial = excluded.serial, rollout_keys = excluded.rollout_keys,
                timestamp_keys = excluded.timestamp_keys, time_floor = excluded.time_floor,
                verified = excluded.verified, revoked = excluded.revoked""",
                (coordinator, *values),
            )

    async def listed(self, coordinator: str) -> dict[tuple[str, str], CatalogueRelease]:
        """The approved releases that were last in the list, by (disease, name)."""
        rows = await self._file.rows(
            "SELECT disease, model, version, signer, files FROM listed WHERE coordinator = ?", (coordinator,)
        )
        found = [
            CatalogueRelease(disease, model, version, signer, *_first_and_rest(files))
            for disease, model, version, signer, files in rows
        ]
        return {(release.disease, release.name): release for release in found}

    async def set_listed(
        self, coordinator: str, releases: Sequence[CatalogueRelease], knowledge: KnowledgeReference | None
    ) -> None:
        """Keep the approved releases and the replica that the list names now."""
        described = None if knowledge is None else json.dumps(knowledge.document())
        async with self._file.transaction():
            await self._file.run("DELETE FROM listed WHERE coordinator = ?", (coordinator,))
            for r in releases:
                files = json.dumps([artifact.document() for artifact in r.files])
                await self._file.run(
                    "INSERT INTO listed VALUES (?, ?, ?, ?, ?, ?)",
                    (coordinator, r.disease, r.model, r.version, r.signer, files),
                )
            await self._file.run("UPDATE trust SET knowledge = ? WHERE coordinator = ?", (described, coordinator))

    async def knowledge(self, coordinator: str) -> KnowledgeReference | None:
        """The replica that the list last named."""
        rows = await self._file.rows("SELECT knowledge FROM trust WHERE coordinator = ?", (coordinator,))
        if not rows or rows[0][0] is None:
            return None
        return KnowledgeReference.from_document(json.loads(rows[0][0]))


def _first_and_rest(files: str) -> tuple[Artifact, tuple[Artifact, ...]]:
    first, *rest = (Artifact.from_document(document) for document in json.loads(files))
    return first, tuple(rest)
