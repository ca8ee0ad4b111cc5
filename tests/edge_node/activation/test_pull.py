from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from disease_kb import replica as replica_format
from disease_kb.seeding import seed_entries
from edge_node.activation.self_test import self_test
from edge_node.errors import EdgeError, ReleaseRefusedError, SourceError, UnreachableError
from edge_node.transfer.source import Source
from edge_node.trust.feed import Snapshot
from edge_node.worker.models import LocalModels
from protocols.artifacts import Artifact
from protocols.errors import MedMeshError, ProtocolError
from protocols.manifest import Golden
from protocols.pipeline import Pipelines
from tests.edge_node.support.node import ColourRunner, Node, running
from tests.edge_node.support.releases import BLUE, HEAD, RED, TRUNK, Simulator, expected_scores, make_release


async def pull(node: Node, disease: str = "malaria", model: str | None = None) -> bool:
    return await node.pull(disease, model)


async def test_pull_brings_a_release_into_use_and_then_says_that_it_is_cached(tmp_path: Path) -> None:
    async with running(Simulator([make_release()]), tmp_path) as node:
        assert not await pull(node)
        assert await node.active() == ["malaria@1"]
        sent = node.source.sent
        assert await pull(node)
        assert node.source.sent == sent


async def test_a_second_disease_on_the_same_trunk_costs_its_head_only(tmp_path: Path) -> None:
    simulator = Simulator([make_release(), make_release("skin")])
    async with running(simulator, tmp_path) as node:
        await pull(node)
        before = node.source.sent
        await pull(node, "skin")
        assert node.source.sent == before  # these two even share the head
        assert await node.active() == ["malaria@1", "skin@1"]


async def test_pull_takes_the_newest_version_and_no_other(tmp_path: Path) -> None:
    async with running(Simulator([make_release(version=v) for v in (1, 2)]), tmp_path) as node:
        await pull(node)
        assert await node.active() == ["malaria@2"]
        assert await pull(node, model="malaria@2")
        with pytest.raises(EdgeError) as caught:
            await pull(node, model="malaria@1")
        assert caught.value.code == "release.not_offered"


@pytest.mark.parametrize(
    ("disease", "model", "code"),
    [
        ("gout", None, "edge.disease_unknown"),
        ("skin", None, "edge.model_choice"),
        ("skin", "gout", "edge.model_unknown"),
        ("skin", "a@7", "release.not_offered"),
        ("skin", "A b", "release.bad_name"),
    ],
)
async def test_choosing_what_is_not_there_is_a_clear_error(
    tmp_path: Path, disease: str, model: str | None, code: str
) -> None:
    simulator = Simulator([make_release(), make_release("skin", model="a"), make_release("skin", model="b")])
    async with running(simulator, tmp_path) as node:
        with pytest.raises(MedMeshError) as caught:
            await pull(node, disease, model)
        assert caught.value.code == code


async def test_a_release_that_fails_its_self_test_leaves_the_former_one_in_use(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await pull(node)
        simulator.publish(make_release(version=2, created="2026-03-01"))
        node.runner.bias = 5.0
        with pytest.raises(ReleaseRefusedError) as caught:
            await pull(node)
        assert caught.value.code == "release.self_test_failed"
        assert await node.active() == ["malaria@1"]
        node.runner.bias = 0.0
        await pull(node)
        assert await node.active() == ["malaria@2"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"least_node_version": "99"}, "manifest.node_too_old"),
        ({"golden": Golden(Artifact.of("trunk", TRUNK).sha256, ((0.5, 0.5),))}, "release.self_test_failed"),
        ({"golden": Golden(Artifact.of("head", HEAD).sha256, ((0.5, 0.5),))}, "release.self_test_failed"),
    ],
)
async def test_a_release_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, object], code: str) -> None:
    simulator = Simulator([make_release(**changes)])  # type: ignore[arg-type]
    async with running(simulator, tmp_path) as node:
        with pytest.raises(ReleaseRefusedError) as caught:
            await pull(node)
        assert caught.value.code == code
        assert await node.active() == []
        assert [(e.code, e.subject) for e in await node.store.events()] == [(code, "malaria@1")]


async def test_a_manifest_signed_under_another_name_is_refused(tmp_path: Path) -> None:
    simulator, other = Simulator([make_release()], dishonest={"malaria@1"}), make_release("skin")
    simulator.repository.approve("malaria", "malaria@1", other.manifest_bytes)
    async with running(simulator, tmp_path) as node:
        with pytest.raises(ReleaseRefusedError) as caught:
            await pull(node)
        assert caught.value.code == "edge.release_not_as_listed"


