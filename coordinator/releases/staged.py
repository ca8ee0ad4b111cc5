"""Rollouts that go on by themselves: where each is in its plan, in the store, and what moves it.

A rollout is at one stage; a decision changes the release and the stage in one transaction, then the signed document follows.
When the process dies in between, the next look publishes it, since the document follows from the store alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update

from coordinator.audit.actor import current
from coordinator.audit.acts import some
from coordinator.audit.log import record
from coordinator.errors import CoordinatorError
from coordinator.releases import evidence
from coordinator.releases.lifecycle import CAN_BE_OFFERED, Releases
from coordinator.releases.plan import OFFERED, ReleaseState
from coordinator.releases.stage_texts import sentence
from coordinator.releases.stages import StagedPlan
from coordinator.releases.staging import Counts, Decision, Known, Reason, Witness, decide, known, unaccepted
from coordinator.store.database import Database
from coordinator.store.tables import nodes, releases, rollout_baselines, staged_rollouts

StandingOf = Callable[[str], Awaitable[Sequence[evidence.Standing]]]
_WRITE_EVERY = timedelta(minutes=15)  # a decision that says the same again


@dataclass(frozen=True)
class Move:
    """What a look at the rollouts changed."""

    release: str
    act: str  # advance | pause
    stage: str  # that it is at now


@dataclass(frozen=True)
class _Rollout:
    """One row of the store."""

    state: ReleaseState
    plan: StagedPlan
    stage: int
    since: datetime
    revision: int
    decision: dict[str, Any]
    decided: datetime
    known: dict[str, Any]
    accepted: Mapping[str, Known]

    @property
    def is_done(self) -> bool:
        """Whether nothing is watched any more."""
        return self.stage >= len(self.plan.stages)

    @property
    def percent(self) -> int:
        """How far it is offered."""
        return self.state.percent


class _OvertakenError(Exception):
    """Somebody acted in between; nothing was stored."""


class StagedRollouts:
    """Starts, moves, stops and shows them. Letting a paused one go on is a person's act: ``Releases.resume``."""

    def __init__(self, database: Database, all_releases: Releases, standing: StandingOf) -> None:
        """Args: standing: what each node last said of a release, one row for every node that has not been revoked."""
        self._database = database
        self._releases = all_releases
        self._standing = standing

    # --- a person's acts -----------------------------------------------------------------------------------------

    async def start(self, name: str, plan: StagedPlan, now: datetime) -> dict[str, Any]:
        """Begin a plan at its first stage. What nodes said of the release before counts as accepted.

        Raises:
            CoordinatorError: ``release.unknown``, ``release.wrong_state`` or ``rollout.no_such_group``.
        """
        state = await self._releases.state(name)
        await self._require_groups(plan.canaries)
        first = plan.stages[0]
        seen = known(await self._witnesses(state, first.percent, plan.canaries, now))
        row = {
            "release": state.name,
            "plan": plan.document(),
            "stage": 0,
            "since": now.isoformat(timespec="seconds"),
            "revision": 1,
            "decision": _document(Decision("wait")),
            "decided": now.isoformat(timespec="seconds"),
            "known": _documents(seen),
            "accepted": _documents(seen),
        }
        also = (
            delete(staged_rollouts).where(staged_rollouts.c.release == state.name),
            staged_rollouts.insert().values(row),
        )
        values: dict[str, Any] = {"state": "released", "percent": first.percent, "groups": list(plan.canaries)}
        told = ("release.rollout", {"plan": plan.text, "groups": some(plan.canaries)})
        await self._releases.change(state.name, "rolled out", CAN_BE_OFFERED, told, now, also, **values)
        await self._keep_baseline(state.name, {}, await self._baseline(state, {}))
        await self._releases.announce(now)
        return await self.show(state.name, now)

    async def next(self, name: str, now: datetime) -> dict[str, Any]:
        """Go to the next stage whatever it waits for.

        Raises:
            CoordinatorError: ``release.unknown``, ``release.wrong_state``, ``rollout.not_staged`` or ``rollout.at_the_end``.
        """
        state = await self._releases.state(name)
        rollout = await self._find(state.name)
        if rollout is None:
            raise CoordinatorError("rollout.not_staged", name=state.name)
        if state.state != "released":
            raise CoordinatorError("release.wrong_state", name=state.name, state=state.state, act="moved on")
        if rollout.stage + 1 >= len(rollout.plan.stages):
            raise CoordinatorError("rollout.at_the_end", name=state.name)
        if not await self._apply(rollout, Decision("advance"), "release.rollout", now):
            return await self.next(name, now)  # somebody was quicker; look again
        await self._releases.announce(now)
        return await self.show(state.name, now)

    # --- by itself -----------------------------------------------------------------------------------------------

    async def look(self, now: datetime) -> list[Move]:
        """Decide about every rollout once; says what changed."""
        moves = []
        await self._releases.announce(now)  # what a process that died had stored and not published
        for rollout in await self._all():
            if rollout.is_done or rollout.state.state not in OFFERED:
                continue
            kept = await self._kept(rollout.state.name)
            before = await self._baseline(rollout.state, kept)
            await self._keep_baseline(rollout.state.name, kept, before)
            found = await self._heard(rollout, before)
            if rollout.state.state == "paused":
                await self._learn(rollout, found)
                continue
            decision = await self._decision(rollout, found, now)
            if decision.act == "wait":
                await self._note(rollout, decision, now)
            elif await self._apply(rollout, decision, _ACTS[decision.act], now, found):
                await self._releases.announce(now)
                at = min(rollout.stage + (decision.act == "advance"), len(rollout.plan.stages) - 1)
                moves.append(Move(rollout.state.name, decision.act, rollout.plan.stages[at].name))
        return moves

    async def _decision(self, rollout: _Rollout, found: Sequence[Witness], now: datetime) -> Decision:
        by = await self._newer(rollout.state)
        if by is not None:
            return Decision("wait", (Reason("superseded", {"by": by}),))
        stages = rollout.plan.stages
        return decide(
            stages[rollout.stage],
            rollout.stage + 1 == len(stages),
            now - rollout.since,
            unaccepted(found, rollout.accepted),
            rollout.plan.policy,
        )

    async def _newer(self, state: ReleaseState) -> str | None:
        """A later release of the model that is on offer: then this one's nodes leave it, and tell no more of it."""
        later = [s for s in await self._releases.states() if s.model == state.model and s.version > state.version]
        return next((s.name for s in sorted(later, key=lambda s: -s.version) if s.state in OFFERED), None)

    async def _apply(
        self, rollout: _Rollout, decision: Decision, act: str, now: datetime, found: Sequence[Witness] = ()
    ) -> bool:
        """Store a decision; False where somebody acted since the rollout was read: then it is not for us to decide."""
        try:
            await self._try_to_apply(rollout, decision, act, now, found)
        except _OvertakenError:
            return False
        return True

    async def _try_to_apply(
        self, rollout: _Rollout, decision: Decision, act: str, now: datetime, found: Sequence[Witness]
    ) -> None:
        values: dict[str, Any] = {"revision": rollout.revision + 1, "decided": now.isoformat(timespec="seconds")}
        change: dict[str, Any] = {}
        if decision.act == "pause":
            values |= {"decision": _document(decision), "known": _documents(known(found))}
            change = {"state": "paused"}
        else:
            stages, at = rollout.plan.stages, rollout.stage + 1
            values |= {
                "stage": at,
                "since": now.isoformat(timespec="seconds"),
                "decision": _document(Decision("wait")),
            }
            change = {"percent": stages[at].percent} if at < len(stages) else {}
        async with self._database.begin() as connection:
            mine = (staged_rollouts.c.release == rollout.state.name, staged_rollouts.c.revision == rollout.revision)
            if not (await connection.execute(update(staged_rollouts).where(*mine).values(**values))).rowcount:
                raise _OvertakenError
            same = (releases.c.name == rollout.state.name, releases.c.state == "released")
            changed = await connection.execute(update(releases).where(*same).values(change or {"state": "released"}))
            if not changed.rowcount:
                raise _OvertakenError
            detail = {"stage": rollout.plan.stages[rollout.stage].name, "reasons": _audited(decision)}
            await record(connection, current.get(), act, rollout.state.name, detail, now)

    async def _learn(self, rollout: _Rollout, found: Sequence[Witness]) -> None:
        """While it is paused: what a person may know who lets it go on."""
        documents = _documents(known(found))
        if documents != rollout.known:
            await self._write(rollout, known=documents)

    async def _note(self, rollout: _Rollout, decision: Decision, now: datetime) -> None:
        document = _document(decision)
        is_same = _gist(document) == _gist(rollout.decision)
        if not is_same or now - rollout.decided >= _WRITE_EVERY:
            await self._write(rollout, decision=document, decided=now.isoformat(timespec="seconds"))

    async def _write(self, rollout: _Rollout, **values: Any) -> None:
        mine = (staged_rollouts.c.release == rollout.state.name, staged_rollouts.c.revision == rollout.revision)
        async with self._database.begin() as connection:
            await connection.execute(update(staged_rollouts).where(*mine).values(**values))

    # --- showing -------------------------------------------------------------------------------------------------

    async def show(self, name: str, now: datetime) -> dict[str, Any]:
        """One release as ``Releases.show`` has it, with what its rollout waits for and how each node stands."""
        document = await self._releases.show(name)
        state = await self._releases.state(document["release"])
        rollout = await self._find(state.name)
        if rollout is None:
            found = await self._witnesses(state, state.percent, state.groups, now) if state.state in OFFERED else []
            return {**document, "rollout": None, "sites": [_site(w) for w in found]}
        found = await self._heard(rollout, await self._baseline(rollout.state, await self._kept(state.name)))
        decision = rollout.decision
        if state.state == "released" and not rollout.is_done:
            decision = _document(await self._decision(rollout, found, now))
        elif rollout.is_done:
            decision = _document(Decision("wait", (Reason("done", {}),)))
        shown = {
            "stage": rollout.plan.stages[min(rollout.stage, len(rollout.plan.stages) - 1)].name,
            "number": min(rollout.stage + 1, len(rollout.plan.stages)),
            "stages": len(rollout.plan.stages),
            "since": rollout.since.isoformat(timespec="seconds"),
            "plan": rollout.plan.document(),
            "decision": decision["act"],
            "reasons": [_told(reason) for reason in decision["reasons"]],
            "overdue": decision["overdue"],
        }
        return {**document, "rollout": shown, "sites": [_site(w) for w in found]}

    # --- what nodes say ------------------------------------------------------------------------------------------

    async def _heard(self, rollout: _Rollout, before: Mapping[str, Counts]) -> list[Witness]:
        state = rollout.state
        standing = await self._standing(state.name)
        return evidence.witnesses(state.name, rollout.percent, state.groups, rollout.since, standing, before)

    async def _witnesses(
        self, state: ReleaseState, percent: int, groups: Sequence[str], now: datetime
    ) -> list[Witness]:
        standing = await self._standing(state.name)
        return evidence.witnesses(state.name, percent, groups, now, standing, await self._baseline(state, {}))

    async def _baseline(self, state: ReleaseState, kept: Mapping[str, Counts]) -> dict[str, Counts]:
        mine = [s for s in await self._releases.states() if s.model == state.model and s.version < state.version]
        earlier = sorted((s for s in mine if s.state in OFFERED), key=lambda s: -s.version)
        return evidence.baseline([await self._standing(s.name) for s in earlier[:_EARLIER]], kept)

    async def _kept(self, name: str) -> dict[str, Counts]:
        async with self._database.read() as connection:
            rows = await connection.execute(select(rollout_baselines).where(rollout_baselines.c.release == name))
            return {row.node: Counts(**row.counts) for row in rows}

    async def _keep_baseline(self, name: str, kept: Mapping[str, Counts], found: Mapping[str, Counts]) -> None:
        new = {node: counts for node, counts in found.items() if kept.get(node) != counts}
        if not new:
            return
        table = rollout_baselines
        rows = [{"release": name, "node": node, "counts": asdict(counts)} for node, counts in new.items()]
        old = [node for node in new if node in kept]
        async with self._database.begin() as connection:
            if old:
                await connection.execute(delete(table).where(table.c.release == name, table.c.node.in_(old)))
            if (
                await connection.execute(select(staged_rollouts.c.release).where(staged_rollouts.c.release == name))
            ).first():
                await connection.execute(table.insert(), rows)

    # --- the store -----------------------------------------------------------------------------------------------

    async def _require_groups(self, groups: Sequence[str]) -> None:
        async with self._database.read() as connection:
            rows = (await connection.scalars(select(nodes.c.groups).where(~nodes.c.revoked))).all()
        known_groups = {group for row in rows for group in row}
        for group in groups:
            if group not in known_groups:
                raise CoordinatorError("rollout.no_such_group", group=group)

    async def _all(self) -> list[_Rollout]:
        states = {s.name: s for s in await self._releases.states()}
        async with self._database.read() as connection:
            rows = (await connection.execute(select(staged_rollouts))).all()
        return [_read(row, states[row.release]) for row in rows if row.release in states]

    async def _find(self, name: str) -> _Rollout | None:
        return next((r for r in await self._all() if r.state.name == name), None)


