"""Proposing, approving, rolling out and withdrawing releases, and the catalogue that follows from it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from coordinator.config import Config
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.releases import approvers, gates
from coordinator.releases.models import Models
from coordinator.store.blobs import FolderBlobs
from coordinator.store.database import CATALOGUE_SERIAL, Database, bump_catalogue, get_fact, set_fact
from coordinator.store.tables import approvals, releases
from disease_kb import replica
from disease_kb.store import KnowledgeBase
from protocols.artifacts import Artifact
from protocols.pipeline import Pipelines
from protocols.selftest import golden_scores

_KB_FACT = "kb_replica"


class Releases:
    """The life of releases in the store."""

    def __init__(self, database: Database, home: Home, config: Config, models: Models) -> None:
        self._database = database
        self._home = home
        self._config = config
        self._models = models
        self._artifacts = FolderBlobs(home.artifacts)

    async def propose(self, name: str, notes: str, allow_unmapped: str | None, now: datetime) -> dict[str, Any]:
        """Put a model version up for approval, if it passes the gates.

        Raises:
            CoordinatorError: ``release.exists`` or ``release.gate_failed``.
        """
        manifest = await self._models.manifest(name)
        row = await self._find(manifest.name)
        if row is not None:
            raise CoordinatorError("release.exists", name=manifest.name, state=row.state)
        if allow_unmapped:
            manifest = replace(manifest, unmapped_reason=allow_unmapped)
        strip = self._artifacts.path(manifest.golden.sha256).read_bytes()
        got = await asyncio.to_thread(golden_scores, manifest, strip, Pipelines(self._artifacts.path))
        findings = [gates.labels_mapped(manifest, allow_unmapped), gates.self_test(manifest, got)]
        for gate in findings:
            if not gate.ok:
                raise CoordinatorError("release.gate_failed", name=manifest.name, gate=gate.name, detail=gate.detail)
        sha256 = self._artifacts.put(manifest.to_bytes())
        async with self._database.begin() as connection:
            await connection.execute(
                releases.insert().values(
                    name=manifest.name,
                    disease=manifest.disease,
                    manifest=sha256,
                    state="proposed",
                    percent=0,
                    notes=notes,
                    gates=[g.document() for g in findings],
                    created=now.isoformat(timespec="seconds"),
                )
            )
        return await self.show(manifest.name)

    async def approve(self, name: str, key: Path | None, now: datetime) -> dict[str, Any]:
        """Sign a proposed release; at the threshold it becomes approved.

        Without ``key`` a key in the home signs, if there is exactly one approver.

        Raises:
            CoordinatorError: ``release.wrong_state``, ``release.already_signed`` or ``release.not_an_approver``.
        """
        row = await self._existing(name)
        if row.state != "proposed":
            raise CoordinatorError("release.wrong_state", name=row.name, state=row.state, act="approved")
        local = approvers.local_keys(self._home)
        if key is None and len(local) != 1:
            raise CoordinatorError("release.which_key", count=len(local))
        private = approvers.load(key or local[0], self._home)
        content = self._artifacts.path(row.manifest).read_bytes()
        identity = approvers.key_id(private.public_key())
        async with self._database.begin() as connection:
            signed = select(approvals).where(approvals.c.release == row.name)
            rows = (await connection.execute(signed)).all()
            if identity in {r.key_id for r in rows}:
                raise CoordinatorError("release.already_signed", name=row.name)
            await connection.execute(
                approvals.insert().values(
                    release=row.name,
                    key_id=identity,
                    signature=private.sign(content).hex(),
                    created=now.isoformat(timespec="seconds"),
                )
            )
            known = approvers.known(self._home)
            rows = (await connection.execute(signed)).all()
            count = sum(r.key_id in known and approvers.valid(known[r.key_id], r.signature, content) for r in rows)
            if count >= self._config.approvals:
                await connection.execute(update(releases).where(releases.c.name == row.name).values(state="approved"))
        return await self.show(row.name)

    async def rollout(self, name: str, percent: int, knowledge: KnowledgeBase) -> dict[str, Any]:
        """Offer an approved release to nodes, with the knowledge base of this moment.

        Raises:
            CoordinatorError: ``release.wrong_state``.
        """
        row = await self._existing(name)
        if row.state not in ("approved", "released", "paused"):
            raise CoordinatorError("release.wrong_state", name=row.name, state=row.state, act="rolled out")
        await self.publish_knowledge(knowledge)
        return await self._set(row.name, state="released", percent=percent)

    async def pause(self, name: str) -> dict[str, Any]:
        """Stop offering a release; nodes that have it keep it."""
        row = await self._existing(name)
        if row.state != "released":
            raise CoordinatorError("release.wrong_state", name=row.name, state=row.state, act="paused")
        return await self._set(row.name, state="paused")

    async def withdraw(self, name: str) -> dict[str, Any]:
        """Take a release away for good."""
        row = await self._existing(name)
        if row.state == "withdrawn":
            raise CoordinatorError("release.wrong_state", name=row.name, state=row.state, act="withdrawn")
        return await self._set(row.name, state="withdrawn", percent=0)

    async def show(self, name: str) -> dict[str, Any]:
        """One release with its gates and approvals."""
        row = await self._existing(name)
        manifest = self._models.read_manifest(row.manifest)
        async with self._database.begin() as connection:
            signed = await connection.execute(select(approvals).where(approvals.c.release == row.name))
            keys = [{"key": r.key_id[:16], "on": r.created} for r in signed]
        return {
            "release": row.name,
            "disease": row.disease,
            "model": manifest.model,
            "version": manifest.version,
            "state": row.state,
            "percent": row.percent,
            "notes": row.notes,
            "gates": row.gates,
            "approvals": keys,
            "approvals_needed": self._config.approvals,
            "manifest": row.manifest,
            "created": row.created,
        }

    async def list(self) -> list[dict[str, Any]]:
        """All releases, newest first."""
        async with self._database.begin() as connection:
            names = (await connection.scalars(select(releases.c.name).order_by(releases.c.created.desc()))).all()
        return [await self.show(n) for n in names]

    async def publish_knowledge(self, knowledge: KnowledgeBase) -> dict[str, Any]:
        """Make the knowledge base of this moment the replica that nodes fetch."""
        data = replica.build(await knowledge.entries())
        self._artifacts.put(data)
        version = await knowledge.version()
        artifact = Artifact.of("kb", data)
        fact = f"{artifact.sha256} {artifact.size_bytes} {version}"
        async with self._database.begin() as connection:
            if await get_fact(connection, _KB_FACT) != fact:
                await set_fact(connection, _KB_FACT, fact)
                await bump_catalogue(connection)
        return {"kb_version": version, "sha256": artifact.sha256, "size": artifact.size_bytes}

    async def serial(self) -> int:
        """The catalogue's serial; it rises with every change that nodes should see."""
        async with self._database.begin() as connection:
            return int(await get_fact(connection, CATALOGUE_SERIAL, "0"))

    async def catalogue(self, node_url: str, signer: str) -> dict[str, Any]:
        """Model list L: everything that nodes may fetch now."""
        async with self._database.begin() as connection:
            serial = int(await get_fact(connection, CATALOGUE_SERIAL, "0"))
            kb = (await get_fact(connection, _KB_FACT)).split()
            rows = (
                await connection.execute(
                    select(releases).where(releases.c.state == "released", releases.c.percent == 100)
                )
            ).all()
        listed = []
        for row in rows:
            manifest = self._models.read_manifest(row.manifest)
            listed.append(
                {
                    "release": row.name,
                    "disease": row.disease,
                    "model": manifest.model,
                    "version": manifest.version,
                    "manifest": {"sha256": row.manifest, "size": self._artifacts.path(row.manifest).stat().st_size},
                    "signer": signer,
                    "artifacts": [a.document() for a in manifest.artifacts],
                }
            )
        return {
            "serial": serial,
            "coordinator": self._config.name,
            "node_url": node_url,
            "kb": {"sha256": kb[0], "size": int(kb[1]), "version": kb[2]} if kb else None,
            "releases": sorted(listed, key=lambda r: (r["disease"], r["model"], -r["version"])),
        }

    async def _set(self, name: str, **values: Any) -> dict[str, Any]:
        async with self._database.begin() as connection:
            await connection.execute(update(releases).where(releases.c.name == name).values(**values))
            await bump_catalogue(connection)
        return await self.show(name)

    async def _find(self, name: str) -> Any:
        async with self._database.begin() as connection:
            return (await connection.execute(select(releases).where(releases.c.name == name))).first()

    async def _existing(self, name: str) -> Any:
        """The release by ``model@version``, or the newest of ``model``."""
        if "@" not in name:
            async with self._database.begin() as connection:
                names = (await connection.scalars(select(releases.c.name))).all()
            versions = [int(n.split("@")[1]) for n in names if n.split("@")[0] == name]
            name = f"{name}@{max(versions)}" if versions else name
        row = await self._find(name)
        if row is None:
            raise CoordinatorError("release.unknown", name=name)
        return row