async def test_damaged_bytes_leave_the_former_release_in_use(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await pull(node)
        newer = make_release(version=2, padding=b"statistics" * 100)
        simulator.publish(newer)
        padding = newer.manifest.artifacts[-1]
        simulator.replaced[padding.sha256] = b"x" * padding.size_bytes
        with pytest.raises(SourceError):
            await pull(node)
        assert await node.active() == ["malaria@1"]
        assert not node.cache.path(padding.sha256).exists()


async def test_a_malformed_manifest_is_refused_and_other_models_go_on(tmp_path: Path) -> None:
    release = make_release()
    broken = release.manifest_bytes.replace(b'"temperature":1.0', b'"temperature":NaN')
    simulator = Simulator([release, make_release("skin")], dishonest={"malaria@1"})
    simulator.repository.approve("malaria", "malaria@1", broken)
    async with running(simulator, tmp_path) as node:
        with pytest.raises(ProtocolError) as caught:
            await pull(node)
        assert caught.value.code == "manifest.malformed"
        await pull(node, "skin")
        assert await node.active() == ["skin@1"]


async def test_an_altered_file_is_noticed_and_fetched_again(tmp_path: Path) -> None:
    async with running(Simulator([make_release()]), tmp_path) as node:
        await pull(node)
        path = node.cache.path(Artifact.of("trunk", TRUNK).sha256)
        path.write_bytes(b"altered" + TRUNK[7:])
        before = node.source.sent
        await pull(node)
        assert node.source.sent - before == len(TRUNK)
        assert path.read_bytes() == TRUNK


async def test_superseded_files_go_and_files_of_a_listed_release_stay(tmp_path: Path) -> None:
    versions = [make_release(version=v, padding=bytes([v]) * 500) for v in (1, 2, 3)]
    simulator = Simulator([versions[0]])
    async with running(simulator, tmp_path) as node:
        for release in versions:
            simulator.releases = [release]
            await pull(node)
        kept = [node.cache.path(v.manifest.artifacts[-1].sha256).exists() for v in versions]
        assert kept == [False, True, True]  # the previous version stays for going back


async def test_update_installed_updates_what_is_in_use_and_nothing_else(tmp_path: Path) -> None:
    simulator = Simulator([make_release(), make_release("skin")])
    async with running(simulator, tmp_path) as node:
        await pull(node)
        simulator.publish(make_release(version=2), make_release("skin", version=2))
        done = await node.puller.update_installed(await node.feed.refresh())
        assert [r.name for r in done] == ["malaria@2"]
        assert await node.active() == ["malaria@2"]
        assert await node.puller.update_installed(await node.feed.refresh()) == []


async def test_update_installed_goes_on_after_a_failure_and_then_tells_of_it(tmp_path: Path) -> None:
    simulator = Simulator([make_release(), make_release("skin")])
    async with running(simulator, tmp_path) as node:
        await pull(node)
        await pull(node, "skin")
        simulator.publish(make_release(version=2, least_node_version="9"), make_release("skin", version=2))
        with pytest.raises(ReleaseRefusedError):
            await node.puller.update_installed(await node.feed.refresh())
        assert await node.active() == ["malaria@1", "skin@2"]


async def test_the_replica_comes_along_once(tmp_path: Path) -> None:
    data = replica_format.build(seed_entries()[:3])
    simulator = Simulator([make_release()], (data, "kb-1"))
    async with running(simulator, tmp_path) as node:
        await pull(node)
        assert (tmp_path / "kb.sqlite").exists()
        assert not await node.puller.update_knowledge(await node.feed.refresh())
        simulator.knowledge = (replica_format.build(seed_entries()[:4]), "kb-2")
        assert await node.puller.update_knowledge(await node.feed.refresh())


async def test_a_broken_replica_does_not_stop_the_model(tmp_path: Path) -> None:
    simulator = Simulator([make_release()], (b"not a replica", "kb-1"))
    async with running(simulator, tmp_path) as node:
        snapshot = await node.feed.refresh()
        pulled = await node.puller.pull(snapshot, node.puller.choose(snapshot, "malaria", None), lambda _: None)
        assert await node.active() == ["malaria@1"]
        assert pulled.knowledge_failure is not None
        assert pulled.knowledge_failure.code == "kb.replica.not_one"


async def test_a_source_that_is_gone_leaves_everything_as_it_was(tmp_path: Path) -> None:
    def none(_: Source) -> list[Source]:
        return []

    async with running(Simulator([make_release()]), tmp_path, none) as node:
        with pytest.raises(EdgeError) as caught:
            await pull(node)
        assert caught.value.code == "edge.no_source"
        assert await node.store.installed() == []


def test_self_test_with_the_real_runtime(tmp_path: Path) -> None:
    release = make_release()
    for sha256, data in release.files.items():
        (tmp_path / sha256).write_bytes(data)
    models = LocalModels(Pipelines(lambda s: tmp_path / s))
    self_test(release.manifest, tmp_path / release.manifest.golden.sha256, models)


def test_self_test_accepts_small_differences_and_refuses_larger_ones(tmp_path: Path) -> None:
    release = make_release()
    golden = tmp_path / "golden.png"
    golden.write_bytes(release.files[release.manifest.golden.sha256])
    self_test(release.manifest, golden, ColourRunner(bias=0.01))
    with pytest.raises(ReleaseRefusedError):
        self_test(release.manifest, golden, ColourRunner(bias=3.0))
    with pytest.raises(ReleaseRefusedError):
        self_test(release.manifest, golden, ColourRunner(bias=np.nan))


def test_the_made_up_expectations_are_distinct() -> None:
    assert expected_scores(RED)[0] > 0.9 > 0.1 > expected_scores(BLUE)[0]


async def test_what_only_the_coordinator_can_tell_is_unreachable_while_it_is_gone(tmp_path: Path) -> None:
    """So that whoever asks tries again; what is known without it is answered at once."""
    simulator = Simulator([make_release()])
    heard: list[Snapshot] = []
    async with running(simulator, tmp_path) as node:
        node.origin.gone = True
        with pytest.raises(UnreachableError):
            await node.puller.find("malaria", None, heard.append)
        node.origin.gone = False
        await node.puller.find("malaria", None, heard.append)
        simulator.publish(make_release("skin"))
        node.origin.gone = True
        snapshot, release = await node.puller.find("malaria", None, heard.append)
        assert (release.name, heard[-1]) == ("malaria@1", snapshot)
        with pytest.raises(UnreachableError):
            await node.puller.find("skin", None, heard.append)
        node.origin.gone = False
        assert (await node.puller.find("skin", None, heard.append))[1].name == "skin@1"
        with pytest.raises(EdgeError) as caught:
            await node.puller.find("eyes", None, heard.append)
        assert (caught.value.code, len(heard)) == ("edge.disease_unknown", 4)
