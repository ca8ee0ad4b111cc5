"""From a crash to quarantine, the version before, and back: with the real store, models in a process of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from edge_node.cache.quarantine import Quarantine
from edge_node.errors import EdgeError, ReleaseRefusedError
from edge_node.recognition.picture import Picture
from edge_node.recognition.recogniser import Recogniser
from edge_node.recognition.service import RecognitionService
from edge_node.worker.errors import ModelDiedError
from edge_node.worker.guard import GuardedRecognition
from edge_node.worker.models import Models
from protocols.manifest import ReleaseManifest
from tests.edge_node.recognition.test_recognition import NoKnowledge
from tests.edge_node.support.node import COORDINATOR, Node, now, running
from tests.edge_node.support.releases import RED, Simulator, make_release, png
from tests.edge_node.support.shelf import Shelf, faulty


class Fragile:
    """Runs releases by the node's own colour runner; the ones named here die, over any picture or only over one."""

    def __init__(self, node: Node, *fragile: str, over: str = "") -> None:
        self.fragile, self.over = set(fragile), over
        self._recogniser = Recogniser(node.runner)  # type: ignore[arg-type]

    def recognise(self, picture: Picture, releases: Any, *, explain: bool = False) -> Any:
        for release in releases:
            if release.name in self.fragile and self.over in picture.file.name:
                raise ModelDiedError("worker.model_crashed", release, release=release.name, problem="SIGSEGV")
        return self._recogniser.recognise(picture, releases, explain=explain)


@dataclass
class Clinic:
    """A node with releases in use, its pictures and its guarded recognition."""

    node: Node
    guard: GuardedRecognition
    quarantine: Quarantine
    models: Fragile
    folder: Path

    async def in_use(self) -> list[ReleaseManifest]:
        installed = [r for r in await self.node.store.installed() if r.active]
        return [ReleaseManifest.from_bytes(self.node.cache.path(r.manifest.sha256).read_bytes()) for r in installed]

    async def recognise(self, *names: str, releases: list[ReleaseManifest] | None = None) -> Any:
        images = [self.folder / name for name in names or ("a.png",)]
        for image in images:
            image.write_bytes(png(RED, edge=80))
        return await self.guard.recognise([Picture(i) for i in images], releases or await self.in_use(), None)


def guarded(node: Node, models: Fragile | Models) -> GuardedRecognition:
    service = RecognitionService(cast(Recogniser, models), None, NoKnowledge(), 1.0)
    return GuardedRecognition(service, Quarantine(node.store, node.cache, COORDINATOR, now))


@asynccontextmanager
async def clinic(
    tmp_path: Path, *fragile: str, versions: int = 2, over: str = "", **changes: Any
) -> AsyncIterator[Clinic]:
    """Malaria in ``versions`` versions, the newest in use, and skin."""
    simulator = Simulator([make_release("skin")])
    async with running(simulator, tmp_path) as node:
        await node.pull("skin")
        for version in range(1, versions + 1):
            simulator.publish(make_release(version=version, **(changes if version == versions else {})))
            await node.pull()
        models = Fragile(node, *fragile, over=over)
        quarantine = Quarantine(node.store, node.cache, COORDINATOR, now)
        yield Clinic(node, guarded(node, models), quarantine, models, tmp_path)


def releases_of(findings: Any) -> list[str]:
    return sorted(f"{r['release']['model']}@{r['release']['version']}" for r in findings.results)


async def test_the_version_before_answers_at_once_and_says_so(tmp_path: Path) -> None:
    async with clinic(tmp_path, "malaria@2") as c:
        findings = await c.recognise()
        assert releases_of(findings) == ["malaria@1", "skin@1"] and not findings.quarantined
        instead = {r["disease"]: r["instead_of"] for r in findings.results}
        assert instead["skin"] is None
        assert (instead["malaria"]["release"], instead["malaria"]["code"]) == ("malaria@2", "worker.model_crashed")
        assert sorted(await c.node.active()) == ["malaria@1", "skin@1"]
        assert [(e.code, e.subject) for e in await c.node.store.events()] == [("worker.model_crashed", "malaria@2")]