_ACTS = {"advance": "release.advance", "pause": "release.pause.automatic"}
_EARLIER = 5  # releases of the model that nodes may still have had when the rollout began


def _read(row: Any, state: ReleaseState) -> _Rollout:
    return _Rollout(
        state=state,
        plan=StagedPlan.from_document(row.plan),
        stage=row.stage,
        since=datetime.fromisoformat(row.since),
        revision=row.revision,
        decision=row.decision,
        decided=datetime.fromisoformat(row.decided),
        known=row.known,
        accepted={node: Known.from_document(one) for node, one in row.accepted.items()},
    )


def _documents(found: Mapping[str, Known]) -> dict[str, Any]:
    return {node: one.document() for node, one in found.items()}


def _document(decision: Decision) -> dict[str, Any]:
    return {
        "act": decision.act,
        "reasons": [{"code": r.code, **r.figures} for r in decision.reasons],
        "overdue": decision.is_overdue,
    }


def _audited(decision: Decision) -> list[dict[str, Any]]:
    """The figures without the names, of which there may be many; the decision itself keeps those."""
    return [{"code": r.code, **{k: v for k, v in r.figures.items() if k != "who"}} for r in decision.reasons]


def _gist(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of a decision must be written at once when it changes; figures may wait."""
    return document["act"], document["overdue"], [reason["code"] for reason in document["reasons"]]


def _told(reason: Mapping[str, Any]) -> dict[str, Any]:
    figures = {k: v for k, v in reason.items() if k != "code"}
    code = reason["code"]
    return {**reason, "text": {"en": sentence(code, figures, "en"), "zh": sentence(code, figures, "zh")}}


def _site(witness: Witness) -> dict[str, Any]:
    return {
        "node": witness.node,
        "site": witness.site,
        "reached": witness.is_reached,
        "state": witness.state,
        "last_seen": None if witness.last_seen is None else witness.last_seen.isoformat(timespec="seconds"),
        "counts": asdict(witness.candidate),
        "before": asdict(witness.active),
    }
