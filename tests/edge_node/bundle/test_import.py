"""A stick is judged like the network: by the same code, with the same refusals, and nobody else is asked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from disease_kb import replica
from disease_kb.seeding import seed_entries
from edge_node.errors import NodeRevokedError
from protocols import bundle
from protocols.errors import MedMeshError
from protocols.trust import Offer
from tests.edge_node.acceptance.site import Scripted, permuted
from tests.edge_node.bundle.support import stick, take_in
from tests.edge_node.support.node import NODE, Node, now, running
from tests.edge_node.support.releases import Simulator, make_release


async def refused(node: Node, path: Path, code: str) -> None:
    """The import fails with ``code`` and nothing has changed."""
    record, active = await node.store.trust(node.anchor.coordinator), await node.active()
    with pytest.raises(MedMeshError) as caught:
        await take_in(node, path)
    assert caught.value.code == code, caught.value
    assert await node.store.trust(node.anchor.coordinator) == record
    assert await node.active() == active


def published(simulator: Simulator) -> dict[str, bytes]:
    simulator.update()
    return {bundle.TUF + name: data for name, data in simulator.repository.files.items()}


async def test_a_fresh_node_gets_everything_from_a_stick(tmp_path: Path) -> None:
    simulator = Simulator([make_release(), make_release("skin")])
    simulator.knowledge = (replica.build(seed_entries()), "kb-1")
    async with running(simulator, tmp_path) as node:
        path = stick(simulator, tmp_path / "s.medmesh")
        done = await take_in(node, path)
        assert done.installed == [("malaria", "malaria@1"), ("skin", "skin@1")]
        assert (done.switched, done.knowledge_updated, done.failure, done.not_carried) == ([], True, None, [])
        assert (node.root / "kb.sqlite").exists()
        again = await take_in(node, path)
        assert (again.installed, again.switched, again.knowledge_updated) == ([], [], False)
        assert (await node.standing()).stale_days == 0


async def test_models_in_use_are_updated_and_a_second_model_of_a_disease_is_not_forced_on_anyone(
    tmp_path: Path,
) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.publish(make_release(version=2), make_release(model="malaria-thick"), make_release("skin"))
        done = await take_in(node, stick(simulator, tmp_path / "s"))
        assert (done.switched, done.installed) == ([("malaria", "malaria@2")], [("skin", "skin@1")])
        assert sorted(await node.active()) == ["malaria@2", "skin@1"]


async def test_a_node_many_versions_and_two_roots_behind(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        for version in range(2, 6):
            simulator.publish(make_release(version=version))
            if version in (3, 4):
                simulator.repository.replace_online_key()
                simulator.repository.put("rollout", [simulator.repository.online])
            simulator.update()
        assert (await take_in(node, stick(simulator, tmp_path / "s"))).switched == [("malaria", "malaria@5")]


async def test_an_older_stick_is_refused(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        old = stick(simulator, tmp_path / "old")
        await node.pull()
        simulator.publish(make_release(version=2))
        await node.sync()
        await refused(node, old, "trust.rollback")
        assert "trust.rollback" in [event.code for event in await node.store.events()]


async def test_a_stick_from_before_the_invite_is_refused(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    old = stick(simulator, tmp_path / "old")
    simulator.publish(make_release(version=2))
    simulator.update()
    async with running(simulator, tmp_path / "node", least_serial=simulator.serial) as node:
        await refused(node, old, "trust.rollback")


async def test_an_expired_stick_is_refused_and_a_fresh_one_taken(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    old = stick(simulator, tmp_path / "old")
    with time_machine.travel(now() + timedelta(days=8)):
        async with running(simulator, tmp_path / "node") as node:
            await refused(node, old, "trust.expired")
            simulator.repository.renew()
            assert (await take_in(node, stick(simulator, tmp_path / "new"))).installed


async def test_a_revocation_comes_by_stick(tmp_path: Path) -> None:
    simulator = Simulator([make_release(), make_release(version=2)])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        with_two = stick(simulator, tmp_path / "old")
        simulator.revoked["malaria@2"] = "wrong labels"
        done = await take_in(node, stick(simulator, tmp_path / "s"))
        assert (done.revoked, done.switched) == ({"malaria@2": "wrong labels"}, [("malaria", "malaria@1")])
        assert (await node.standing()).revoked == {"malaria@2": "wrong labels"}
        await refused(node, with_two, "trust.rollback")


async def test_a_pause_and_a_partial_rollout_come_by_stick(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.publish(make_release(version=2))
        simulator.paused.add("malaria")
        assert (await take_in(node, stick(simulator, tmp_path / "s"))).switched == []
        simulator.paused.clear()
        simulator.offers["malaria"] = (Offer("malaria@2", 0), Offer("malaria@1", 100))
        assert (await take_in(node, stick(simulator, tmp_path / "t"))).switched == []


async def test_a_node_that_was_put_out_learns_it_and_takes_no_models(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        simulator.revoked_nodes.append(NODE)
        done = await take_in(node, stick(simulator, tmp_path / "s"))
        assert isinstance(done.failure, NodeRevokedError) and await node.active() == []
        assert (await node.standing()).node_revoked


async def test_a_stick_of_another_coordinator_is_refused_whatever_it_says_of_itself(tmp_path: Path) -> None:
    async with running(Simulator([make_release()]), tmp_path) as node:
        await node.pull()
        await refused(node, stick(Simulator([make_release(version=7)]), tmp_path / "s"), "trust.signature")


def newest(files: dict[str, bytes], role: str) -> str:
    """The name of a role's latest metadata."""
    names = [name for name in files if name.endswith((f".{role}.json", f"/{role}.json"))]
    return max(names, key=lambda name: (len(name), name))


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "approvers", "rollout"])
@pytest.mark.parametrize("change", ["spoilt", "empty", "missing"])
async def test_altered_or_missing_metadata_is_refused(tmp_path: Path, role: str, change: str) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.publish(make_release(version=2))
        files = published(simulator)
        # The targets are the same in both states and are not read again; a node that has none reads them.
        (node.root / "trust" / "targets.json").unlink()
        name = newest(files, role)
        data = files.pop(name)
        if change != "missing":
            files[name] = (
                b"" if change == "empty" else data.replace(b'"version":', b'"version" :').replace(b"a", b"b", 1)
            )
        path = stick(simulator, tmp_path / "s", files)
        if role == "approvers":
            done = await take_in(node, path)  # the rollout is heard; nothing that is not approved is taken
            assert done.failure is not None or done.not_carried
            assert await node.active() == ["malaria@1"]
            return
        with pytest.raises(MedMeshError) as caught:
            await take_in(node, path)
        expected = "bundle.lacks" if change == "missing" else "trust."
        assert caught.value.code.startswith(expected)
        assert await node.active() == ["malaria@1"]