async def test_all_pictures_are_judged_by_one_version(tmp_path: Path) -> None:
    async with clinic(tmp_path, "malaria@2", over="third") as c:
        findings = await c.recognise("first.png", "second.png", "third.png")
        assert releases_of(findings) == ["malaria@1"] * 3 + ["skin@1"] * 3


async def test_without_a_version_before_the_others_go_on_and_the_failure_is_named(tmp_path: Path) -> None:
    async with clinic(tmp_path, "malaria@1", versions=1) as c:
        findings = await c.recognise()
        assert releases_of(findings) == ["skin@1"]
        assert [e.code for e in findings.quarantined] == ["worker.model_crashed"]
        again = await c.recognise()
        assert [e.code for e in again.quarantined] == ["worker.release_quarantined"]


async def test_where_nothing_is_left_to_run_it_is_a_clear_error(tmp_path: Path) -> None:
    async with clinic(tmp_path, "malaria@1", versions=1) as c:
        malaria = [m for m in await c.in_use() if m.disease == "malaria"]
        with pytest.raises(ModelDiedError):
            await c.recognise(releases=malaria)
        with pytest.raises(ReleaseRefusedError) as caught:
            await c.recognise(releases=malaria)
        assert (caught.value.code, caught.value.kind.exit_code) == ("worker.release_quarantined", 5)
        assert "unquarantine malaria@1" in caught.value.remedy("zh")


async def test_a_release_that_dies_while_it_is_explained_goes_into_quarantine_too(tmp_path: Path) -> None:
    async with clinic(tmp_path, "malaria@2") as c:
        (malaria, _) = await c.in_use()
        (tmp_path / "a.png").write_bytes(png(RED, edge=80))
        with pytest.raises(ModelDiedError):
            await c.guard.heat(Picture(tmp_path / "a.png"), malaria)
        assert [m.name for m in await c.quarantine.marks()] == ["malaria@2"]


async def test_both_versions_may_die(tmp_path: Path) -> None:
    async with clinic(tmp_path, "malaria@2", "malaria@1") as c:
        findings = await c.recognise()
        assert releases_of(findings) == ["skin@1"]
        assert [m.name for m in await c.quarantine.marks()] == ["malaria@1", "malaria@2"]


async def test_the_quarantine_outlives_the_program(tmp_path: Path) -> None:
    async with clinic(tmp_path, "malaria@2") as c:
        await c.recognise()
        simulator = c.node.simulator
    async with running(simulator, tmp_path) as node:
        assert sorted(await node.active()) == ["malaria@1", "skin@1"]
        assert [m.name for m in await node.store.quarantined()] == ["malaria@2"]
        findings = await Clinic(
            node, guarded(node, Fragile(node)), cast(Any, None), Fragile(node), tmp_path
        ).recognise()
        assert {r["disease"]: r["instead_of"] and r["instead_of"]["release"] for r in findings.results} == {
            "malaria": "malaria@2",
            "skin": None,
        }


async def test_neither_sync_nor_pull_brings_a_release_in_quarantine_back(tmp_path: Path) -> None:
    async with clinic(tmp_path, "malaria@2") as c:
        await c.recognise()
        assert await c.node.sync() == []
        with pytest.raises(ReleaseRefusedError) as caught:
            await c.node.pull()
        assert caught.value.code == "worker.release_quarantined"
        assert "malaria@1" in await c.node.active()


async def test_a_newer_version_ends_the_quarantine(tmp_path: Path) -> None:
    async with clinic(tmp_path, "malaria@2") as c:
        await c.recognise()
        c.node.simulator.publish(make_release(version=3))
        assert await c.node.sync() == ["malaria@3"]
        assert await c.quarantine.marks() == []
        assert releases_of(await c.recognise()) == ["malaria@3", "skin@1"]


