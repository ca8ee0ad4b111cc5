"""The life of a release: proposed, approved by enough people, rolled out, paused, rolled back, withdrawn.

The store holds states and signatures; what nodes believe is the signed repository. Every act that nodes must see ends in a
new rollout document, and a release becomes choosable only when its approvals reach the threshold and are published.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from securesystemslib.signer import CryptoSigner, Signature
from sqlalchemy import Executable, delete, select, update
from tuf.api.metadata import Metadata, Targets
from tuf.api.serialization.json import CanonicalJSONSerializer

from coordinator.audit import Actor, record
from coordinator.audit.actor import current
from coordinator.audit.acts import some
from coordinator.audit.head import HeadFile
from coordinator.config import Config
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.releases import gates, keys, regression
from coordinator.releases.models import Models
from coordinator.releases.plan import OFFERED, ReleaseState, plan
from coordinator.releases.repository import Repository
from coordinator.reports.document import Words
from coordinator.store.blobs import FolderBlobs
from coordinator.store.database import Database
from coordinator.store.described import described
from coordinator.store.tables import approvals, nodes, releases, staged_rollouts, upstream_revocations
from coordinator.training import oof
from coordinator.training.trunks import Second, Trunks
from disease_kb import replica
from protocols.artifacts import Artifact, canonical_json
from protocols.manifest import SLUG, ReleaseManifest
from protocols.pipeline import Pipelines
from protocols.selftest import golden_scores
from protocols.trust import KNOWLEDGE, release_path

if TYPE_CHECKING:
    from disease_kb.store import KnowledgeBase

APPROVAL_LIFE = timedelta(days=365)
CAN_BE_OFFERED = ("approved", *OFFERED, "rolled back")
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
        # Who waits for another process to publish holds a thread; many of one process would leave none to the publisher.
        self._turn = asyncio.Lock()

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
            accept_worse: why a version is released that is worse than the current release or cannot be compared with it, or a
                federated head that is not shown to be better than the best site's own; None: it is not.

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
        earlier = [r for r in await self._all_of(manifest.model) if int(r.name.split("@")[1]) < manifest.version]
        told = next((r.notes for r in earlier if r.state in (*OFFERED, "rolled back", "withdrawn")), None)
        findings = [
            gates.notes(notes, told),
            gates.card_complete(manifest),
            gates.labels_mapped(manifest, allow_unmapped),
            gates.parity(manifest, training),
            gates.vetted(manifest, training),
            gates.retested(manifest, training, await self._revoked_at_origin(manifest.name)),
            gates.calibrated(manifest),
            gates.best_site(manifest, accept_worse),
            await self._non_regression(manifest, training, earlier, accept_worse),
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

    async def _non_regression(
        self, manifest: ReleaseManifest, training: dict[str, Any], earlier: Sequence[Any], reason: str | None
    ) -> gates.Gate:
        """Against the newest earlier release that is with all nodes."""
        row = next((r for r in earlier if r.state in OFFERED and r.percent == 100), None)
        if row is None:
            return regression.gate(None, None, reason)
        found = regression.stated(training, row.name)
        if found is None:
            theirs = self._models.read_manifest(row.manifest)
            blobs = FolderBlobs(self._home.out_of_fold)
            other = (await self._models.row(row.name)).training
            answers, others = (oof.load(blobs, t.get("out_of_fold")) for t in (training, other))
            if answers is not None and others is not None:
                labels, their_labels = ([x.label for x in m.labels] for m in (manifest, theirs))
                found = await asyncio.to_thread(regression.paired, answers, labels, others, their_labels)
        return regression.gate(row.name, found, reason)

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

    async def digest(self, name: str) -> str:
        """SHA-256 of exactly what an approver signs now; another once any other release is published.

        Raises:
            CoordinatorError: ``release.unknown``.
        """
        return draft_digest(self._draft(await self._existing(name)))

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
            async with self._turn:
                await asyncio.to_thread(self._publish, row, draft, now)
            await self.change(row.name, "approved", ("proposed",), None, now, state="approved")
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
        """Offer an approved release to a share of the nodes and to whole groups, until a person says otherwise."""
        row = await self._existing(name)
        also = (delete(staged_rollouts).where(staged_rollouts.c.release == row.name),)
        values: dict[str, Any] = {"state": "released", "percent": percent, "groups": list(groups)}
        told = ("release.rollout", {"percent": percent, "groups": some(groups)})
        await self.change(row.name, "rolled out", CAN_BE_OFFERED, told, now, also, **values)
        await self.announce(now)
        return await self.show(row.name)

    async def pause(self, name: str, now: datetime) -> dict[str, Any]:
        """Freeze a model where it is: nodes keep what they have."""
        return await self._move(name, ("released",), "paused", "paused", "release.pause", now)

    async def resume(self, name: str, now: datetime) -> dict[str, Any]:
        """Go on after a pause; what nodes had said of the release until then does not stop a staged rollout again."""
        row = await self._existing(name)
        table = staged_rollouts.c
        accepted = update(staged_rollouts).values(accepted=table.known, revision=table.revision + 1)
        also = (accepted.where(table.release == row.name),)
        return await self._move(row.name, ("paused",), "released", "resumed", "release.resume", now, also)

    async def rollback(self, name: str, now: datetime) -> dict[str, Any]:
        """Send nodes back to the release before this one, which must have been offered to all."""
        row = await self._existing(name)
        mine, states = _state(row), await self.states()
        earlier = [s for s in states if s.model == mine.model and s.version < mine.version and s.state in OFFERED]
        if not any(s.percent == 100 for s in earlier):
            raise CoordinatorError("release.nothing_to_roll_back", name=row.name)
        return await self._move(name, OFFERED, "rolled back", "rolled back", "release.rollback", now)

    async def withdraw(self, name: str, reason: str, now: datetime) -> dict[str, Any]:
        """Revoke a release for good: nodes that have it stop using it and show the reason."""
        row = await self._existing(name)
        anything_else = ("proposed", "approved", *OFFERED, "rolled back")
        told = ("release.withdraw", {"reason": reason})
        await self.change(row.name, "withdrawn", anything_else, told, now, state="withdrawn", percent=0, reason=reason)
        await self.announce(now)
        return await self.show(row.name)

    async def announce(self, now: datetime) -> None:
        """Publish the rollout document that follows from the store, if it says something new.

        The store is read while nobody else may publish: who read it earlier would take back what another process announced.
        """
        async with self._publishing():
            states = await self.states()
            async with self._database.read() as connection:
                gone = (await connection.scalars(select(nodes.c.id).where(nodes.c.revoked))).all()
            await asyncio.to_thread(self._announce, states, [str(n) for n in gone], now)

    @asynccontextmanager
    async def _publishing(self) -> AsyncIterator[None]:
        async with self._turn:
            with ExitStack() as stack:
                await asyncio.to_thread(
                    stack.enter_context, self.repository.exclusive()
                )  # may wait for another process
                yield

    def _announce(self, states: list[ReleaseState], gone: list[str], now: datetime) -> None:
        current = self.repository.rollout()
        wanted = plan(states, current.serial, self._config.name, gone)
        if wanted != current:
            following = replace(wanted, serial=current.serial + 1)
            self.repository.publish_rollout(following, keys.online(self._home), now)

    async def keep_fresh(self, now: datetime) -> None:
        """Renew the timestamp; ``serve`` calls this now and then."""
        async with self._turn:
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
            "stage": _state(row).stage,
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

    async def change(
        self,
        name: str,
        act: str,
        allowed: tuple[str, ...],
        told: tuple[str, dict[str, Any]] | None,
        now: datetime,
        also: Sequence[Executable] = (),
        **values: Any,
    ) -> None:
        """Change a release's row only out of a state that allows it, in one statement; nothing is published by it.

        Args:
            name: model@version.
            act: as a refusal calls it.
            allowed: states.
            told: for the audit trail.
            now: for the audit trail.
            also: what is done in the same transaction, or not at all.
            values: of the row.

        Raises:
            CoordinatorError: ``release.wrong_state``; someone may have acted since the row was read.
        """
        async with self._database.begin() as connection:
            changed = await connection.execute(
                update(releases).where(releases.c.name == name, releases.c.state.in_(allowed)).values(**values)
            )
            for statement in also if changed.rowcount else ():
                await connection.execute(statement)
            if changed.rowcount and told is not None:
                recorded, detail = told
                await record(connection, current.get(), recorded, name, detail, now)
        if changed.rowcount == 0:
            now_there = await self._find(name)
            raise CoordinatorError("release.wrong_state", name=name, state=now_there.state, act=act)

    async def _move(
        self,
        name: str,
        allowed: tuple[str, ...],
        state: str,
        act: str,
        recorded: str,
        now: datetime,
        also: Sequence[Executable] = (),
    ) -> dict[str, Any]:
        row = await self._existing(name)
        await self.change(row.name, act, allowed, (recorded, {}), now, also, state=state)
        await self.announce(now)
        return await self.show(row.name)

    async def state(self, name: str) -> ReleaseState:
        """Where one release is: ``model@version``, or the newest of ``model``.

        Raises:
            CoordinatorError: ``release.unknown``.
        """
        return _state(await self._existing(name))

    async def states(self) -> list[ReleaseState]:
        """Where all releases are."""
        async with self._database.read() as connection:
            return [_state(row) for row in await connection.execute(select(releases))]

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


def _state(row: Any) -> ReleaseState:
    return ReleaseState(row.name, row.disease, row.state, row.percent, tuple(row.groups), row.reason)


def _require(manifest: ReleaseManifest, findings: list[gates.Gate]) -> None:
    """Refuse a version that a gate stops."""
    for gate in findings:
        if not gate.ok:
            finding = Words(gate.detail, gate.detail_zh)
            raise CoordinatorError("release.gate_failed", name=manifest.name, gate=gate.name, detail=finding)


def draft_digest(draft: Metadata[Targets]) -> str:
    """SHA-256 of the bytes that a signature over a draft covers."""
    return hashlib.sha256(CanonicalJSONSerializer().serialize(draft.signed)).hexdigest()


def sign_draft(draft: Metadata[Targets], signer: CryptoSigner) -> Signature:
    """An approver's signature over a draft."""
    return signer.sign(CanonicalJSONSerializer().serialize(draft.signed))


def _valid(draft: Metadata[Targets], signature: Signature, known: dict[str, Any]) -> bool:
    try:
        known[signature.keyid].verify_signature(signature, CanonicalJSONSerializer().serialize(draft.signed))
    except Exception:  # securesystemslib raises several kinds for malformed and for wrong signatures
        return False
    return True
