"""A release of one network becomes a version of another: vetted, measured, countersigned, and revoked with its origin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from coordinator.bootstrap import Coordinator
from coordinator.errors import CoordinatorError
from coordinator.releases.cards.content import card
from coordinator.releases.cards.facts import gather
from coordinator.reports import markdown
from coordinator.store.blobs import FolderBlobs
from coordinator.upstream import proof
from coordinator.upstream.service import Upstreams
from edge_node.trust.catalogue import read_release
from protocols.errors import MedMeshError
from protocols.origin import origin_of
from tests.edge_node.support.releases import TRUNK
from tests.support.networks import HomeSource, handed_over, made, measured, network, now, released, upstreams

ENTRIES = frozenset({"malaria", "normal-blood-cell"})
_TWO_DAYS = timedelta(days=2)


async def ups_refreshed(ups: Upstreams, model: str) -> object:
    """Take a model over, news first."""
    await ups.refresh("north")
    return await ups.pull(model, None, None, ENTRIES, None)


@asynccontextmanager
async def two(
    tmp_path: Path, on_revocation: str = "pause"
) -> AsyncIterator[tuple[Coordinator, Coordinator, Upstreams, HomeSource]]:
    """Two networks; the second has added the first."""
    async with network(tmp_path / "a", "North") as north, network(tmp_path / "b", "South") as south:
        await released(north)
        source = HomeSource(tmp_path / "a")
        ups = upstreams(south, source, on_revocation)
        await ups.add(None, handed_over(north), None)
        yield north, south, ups, source


async def code(work: object) -> str:
    with pytest.raises(MedMeshError) as caught:
        await work  # type: ignore[misc]
    return caught.value.code


async def test_a_release_travels_is_countersigned_and_stops_with_its_origin(tmp_path: Path) -> None:
    async with two(tmp_path) as (north, south, ups, _):
        taken = await ups.pull("malaria", None, None, ENTRIES, measured())
        assert (taken["model"], taken["version"], taken["unmapped"]) == ("malaria", 1, [])
        assert taken["vetting"]["read"] == taken["vetting"]["stages"]  # nothing of it was known here
        manifest = await south.models.manifest("malaria")
        origin = origin_of(manifest)
        assert origin is not None
        assert (origin.network, origin.release) == ("North", "malaria@1")
        assert manifest.metrics["balanced_accuracy"]["value"] == 0.9  # measured here, not what it claims there

        blobs = FolderBlobs(south.home.artifacts)
        packed = blobs.path(origin.proof).read_bytes()
        assert b"malaria" in proof.verified(packed, origin)
        for wrong in (
            replace(origin, root="0" * 64),
            replace(origin, manifest="0" * 64),
            replace(origin, release="m@2"),
        ):
            with pytest.raises(CoordinatorError):
                proof.verified(packed, wrong)

        proposed = await south.releases.propose("malaria", "", None, False, now())
        gate = next(g for g in proposed["gates"] if g["name"] == "retested")
        assert gate["ok"]
        assert "signed there by" in gate["detail"]
        await south.releases.approve("malaria@1", None, now())
        await south.releases.rollout("malaria@1", 100, (), now())
        shown = read_release("malaria", "malaria@1", "Dr South", manifest.to_bytes())
        assert shown.signer == f"Dr South; North: {', '.join(origin.approvers)}"
        facts = await gather("malaria", south.models, south.releases, south.home, "South")
        text = markdown.render(card(facts), "en")
        assert "From another network" in text
        assert "0.970" in text
        assert "0.900" in text

        await north.releases.withdraw("malaria@1", "wrong thresholds", now())
        (row,) = (await ups.refresh("north"))["taken"]
        assert (row["revoked"]["reason"], row["revoked"]["act"]) == ("wrong thresholds", "paused")
        assert (await south.releases.show("malaria@1"))["state"] == "paused"
        await south.releases.resume("malaria@1", now())  # a person may go on
        await ups.refresh("north")
        assert (await south.releases.show("malaria@1"))["state"] == "released"
        assert await code(ups.pull("malaria@1", None, None, ENTRIES, measured())) in (
            "upstream.revoked",
            "upstream.not_offered",
        )


async def test_what_was_not_measured_or_is_revoked_at_its_origin_cannot_be_proposed(tmp_path: Path) -> None:
    async with two(tmp_path, "withdraw") as (north, south, ups, _):
        await ups.pull("malaria@1", "north", "malaria-north", frozenset({"malaria"}), None)
        assert await code(south.releases.propose("malaria-north", "", "tests", False, now())) == "release.gate_failed"
        taken = await ups.pull("malaria@1", "north", "malaria-north", frozenset({"malaria"}), measured())
        assert taken["version"] == 2
        assert taken["vetting"]["read"] == taken["vetting"]["stages"]  # what came from there is not ours: read again
        await north.releases.withdraw("malaria@1", "wrong thresholds", now())
        await ups.refresh("north")
        with pytest.raises(CoordinatorError) as caught:
            await south.releases.propose("malaria-north", "", "tests", False, now())
        assert "has revoked malaria@1: wrong thresholds" in caught.value.message()


async def test_withdrawal_of_itself_where_the_keeper_wants_it(tmp_path: Path) -> None:
    async with two(tmp_path, "withdraw") as (north, south, ups, _):
        await ups.pull("malaria", None, None, ENTRIES, measured())
        await south.releases.propose("malaria", "", None, False, now())
        await south.releases.approve("malaria", None, now())
        await south.releases.rollout("malaria", 100, (), now())
        await north.releases.withdraw("malaria@1", "wrong thresholds", now())
        await ups.refresh_due()  # asked today already
        assert (await south.releases.show("malaria"))["state"] == "released"
        await upstreams(south, HomeSource(tmp_path / "a"), "withdraw", later=_TWO_DAYS).refresh_due()
        shown = await south.releases.show("malaria")
        assert (shown["state"], shown["reason"]) == ("withdrawn", "north: wrong thresholds")


async def test_files_that_are_not_what_was_signed_are_thrown_away_and_a_cut_off_part_is_continued(
    tmp_path: Path,
) -> None:
    async with two(tmp_path) as (_, south, ups, source):
        source.attack = lambda path, data: data[:-1] + b"x" if "artifacts" in path else data
        assert await code(ups.pull("malaria", None, None, ENTRIES, None)) == "upstream.tampered"
        source.attack = lambda path, data: data + b"x" if "artifacts" in path else data
        assert await code(ups.pull("malaria", None, None, ENTRIES, None)) == "upstream.tampered"
        source.attack = lambda path, data: data[: len(TRUNK) // 2] if "artifacts" in path else data
        assert await code(ups.pull("malaria", None, None, ENTRIES, None)) == "upstream.unreachable"
        assert await south.models.list() == []
        assert not list(south.home.artifacts.rglob("*")) or not any(
            p.is_file() for p in south.home.artifacts.rglob("*")
        )
        source.attack = lambda _, data: data
        source.asked.clear()
        await ups.pull("malaria", None, None, ENTRIES, None)
        assert (len(TRUNK) // 2) in [start for path, start in source.asked if "artifacts" in path]


async def test_a_stranger_is_a_stranger_whoever_signed(tmp_path: Path) -> None:
    """A stage that is no plain network, and golden answers that are not true, are refused; nothing is served afterwards."""
    async with two(tmp_path) as (north, south, ups, _):
        await made(north, model="other", head=b"\0\0\0\0TFL3" + bytes(200))
        manifest = await north.models.manifest("other")
        await north.releases._insert(
            "other@1", "malaria", manifest.to_bytes(), "", [], ("release.propose", {}), now()
        )  # past its own gates
        await north.releases.approve("other@1", None, now())
        await north.releases.rollout("other@1", 100, (), now())
        refused = await code(ups_refreshed(ups, "other"))
        assert refused.startswith("vetting.")
        assert [row["model"] for row in await south.models.list()] == []
        assert not any(p.is_file() for p in south.home.artifacts.rglob("*"))


async def test_a_measurement_that_cannot_be_made_leaves_no_files_of_nobody(tmp_path: Path) -> None:
    def refuse(_: object) -> dict[str, object]:
        raise CoordinatorError("evaluate.labels_differ", found="a", wanted="b")

    async with two(tmp_path) as (_, south, ups, _):
        assert await code(ups.pull("malaria", None, None, ENTRIES, refuse)) == "evaluate.labels_differ"
        assert await south.models.list() == []
        assert not any(p.is_file() for p in south.home.artifacts.rglob("*"))
        assert await code(ups.pull("gout", None, None, ENTRIES, None)) == "upstream.not_offered"
        assert await code(ups.pull("malaria@9", None, None, ENTRIES, None)) == "upstream.not_offered"
        assert await code(ups.pull("malaria", "nobody", None, ENTRIES, None)) == "upstream.unknown"
