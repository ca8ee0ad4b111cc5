"""Attacks by name: what an old node, a fresh node and a node with a wrong clock do when somebody lies to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from edge_node.errors import EdgeError, NodeRevokedError, TrustError
from edge_node.trust.repository import CONFIG
from protocols.errors import MedMeshError
from protocols.trust import Offer
from tests.edge_node.support.node import NODE, Node, SimulatedOrigin, now, running
from tests.edge_node.support.releases import Simulator, make_release
from tests.edge_node.support.repository import new_key

FAR = 2**53 - 1


async def refused(node: Node, code: str) -> None:
    """A refresh fails with ``code``, and everything is as it was; the failure waits to be told."""
    record, active = await node.store.trust(node.anchor.coordinator), await node.active()
    with pytest.raises(MedMeshError) as caught:
        await node.sync()
    assert caught.value.code == code, caught.value
    assert await node.store.trust(node.anchor.coordinator) == record
    assert await node.active() == active
    assert code in [event.code for event in await node.store.events()]


async def test_replay_to_an_old_node_is_refused(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        former = simulator.repository.copy()
        simulator.publish(make_release(version=2))
        assert await node.sync() == ["malaria@2"]
        simulator.frozen = former
        await refused(node, "trust.rollback")


async def test_replay_to_a_fresh_node_is_refused_by_the_serial_in_its_invite(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    simulator.update()
    former = simulator.repository.copy()
    simulator.publish(make_release(version=2))
    simulator.update()
    simulator.frozen = former
    async with running(simulator, tmp_path, least_serial=simulator.serial) as node:
        await refused(node, "trust.rollback")
        simulator.frozen = None
        await node.pull()
        assert await node.active() == ["malaria@2"]


async def test_freeze_shows_as_expired_after_a_week_and_as_stale_after_two(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.frozen = simulator.repository.copy()
        assert await node.sync() == []
        with time_machine.travel(now() + timedelta(days=8)):
            await refused(node, "trust.expired")
            assert not (await node.standing()).is_stale
        with time_machine.travel(now() + timedelta(days=20, minutes=1)):
            await refused(node, "trust.expired")
            standing = await node.standing()
            assert (standing.is_stale, standing.stale_days) == (True, 20)
            assert not standing.clock_behind


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "rollout"])
async def test_expired_metadata_is_refused(tmp_path: Path, role: str) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        repository, past = simulator.repository, now() - timedelta(hours=1)
        if role == "root":
            repository.root.version, repository.root.expires = 2, past
            repository.put_root([repository.root_key])
        elif role in repository.signed:
            repository.signed[role].expires = past
            repository.put(role, [repository.targets_key if role == "targets" else repository.online])
            repository.publish()
        else:
            repository.snapshot.expires = past if role == "snapshot" else repository.snapshot.expires
            repository.publish()
            repository.timestamp.expires = past if role == "timestamp" else repository.timestamp.expires
            repository.put_timestamp()
        await refused(node, "trust.expired")


async def test_expired_approvals_ship_nothing_new_and_stop_no_revocation(tmp_path: Path) -> None:
    simulator = Simulator([make_release(), make_release(version=2)], dishonest={"malaria@3"})
    simulator.offers["malaria"] = (Offer("malaria@1", 100),)
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.offers["malaria"] = (Offer("malaria@2", 100), Offer("malaria@1", 100))
        assert await node.sync() == ["malaria@2"]
        repository = simulator.repository
        repository.signed["approvers"].expires = now() - timedelta(hours=1)
        third = make_release(version=3)
        simulator.releases.append(third)
        repository.approve("malaria", "malaria@3", third.manifest_bytes)
        simulator.offers["malaria"] = (Offer("malaria@3", 100),)
        with pytest.raises(TrustError) as caught:
            await node.sync()
        assert (caught.value.code, await node.active()) == ("trust.expired", ["malaria@2"])
        simulator.offers["malaria"] = (Offer("malaria@1", 100),)
        simulator.revoked["malaria@2"] = "wrong labels"
        assert await node.sync() == ["malaria@1"]


@pytest.mark.parametrize("role", ["snapshot", "rollout", "approvers"])
async def test_mix_and_match_of_old_and_new_metadata_is_refused(tmp_path: Path, role: str) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        old = max(path for path in simulator.repository.files if path.endswith(f".{role}.json"))
        former = simulator.repository.files[old]
        simulator.publish(make_release(version=2))
        node.origin.attack = lambda path, data: former if path.endswith(f".{role}.json") else data
        with pytest.raises(TrustError) as caught:
            await node.sync()
        assert (caught.value.code, await node.active()) == ("trust.rollback", ["malaria@1"])


def spoil(data: bytes) -> bytes:
    """One digit or letter changed in the signed part."""
    at = data.index(b'"version":', data.index(b'"signed"')) + 10
    return data[:at] + (b"7" if data[at : at + 1] != b"7" else b"8") + data[at + 1 :]


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "rollout", "approvers"])
@pytest.mark.parametrize("change", [spoil, lambda d: d[:-20], lambda d: b"", lambda d: b"{}", lambda d: b"[" * 4000])
async def test_tampered_or_truncated_metadata_is_refused(
    tmp_path: Path, role: str, change: Callable[[bytes], bytes]
) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        repository = simulator.repository
        repository.root.version = 2
        repository.put_root([repository.root_key])
        repository.put("targets", [repository.targets_key])
        simulator.publish(make_release(version=2))
        node.origin.attack = lambda path, data: change(data) if data and path.endswith(f"{role}.json") else data
        with pytest.raises(TrustError) as caught:
            await node.sync()
        assert caught.value.code in ("trust.signature", "trust.malformed")
        assert await node.active() == ["malaria@1"]
        node.origin.attack = lambda _, data: data
        assert await node.sync() == ["malaria@2"]


@pytest.mark.parametrize("target", ["catalogue.json", "malaria@2"])
@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d.replace(b"malaria", b"melaria"), lambda d: d + b" "])
async def test_tampered_or_truncated_targets_are_refused(
    tmp_path: Path, target: str, change: Callable[[bytes], bytes]
) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.publish(make_release(version=2))
        node.origin.attack = lambda path, data: change(data) if data and path.endswith(target) else data
        with pytest.raises(TrustError) as caught:
            await node.sync()
        assert caught.value.code in ("trust.mismatch", "trust.endless")
        assert await node.active() == ["malaria@1"]


@pytest.mark.parametrize(
    ("role", "limit"),
    [
        ("2.root.json", CONFIG.root_max_length),
        ("timestamp.json", CONFIG.timestamp_max_length),
        ("snapshot.json", CONFIG.snapshot_max_length),
        ("2.targets.json", CONFIG.targets_max_length),
        ("catalogue.json", 1000),
    ],
)
async def test_endless_data_is_cut_off_at_its_limit(tmp_path: Path, role: str, limit: int) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.repository.put("targets", [simulator.repository.targets_key])
        simulator.publish(make_release(version=2))
        before = node.origin.sent
        node.origin.attack = lambda path, data: b" " * 6_000_000 if path.endswith(role) else data
        await refused(node, "trust.endless")
        assert node.origin.sent - before < limit + 6000


async def test_one_of_two_signatures_releases_nothing(tmp_path: Path) -> None:
    simulator = Simulator([make_release()], threshold=2, dishonest={"malaria@2"})
    async with running(simulator, tmp_path) as node:
        await node.pull()
        second, repository = make_release(version=2), simulator.repository
        simulator.publish(second)
        one = repository.approvers[:1]
        for signers in (one, one * 2):
            repository.approve("malaria", "malaria@2", second.manifest_bytes, signers)
            repository.publish()
            with pytest.raises(TrustError) as caught:
                await node.pull()
            assert (caught.value.code, await node.active()) == ("trust.signature", ["malaria@1"])
        repository.put("approvers", repository.approvers)
        repository.publish()
        assert await node.sync() == ["malaria@2"]


async def test_an_unknown_approver_counts_for_nothing(tmp_path: Path) -> None:
    simulator = Simulator([make_release()], dishonest={"malaria@2"})
    async with running(simulator, tmp_path) as node:
        await node.pull()
        second = make_release(version=2)
        simulator.publish(second)
        simulator.repository.approve("malaria", "malaria@2", second.manifest_bytes, [new_key()])
        with pytest.raises(TrustError) as caught:
            await node.pull()
        assert (caught.value.code, await node.active()) == ("trust.signature", ["malaria@1"])


async def test_a_stolen_online_key_cannot_ship_a_release(tmp_path: Path) -> None:
    simulator = Simulator([make_release()], dishonest={"malaria@2"})
    async with running(simulator, tmp_path) as node:
        await node.pull()
        evil, repository = make_release(version=2), simulator.repository
        simulator.publish(evil)  # the rollout document offers it, signed with the online key
        assert await node.sync() == []
        assert ("trust.unapproved", "malaria@2") in [(e.code, e.subject) for e in await node.store.events()]
        repository.add("rollout", "releases/malaria/malaria@2", evil.manifest_bytes)
        repository.put("rollout", [repository.online])
        repository.publish()
        assert await node.sync() == []
        repository.approve("malaria", "malaria@2", evil.manifest_bytes, [repository.online])
        repository.publish()
        with pytest.raises(TrustError) as caught:
            await node.sync()
        assert caught.value.code == "trust.signature"
        assert await node.active() == ["malaria@1"]


async def test_a_stolen_online_key_can_choose_among_approved_releases_and_cannot_bring_back_a_revoked_one(
    tmp_path: Path,
) -> None:
    simulator = Simulator([make_release(version=v) for v in (1, 2, 3)])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.revoked["malaria@3"] = "wrong labels"
        assert await node.sync() == ["malaria@2"]
        simulator.offers["malaria"] = (Offer("malaria@1", 100),)
        assert await node.sync() == ["malaria@1"]
        simulator.revoked.clear()
        simulator.offers["malaria"] = (Offer("malaria@3", 100),)
        assert await node.sync() == []
        assert await node.active() == ["malaria@1"]


async def test_recovery_from_a_stolen_online_key_by_a_new_root(tmp_path: Path) -> None:
    simulator = Simulator([make_release(), make_release(version=2)])
    simulator.offers["malaria"] = (Offer("malaria@2", 100),)
    async with running(simulator, tmp_path) as node:
        await node.pull()
        repository, thief = simulator.repository, simulator.repository.online
        simulator.offers["malaria"] = (Offer("malaria@1", 100),)
        assert await node.sync() == ["malaria@1"]
        repository.replace_online_key()
        simulator.offers["malaria"] = (Offer("malaria@2", 100),)
        assert await node.sync() == ["malaria@2"]
        repository.online = thief
        simulator.offers["malaria"] = (Offer("malaria@1", 100),)
        await refused(node, "trust.signature")


async def test_fast_forward_locks_out_until_the_root_is_rotated(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        repository, honest = simulator.repository, simulator.serial
        versions = repository.timestamp.version, repository.snapshot.version
        repository.timestamp.version = repository.snapshot.version = 10**6
        simulator.serial = FAR - 1
        simulator.publish(make_release(version=2))
        simulator.revoked["malaria@1"] = "says the thief"
        await node.sync()
        repository.timestamp.version, repository.snapshot.version = versions
        simulator.serial = honest
        simulator.revoked.clear()
        simulator.publish(make_release(version=3))
        await refused(node, "trust.rollback")
        repository.replace_online_key()
        repository.set_rollout(simulator.rollout().to_bytes())
        repository.publish()
        assert await node.sync() == ["malaria@3"]
        record = await node.store.trust(node.anchor.coordinator)
        assert record is not None
        assert record.serial == simulator.serial < FAR
        assert not record.revoked


async def test_a_timestamp_from_the_far_future_does_not_move_the_time_floor(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        repository = simulator.repository
        repository.timestamp.version += 1
        repository.timestamp.expires = repository.in_days(36_500)
        repository.put_timestamp()
        await refused(node, "trust.clock_behind")
        repository.renew()
        assert await node.sync() == []


async def test_a_rollout_document_with_a_lower_serial_is_refused(tmp_path: Path) -> None:
    simulator = Simulator([make_release()], serial=40)
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.serial = 12
        simulator.publish(make_release(version=2))
        await refused(node, "trust.rollback")


@pytest.mark.parametrize("document", [b"{}", b"[" * 9999, b'{"format":"medmesh.rollout/1"}'])
async def test_a_malformed_rollout_document_is_refused(tmp_path: Path, document: bytes) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.repository.set_rollout(document)
        simulator.repository.publish()
        await refused(node, "rollout.malformed")


async def test_a_clock_400_days_behind_takes_in_news_and_says_that_it_is_wrong(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        before = await node.standing()
        simulator.publish(make_release(version=2))
        simulator.update()
        simulator.frozen = simulator.repository.copy()
        with time_machine.travel(now() - timedelta(days=400)):
            assert await node.sync() == ["malaria@2"]
            standing = await node.standing()
            assert standing.clock_behind
            assert standing.stale_days == 0
            assert standing.time_floor is not None
            assert before.time_floor is not None
            assert standing.time_floor >= before.time_floor


@pytest.mark.parametrize("old_node", [False, True])
async def test_a_clock_400_days_behind_does_not_revive_an_old_repository(tmp_path: Path, old_node: bool) -> None:
    real = now()
    with time_machine.travel(real - timedelta(days=400)):
        simulator = Simulator([make_release()])
        simulator.update()
        former = simulator.repository.copy()
    async with running(simulator, tmp_path, joined=real - timedelta(days=1)) as node:
        if old_node:
            repository = simulator.repository
            repository.root.version, repository.root.expires = 2, repository.in_days(365)
            repository.put_root([repository.root_key])
            for role, signer in (("targets", repository.targets_key), ("rollout", repository.online)):
                repository.signed[role].expires = repository.in_days(365)
                repository.put(role, [signer])
            repository.signed["approvers"].expires = repository.in_days(365)
            repository.put("approvers", repository.approvers)
            repository.snapshot.expires = repository.in_days(365)
            repository.publish()
            await node.pull()
        simulator.frozen = former
        with time_machine.travel(real - timedelta(days=400)):
            await refused(node, "trust.rollback" if old_node else "trust.clock_behind")
            assert (await node.standing()).clock_behind


async def test_a_clock_400_days_ahead_refuses_and_keeps_the_model(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.publish(make_release(version=2))
        simulator.update()
        simulator.frozen = simulator.repository.copy()
        with time_machine.travel(now() + timedelta(days=400)):
            await refused(node, "trust.expired")
            assert (await node.standing()).is_stale
        assert await node.sync() == ["malaria@2"]
        assert (await node.standing()).stale_days == 0


async def test_a_clock_ahead_at_joining_does_not_lock_the_node_out(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    simulator.update()
    async with running(simulator, tmp_path) as node:
        with time_machine.travel(now() + timedelta(days=400)), pytest.raises(TrustError):
            await node.pull()
        assert not await node.pull()


async def test_a_revoked_node_takes_in_nothing_new_and_goes_on_with_what_it_has(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.publish(make_release(version=2))
        simulator.revoked_nodes.append(NODE)
        for attempt in (node.sync, node.pull):
            with pytest.raises(NodeRevokedError) as caught:
                await attempt()
            assert caught.value.code == "node.revoked"
        with pytest.raises(NodeRevokedError):
            await node.puller.update_knowledge(await node.feed.newest())
        assert (await node.standing()).node_revoked
        assert await node.active() == ["malaria@1"]


async def test_an_unreachable_address_is_passed_over_and_a_lying_one_is_remembered(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        liar = SimulatedOrigin(simulator)
        liar.attack = lambda _, data: data and data[:-9]
        node.feed._origins = [liar, node.origin]
        await node.pull()
        assert [e.code for e in await node.store.events()] == ["trust.malformed"]
        node.origin.gone = True
        with pytest.raises(EdgeError) as caught:
            await node.feed.refresh()
        assert caught.value.code == "trust.malformed"
