"""The life of a release: proposed, approved by enough people, rolled out, paused, rolled back, withdrawn.

The store holds states and signatures; what nodes believe is the signed repository. Every act that nodes must see ends in a
new rollout document, and a release becomes choosable only when its approvals reach the threshold and are published.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner, Signature
from sqlalchemy import delete, select, update
from tuf.api.metadata import Metadata, Targets
from tuf.api.serialization.json import CanonicalJSONSerializer

from coordinator.audit import Actor, record
from coordinator.audit.actor import current
from coordinator.audit.acts import some
from coordinator.audit.head import HeadFile
from coordinator.config import Config
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.releases import gates, keys
from coordinator.releases.models import Models
from coordinator.releases.plan import OFFERED, ReleaseState, plan
from coordinator.releases.repository import Repository
from coordinator.store.blobs import FolderBlobs
from coordinator.store.database import Database
from coordinator.store.described import described
from coordinator.store.tables import approvals, nodes, releases, upstream_revocations
from coordinator.training.trunks import Second, Trunks
from disease_kb import replica
from disease_kb.store import KnowledgeBase
from protocols.artifacts import Artifact, canonical_json
from protocols.manifest import SLUG, ReleaseManifest
from protocols.pipeline import Pipelines
from protocols.selftest import golden_scores
from protocols.trust import KNOWLEDGE, release_path

APPROVAL_LIFE = timedelta(days=365)
KB_FORMAT = "medmesh.kb/1"
KB_PATCHES = 3


class Releases:
    """Releases in the store and in the signed repository."""

    def __init__(self, database: Database, home: Home, config: Config, models: Models) -> None:
        self._database = database
        self._home = home
        self._config = config
        self._models = models
        self._artifacts = FolderBlobs(home.artifacts)
        self._trunks = Trunks(home)
        self.repository = Repository(home.repository, HeadFile(home).head)

    # --- proposing and approving ---------------------------------------------------------------------------------

    async def propose(
        self,
        name: str,
        notes: str,
        allow_unmapped: str | None,
        floor: bool,
        now: datetime,
        converting: Callable[[], None] = lambda: None,
        accept_worse: str | None = None,
    ) -> dict[str, Any]:
        """Put a model version up for approval, if it passes the gates.

        Args:
            name: ``model`` or ``model@version``.
            notes: release notes.
            allow_unmapped: why labels without an entry are released; None: they are not.
            floor: once active, no earlier version may ever be chosen again.
            now: for the approval's expiry.
            converting: called before the trunk is converted a second time, which takes half a minute.
            accept_worse: why a federated head is released that is not shown to be better than the best site's own; None: it
                is not.

        Raises:
            CoordinatorError: ``release.exists``, ``release.gate_failed`` or ``train.conversion_failed``.
        """
        manifest = await self._models.manifest(name)
        row = await self._find(manifest.name)
        if row is not None:
            raise CoordinatorError("release.exists", name=manifest.name, state=row.state)
        if allow_unmapped:
            manifest = replace(manifest, unmapped_reason=allow_unmapped)
        if floor:
            manifest = replace(manifest, floor_version=manifest.version)
        strip = self._artifacts.path(manifest.golden.sha256).read_bytes()
        got = await asyncio.to_thread(golden_scores, manifest, strip, Pipelines(self._artifacts.path))
        training = (await self._models.row(name)).training
        findings = [
            gates.labels_mapped(manifest, allow_unmapped),
            gates.parity(manifest, training),
            gates.vetted(manifest, training),
            gates.retested(manifest, training, await self._revoked_at_origin(manifest.name)),
            gates.calibrated(manifest),
            gates.best_site(manifest, accept_worse),
            gates.self_test(manifest, got),
        ]
        _require(manifest, findings)
        findings.append(gates.converted_twice(manifest, await self._second_conversion(manifest, converting)))
        _require(manifest, findings)
        told = {"unmapped": allow_unmapped, "worse": accept_worse, "floor": floor}
        told = {key: value for key, value in told.items() if value}
        content = manifest.to_bytes()
        await self._insert(manifest.name, manifest.disease, content, notes, findings, ("release.propose", told), now)
        return await self.show(manifest.name)

    async def _revoked_at_origin(self, name: str) -> str | None:
        """What the network that made a version said when it revoked it; None: it did not."""
        query = select(upstream_revocations.c.reason).where(upstream_revocations.c.model == name)
        async with self._database.read() as connection:
            found = await connection.scalar(query)
        return None if found is None else str(found)

    async def _second_conversion(self, manifest: ReleaseManifest, converting: Callable[[], None]) -> Second | None:
        """A second conversion of the trunk; None where there is none of ours, or it was done before."""
        trunk = gates.trunk_of(manifest)
        if trunk is None or manifest.backbone is None or self._trunks.converted_twice(trunk):
            return None
        converting()
        return await asyncio.to_thread(self._trunks.second, manifest.backbone, trunk)

    async def propose_knowledge(self, knowledge: KnowledgeBase, now: datetime) -> dict[str, Any] | None:
        """Put the knowledge base of this moment up for approval; None where it is what was proposed last.

        Patches from the last few versions go with it, so that a changed entry costs a node a few kB.
        """
        version = await knowledge.version()
        data = replica.build(await knowledge.entries())
        artifact = described(KNOWLEDGE, self._artifacts.put(data), self._artifacts)
        newest = await self._newest(KNOWLEDGE)
        if newest is not None and self._kb_artifact(newest).sha256 == artifact.sha256:
            return None
        patches = []
        for old in (await self._all_of(KNOWLEDGE))[:KB_PATCHES]:
            before = self._kb_artifact(old).sha256
            change = replica.patch(self._artifacts.path(before).read_bytes(), data)
            patches.append(
                {"from": before, **Artifact("kb-patch", self._artifacts.put(change), len(change)).document()}
            )
        document = canonical_json(
            {"format": KB_FORMAT, "version": version, "artifact": artifact.document(), "patches": patches}
        )
        name = f"{KNOWLEDGE}@{1 if newest is None else int(newest.name.split('@')[1]) + 1}"
        told = ("kb.publish", {"version": version})
        await self._insert(name, KNOWLEDGE, document, f"Knowledge base {version}", [], told, now)
        return await self.show(name)

    async def request(self, name: str) -> dict[str, Any]:
        """What an approver on another machine needs: the document itself and the metadata to sign."""
        row = await self._existing(name)
        if row.state != "proposed":
            raise CoordinatorError("release.wrong_state", name=row.name, state=row.state, act="approved")
        return {
            "release": row.name,
            "path": release_path(row.disease, row.name),
            "document": self._content(row).decode("utf-8"),
            "draft": self._draft(row).to_dict(),
            "notes": row.notes,
        }

    async def approve(self, name: str, key: Path | None, now: datetime) -> dict[str, Any]:
        """Sign a proposed release with a key on this machine; without ``key``, with the only one in the home.

        Raises:
            CoordinatorError: ``release.wrong_state``, ``release.already_signed``, ``release.not_an_approver``.
        """
        row = await self._existing(name)
        local = keys.approver_paths(self._home)
        if key is None and len(local) != 1:
            raise CoordinatorError("release.which_key", count=len(local))
        signature = sign_draft(self._draft(row), keys.load(key or local[0]))
        return await self.add_signature(row.name, signature, now)

    async def add_signature(self, name: str, signature: Signature, now: datetime) -> dict[str, Any]:
        """Take an approver's signature; at the threshold the release is published as approved.

        Raises:
            CoordinatorError: ``release.wrong_state``, ``release.already_signed``, ``release.not_an_approver`` or
                ``release.stale_signature`` where another release was published since the draft was made.
        """
        row = await self._existing(name)
        if row.state != "proposed":
            raise CoordinatorError("release.wrong_state", name=row.name, state=row.state, act="approved")
        draft = self._draft(row)
        known = self.repository.approver_keys()
        if signature.keyid not in known:
            raise CoordinatorError("release.not_an_approver")
        if not _valid(draft, signature, known):
            raise CoordinatorError("release.stale_signature", name=row.name)
        counting = await self._signatures(row.name, draft)
        if signature.keyid in {s.keyid for s in counting}:
            raise CoordinatorError("release.already_signed", name=row.name)
        async with self._database.begin() as connection:
            await connection.execute(
                delete(approvals).where(approvals.c.release == row.name, approvals.c.key_id == signature.keyid)
            )
            await connection.execute(
                approvals.insert().values(
                    release=row.name,
                    key_id=signature.keyid,
                    signature=signature.signature,
                    created=now.isoformat(timespec="seconds"),
                )
            )
            counting.append(signature)
            told = {"key": signature.keyid[:16], "approvals": len(counting), "needed": self.repository.threshold()}
            await record(connection, self._approver(signature.keyid), "release.approve", row.name, told, now)
        if len(counting) >= self.repository.threshold():
            for one in counting:
                draft.signatures[one.keyid] = one
            await asyncio.to_thread(self._publish, row, draft, now)
            await self._store(row, "approved", ("proposed",), None, now, state="approved")
        return await self.show(row.name)

    def _approver(self, keyid: str) -> Actor:
        """Whose signature it is, whoever handed it in."""
        return Actor("user", keys.approver_names(self._home).get(keyid, keyid[:16]))

    def _publish(self, row: Any, draft: Metadata[Targets], now: datetime) -> None:
        with self.repository.exclusive():
            self.repository.publish_approved(
                draft, release_path(row.disease, row.name), self._content(row), keys.online(self._home), now
            )

    # --- rolling out ---------------------------------------------------------------------------------------------

    async def rollout(self, name: str, percent: int, groups: tuple[str, ...], now: datetime) -> dict[str, Any]:
        """Offer an approved release to a share of the nodes and to whole groups."""
        row = await self._existing(name)
        allowed = ("approved", *OFFERED, "rolled back")
        values: dict[str, Any] = {"state": "released", "percent": percent, "groups": list(groups)}
        told = ("release.rollout", {"percent": percent, "groups": some(groups)})
        await self._store(row, "rolled out", allowed, told, now, **values)
        await self.announce(now)
        return await self.show(row.name)

    async def pause(self, name: str, now: datetime) -> dict[str, Any]:
        """Freeze a model where it is: nodes keep what they have."""
        return await self._move(name, ("released",), "paused", "paused", "release.pause", now)

    async def resume(self, name: str, now: datetime) -> dict[str, Any]:
        """Go on after a pause."""
        return await self._move(name, ("paused",), "released", "resumed", "release.resume", now)

    async def rollback(self, name: str, now: datetime) -> dict[str, Any]:
        """Send nodes back to the release before this one, which must have been offered to all."""
        row = await self._existing(name)
        states = await self._states()
        mine = ReleaseState(row.name, row.disease, row.state, row.percent, (), "")
        earlier = [s for s in states if s.model == mine.model and s.version < mine.version and s.state in OFFERED]
        if not earlier:
            raise CoordinatorError("release.nothing_to_roll_back", name=row.name)
        return await self._move(name, OFFERED, "rolled back", "rolled back", "release.rollback", now)

    async def withdraw(self, name: str, reason: str, now: datetime) -> dict[str, Any]:
        """Revoke a release for good: nodes that have it stop using it and show the reason."""
        row = await self._existing(name)
        anything_else = ("proposed", "approved", *OFFERED, "rolled back")
        told = ("release.withdraw", {"reason": reason})
        await self._store(row, "withdrawn", anything_else, told, now, state="withdrawn", percent=0, reason=reason)
        await self.announce(now)
        return await self.show(row.name)

    async def announce(self, now: datetime) -> None:
        """Publish the rollout document that follows from the store, if it says something new."""
        states = await self._states()
        async with self._database.read() as connection:
            gone = (await connection.scalars(select(nodes.c.id).where(nodes.c.revoked))).all()
        await asyncio.to_thread(self._announce, states, [str(n) for n in gone], now)

    def _announce(self, states: list[ReleaseState], gone: list[str], now: datetime) -> None:
        with self.repository.exclusive():
            current = self.repository.rollout()
            wanted = plan(states, current.serial, self._config.name, gone)
            if wanted != current:
                following = replace(wanted, serial=current.serial + 1)
                self.repository.publish_rollout(following, keys.online(self._home), now)

    async def keep_fresh(self, now: datetime) -> None:
        """Renew the timestamp; ``serve`` calls this now and then."""
        await asyncio.to_thread(self._keep_fresh, now)

    def _keep_fresh(self, now: datetime) -> None:
        with self.repository.exclusive():
            self.repository.keep_fresh(keys.online(self._home), now)

    # --- showing -------------------------------------------------------------------------------------------------

    async def serial(self) -> int:
        """The rollout document's serial."""
        return (await asyncio.to_thread(self.repository.rollout)).serial

    async def show(self, name: str) -> dict[str, Any]:
        """One release with its gates, approvals and what it needs next."""
        row = await self._existing(name)
        signed = await self._signatures(row.name, self._draft(row)) if row.state == "proposed" else []
        async with self._database.read() as connection:
            rows = await connection.execute(select(approvals).where(approvals.c.release == row.name))
            by_key = {r.key_id: r.created for r in rows}
        counting = {s.keyid for s in signed} if row.state == "proposed" else set(by_key)
        model, version = row.name.split("@")
        return {
            "release": row.name,
            "disease": row.disease,
            "model": model,
            "version": int(version),
            "state": row.state,
            "percent": row.percent,
            "groups": row.groups,
            "reason": row.reason,
            "notes": row.notes,
            "gates": row.gates,
            "approvals": [{"key": k[:16], "on": on} for k, on in sorted(by_key.items()) if k in counting],
            "approvals_needed": self.repository.threshold(),
            "manifest": row.manifest,
            "created": row.created,
        }

    async def all(self) -> list[dict[str, Any]]:
        """All releases, newest first."""
        async with self._database.read() as connection:
            names = (await connection.scalars(select(releases.c.name).order_by(releases.c.created.desc()))).all()
        return [await self.show(n) for n in names]

    # --- the store -----------------------------------------------------------------------------------------------

    async def _insert(
        self,
        name: str,
        disease: str,
        content: bytes,
        notes: str,
        findings: list[gates.Gate],
        told: tuple[str, dict[str, Any]],
        now: datetime,
    ) -> None:
        sha256 = self._artifacts.put(content)
        async with self._database.begin() as connection:
            await connection.execute(
                releases.insert().values(
                    name=name,
                    disease=disease,
                    manifest=sha256,
                    state="proposed",
                    percent=0,
                    groups=[],
                    reason="",
                    notes=notes,
                    gates=[g.document() for g in findings],
                    created=now.isoformat(timespec="seconds"),
                )
            )
            act, detail = told
            detail = {"disease": disease, "manifest": sha256, **detail}
            await record(connection, current.get(), act, name, detail, now)

    async def _store(
        self,
        row: Any,
        act: str,
        allowed: tuple[str, ...],
        told: tuple[str, dict[str, Any]] | None,
        now: datetime,
        **values: Any,
    ) -> None:
        """Change a release's row only out of a state that allows it, in one statement; ``told`` is for the audit trail.

        Raises:
            CoordinatorError: ``release.wrong_state``; someone may have acted since ``row`` was read.
        """
        async with self._database.begin() as connection:
            changed = await connection.execute(
                update(releases).where(releases.c.name == row.name, releases.c.state.in_(allowed)).values(**values)
            )
            if changed.rowcount and told is not None:
                name, detail = told
                await record(connection, current.get(), name, row.name, detail, now)
        if changed.rowcount == 0:
            now_there = await self._find(row.name)
            raise CoordinatorError("release.wrong_state", name=row.name, state=now_there.state, act=act)

    async def _move(
        self, name: str, allowed: tuple[str, ...], state: str, act: str, recorded: str, now: datetime
    ) -> dict[str, Any]:
        row = await self._existing(name)
        await self._store(row, act, allowed, (recorded, {}), now, state=state)
        await self.announce(now)
        return await self.show(row.name)

    async def _states(self) -> list[ReleaseState]:
        async with self._database.read() as connection:
            rows = (await connection.execute(select(releases))).all()
        return [ReleaseState(r.name, r.disease, r.state, r.percent, tuple(r.groups), r.reason) for r in rows]

    def _content(self, row: Any) -> bytes:
        return self._artifacts.path(row.manifest).read_bytes()

    def _draft(self, row: Any) -> Metadata[Targets]:
        expires = datetime.fromisoformat(row.created) + APPROVAL_LIFE
        return self.repository.draft(release_path(row.disease, row.name), self._content(row), expires)

    async def _signatures(self, name: str, draft: Metadata[Targets]) -> list[Signature]:
        """Recorded signatures that count for this draft."""
        known = self.repository.approver_keys()
        async with self._database.read() as connection:
            rows = (await connection.execute(select(approvals).where(approvals.c.release == name))).all()
        recorded = [Signature(r.key_id, r.signature) for r in rows if r.key_id in known]
        return [s for s in recorded if _valid(draft, s, known)]

    def _kb_artifact(self, row: Any) -> Artifact:
        return Artifact.from_document(json.loads(self._content(row))["artifact"])

    async def _all_of(self, model: str) -> Sequence[Any]:
        """All releases of a model, newest first."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(releases))).all()
        mine = [r for r in rows if r.name.split("@")[0] == model]
        return sorted(mine, key=lambda r: -int(r.name.split("@")[1]))

    async def _newest(self, model: str) -> Any:
        return next(iter(await self._all_of(model)), None)

    async def _find(self, name: str) -> Any:
        async with self._database.read() as connection:
            return (await connection.execute(select(releases).where(releases.c.name == name))).first()

    async def _existing(self, name: str) -> Any:
        """The release by ``model@version``, or the newest of ``model``."""
        row = await (self._newest(name) if SLUG.fullmatch(name) else self._find(name))
        if row is None:
            raise CoordinatorError("release.unknown", name=name)
        return row


def _require(manifest: ReleaseManifest, findings: list[gates.Gate]) -> None:
    """Refuse a version that a gate stops."""
    for gate in findings:
        if not gate.ok:
            raise CoordinatorError("release.gate_failed", name=manifest.name, gate=gate.name, detail=gate.detail)


def sign_draft(draft: Metadata[Targets], signer: CryptoSigner) -> Signature:
    """An approver's signature over a draft."""
    return signer.sign(CanonicalJSONSerializer().serialize(draft.signed))


def _valid(draft: Metadata[Targets], signature: Signature, known: dict[str, Any]) -> bool:
    try:
        known[signature.keyid].verify_signature(signature, CanonicalJSONSerializer().serialize(draft.signed))
    except Exception:  # securesystemslib raises several kinds for malformed and for wrong signatures
        return False
    return True