async def test_altered_artifacts_are_refused_and_the_model_in_use_stays(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.publish(make_release(version=2, padding=b"p" * 3000))
        path = stick(simulator, tmp_path / "s")
        data = path.read_bytes()
        at = data.index(b"p" * 3000)
        path.write_bytes(data[: at + 1500] + b"q" + data[at + 1501 :])
        done = await take_in(node, path)
        assert done.failure is not None and done.failure.code == "artifact.mismatch"
        assert (await node.active(), done.switched) == (["malaria@1"], [])
        assert (await take_in(node, stick(simulator, tmp_path / "t"))).switched == [("malaria", "malaria@2")]


async def test_what_a_stick_does_not_carry_is_named_and_holds_up_nothing(tmp_path: Path) -> None:
    simulator = Simulator([make_release("aids"), make_release("skin")])
    simulator.knowledge = (replica.build(seed_entries()), "kb-1")
    async with running(simulator, tmp_path) as node:
        await node.pull("aids")
        simulator.publish(make_release("aids", 2, padding=b"1"), make_release("skin", 2, padding=b"2"))
        files = {n: d for n, d in published(simulator).items() if "/aids/" not in n and "/kb/" not in n}
        simulator.releases = [r for r in simulator.releases if r.manifest.disease == "skin"]
        done = await take_in(node, stick(simulator, tmp_path / "s", files))
        assert done.installed == [("skin", "skin@2")] and done.failure is None
        assert len(done.not_carried) == 1 and "aids@2" in done.not_carried[0]
        assert sorted(await node.active()) == ["aids@1", "skin@2"]


async def test_a_release_that_fails_here_is_refused_and_the_others_have_their_turn(tmp_path: Path) -> None:
    simulator = Simulator([make_release("aids", least_node_version="9.0"), make_release("skin")])
    async with running(simulator, tmp_path) as node:
        done = await take_in(node, stick(simulator, tmp_path / "s"))
        assert done.failure is not None and done.failure.code == "manifest.node_too_old"
        assert done.installed == [("skin", "skin@1")]


async def test_a_stick_that_is_pulled_out_can_be_put_in_again(tmp_path: Path) -> None:
    simulator = Simulator([make_release(padding=b"p" * 3_000_000)])
    async with running(simulator, tmp_path) as node:
        path = stick(simulator, tmp_path / "s")
        whole = path.read_bytes()
        cut = whole.index(b"p" * 1000) + 1_200_000

        from edge_node.bundle import reader

        opened = reader.Bundle.opened

        def then_pulled_out(found: Path) -> reader.Bundle:
            result = opened(found)
            path.write_bytes(whole[:cut])
            return result

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader.Bundle, "opened", then_pulled_out)
            done = await take_in(node, path)
        assert done.failure is not None and done.failure.kind.exit_code == 6
        path.write_bytes(whole)
        assert (await take_in(node, path)).installed == [("malaria", "malaria@1")]


async def test_a_stick_does_not_pass_by_what_the_site_has_to_say(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path, judge=Scripted("worse")) as node:
        await node.pull()
        simulator.publish(permuted(2), make_release("skin"))
        path = stick(simulator, tmp_path / "s")
        done = await take_in(node, path)
        assert [(d.name, d.reason) for d in done.declined] == [("malaria@2", "worse_here")]
        assert (done.switched, done.installed, done.failure) == ([], [("skin", "skin@1")], None)
        assert sorted(await node.active()) == ["malaria@1", "skin@1"]
        assert [d.name for d in (await take_in(node, path)).declined] == ["malaria@2"]