async def test_a_person_can_end_the_quarantine_and_the_release_is_in_use_again(tmp_path: Path) -> None:
    async with clinic(tmp_path, "malaria@2") as c:
        await c.recognise()
        with pytest.raises(EdgeError) as caught:
            await c.quarantine.remove("malaria@1")
        assert caught.value.code == "worker.not_quarantined"
        assert [m.name for m in await c.quarantine.remove("malaria@2")] == ["malaria@2"]
        assert sorted(await c.node.active()) == ["malaria@2", "skin@1"]
        c.models.fragile.clear()
        assert releases_of(await c.recognise()) == ["malaria@2", "skin@1"]


async def test_an_older_version_that_was_asked_for_by_name_and_dies_does_not_move_the_one_in_use(
    tmp_path: Path,
) -> None:
    async with clinic(tmp_path, "malaria@1") as c:
        previous = next(r for r in await c.node.store.installed() if r.name == "malaria@1")
        manifest = ReleaseManifest.from_bytes(c.node.cache.path(previous.manifest.sha256).read_bytes())
        assert releases_of(await c.recognise(releases=[manifest])) == ["malaria@2"]
        await c.quarantine.remove("malaria@1")
        assert "malaria@2" in await c.node.active()


@pytest.mark.parametrize("why", ["floor", "revoked", "damaged"])
async def test_a_version_that_must_not_be_gone_back_to_does_not_stand_in(tmp_path: Path, why: str) -> None:
    changes = {"floor_version": 2} if why == "floor" else {}
    async with clinic(tmp_path, "malaria@2", **changes) as c:
        if why == "revoked":
            c.node.simulator.revoked["malaria@1"] = "misses ring forms"
            await c.node.feed.refresh()
        if why == "damaged":
            (old,) = [r for r in await c.node.store.installed() if r.name == "malaria@1"]
            c.node.cache.path(old.manifest.sha256).write_bytes(b"x")
        findings = await c.recognise()
        assert releases_of(findings) == ["skin@1"]
        assert [e.code for e in findings.quarantined] == ["worker.model_crashed"]
        assert "malaria@2" in await c.node.active()


async def test_a_release_that_segfaults_in_its_self_test_is_refused_and_the_node_lives(tmp_path: Path) -> None:
    simulator = Simulator([make_release("malaria", model="segfault")])
    async with running(simulator, tmp_path) as node:
        shelf = Shelf(tmp_path)
        shelf.path = node.cache.path  # type: ignore[method-assign]
        with faulty(shelf) as models:
            node.installer._models = models
            with pytest.raises(ReleaseRefusedError) as caught:
                await node.pull()
            assert caught.value.code == "worker.self_test_crashed" and "SIGSEGV" in caught.value.message()
            assert await node.active() == []
            assert [e.code for e in await node.store.events()] == ["worker.self_test_crashed"]
            simulator.publish(make_release("skin"))
            await node.pull("skin")
            assert await node.active() == ["skin@1"]


async def test_a_real_crash_ends_in_the_answer_of_the_version_before(tmp_path: Path) -> None:
    simulator = Simulator([make_release("malaria", model="segfault")])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.publish(make_release("malaria", 2, model="segfault", created="2026-03-01"))
        await node.pull()
        shelf = Shelf(tmp_path)
        shelf.path = node.cache.path  # type: ignore[method-assign]
        with faulty(shelf) as models:
            c = Clinic(
                node, guarded(node, models), Quarantine(node.store, node.cache, None, now), cast(Any, None), tmp_path
            )
            with pytest.raises(ModelDiedError):  # both versions crash here: one after the other is put in
                await c.recognise()
        assert [m.name for m in await c.quarantine.marks()] == ["segfault@1", "segfault@2"]
