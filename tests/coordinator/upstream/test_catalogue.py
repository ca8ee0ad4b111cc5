"""Whatever is done to the other network's repository on the way, nothing but its true newest state is believed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from coordinator.bootstrap import Coordinator
from coordinator.errors import CoordinatorError
from coordinator.upstream.service import Upstreams
from protocols.errors import MedMeshError, ProtocolError
from protocols.network import NetworkFile
from tests.support.networks import HomeSource, handed_over, network, now, released, upstreams


@asynccontextmanager
async def two(tmp_path: Path) -> AsyncIterator[tuple[Coordinator, Upstreams, HomeSource]]:
    """The first network, and the second one's view of it."""
    async with network(tmp_path / "a", "North") as north, network(tmp_path / "b", "South") as south:
        await released(north)
        source = HomeSource(tmp_path / "a")
        yield north, upstreams(south, source), source


async def code(work: object) -> str:
    with pytest.raises(MedMeshError) as caught:
        await work  # type: ignore[misc]
    return caught.value.code


async def test_a_network_is_added_verified_shown_refreshed_and_forgotten(tmp_path: Path) -> None:
    async with two(tmp_path) as (north, ups, _):
        shown = await ups.add(None, handed_over(north), None)
        assert (shown["upstream"], shown["network"], shown["error"]) == ("north", "North", None)
        assert shown["releases"] == [{"disease": "malaria", "release": "malaria@1", "percent": 100, "paused": False}]
        assert await code(ups.add(None, handed_over(north), None)) == "upstream.exists"
        await released(north, 2)
        refreshed = await ups.refresh("north")
        assert [r["release"] for r in refreshed["releases"]] == ["malaria@2", "malaria@1"]
        assert (await ups.remove("north"))["orphans"] == []
        assert await ups.list() == []
        assert await code(ups.show("north")) == "upstream.unknown"
        assert (await ups.add(None, handed_over(north), None))["upstream"] == "north"


async def test_another_networks_root_or_a_foreign_repository_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    async with two(tmp_path) as (_, ups, _), network(tmp_path / "c", "East") as east:
        assert await code(ups.add(None, handed_over(east), None)) == "upstream.signature"
        assert await ups.list() == []
        assert not (tmp_path / "b" / "coordinator" / "upstream" / "east").exists()
        plain = NetworkFile("", (), handed_over(east).root, None, 0)
        assert await code(ups.add("https://east.example", plain, None)) == "upstream.incomplete"


async def test_a_replay_of_an_older_state_is_refused_and_the_newer_one_stays(tmp_path: Path) -> None:
    async with two(tmp_path) as (north, ups, source):
        before = source.snapshot()
        await ups.add(None, handed_over(north), None)
        await released(north, 2)
        serial = (await ups.refresh("north"))["serial"]
        source.frozen = before
        assert await code(ups.refresh("north")) == "upstream.rollback"
        shown = await ups.show("north")
        assert (shown["serial"], shown["error"]["code"]) == (serial, "upstream.rollback")
        source.frozen = None
        assert (await ups.refresh("north"))["error"] is None


async def test_a_first_contact_with_an_old_repository_is_refused_by_the_file(tmp_path: Path) -> None:
    async with two(tmp_path) as (north, ups, source):
        source.frozen = source.snapshot()
        await released(north, 2)
        file = handed_over(north, least_serial=await north.releases.serial())
        assert await code(ups.add(None, file, None)) == "upstream.rollback"


async def test_expired_metadata_is_refused_also_under_a_clock_that_went_back(tmp_path: Path) -> None:
    async with two(tmp_path) as (north, ups, source):
        await ups.add(None, handed_over(north), None)
        with time_machine.travel(now() + timedelta(days=8)):
            assert await code(ups.refresh("north")) == "upstream.expired"
        stale = source.snapshot()
        with time_machine.travel(now() + timedelta(days=20)):
            await north.releases.keep_fresh(now())
            await ups.refresh("north")
        source.frozen = stale
        assert await code(ups.refresh("north")) == "upstream.rollback"


@pytest.mark.parametrize("part", ["timestamp.json", "snapshot.json", "rollout.json", "catalogue.json"])
async def test_tampered_truncated_endless_and_missing_files_are_refused(tmp_path: Path, part: str) -> None:
    refused = {"upstream.signature", "upstream.refused", "upstream.tampered"}
    async with two(tmp_path) as (north, ups, source):
        for spoil in (lambda d: d[:-20], lambda d: d.replace(b"1", b"2"), lambda d: d + b" " * 5_000_000):
            source.attack = lambda path, data, spoil=spoil: spoil(data) if path.endswith(part) else data  # type: ignore[misc]
            assert await code(ups.add(None, handed_over(north), None)) in refused
        source.attack = lambda path, data: None if path.endswith(part) else data
        assert await code(ups.add(None, handed_over(north), None)) == "upstream.absent"
        assert await ups.list() == []


async def test_revocations_are_never_forgotten_under_the_same_keys(tmp_path: Path) -> None:
    async with two(tmp_path) as (north, ups, _):
        await released(north, 2)
        await north.releases.withdraw("malaria@1", "wrong thresholds", now())
        await ups.add(None, handed_over(north), None)
        assert (await ups.show("north"))["revoked"] == [{"release": "malaria@1", "reason": "wrong thresholds"}]


def test_a_networks_file_is_read_strictly() -> None:
    file = NetworkFile("North", ("https://north.example",), b"{}", "pem", 7)
    assert NetworkFile.from_bytes(file.to_bytes()) == file
    root = b'{"signed": {"_type": "root"}, "signatures": [{}]}'
    assert NetworkFile.from_bytes(root) == NetworkFile("", (), root, None, 0)
    for bad in (
        b"",
        b"[]",
        b'{"signed": {"_type": "targets"}, "signatures": [{}]}',
        file.to_bytes().replace(b"https:", b"http:"),
        file.to_bytes().replace(b'"least_serial": 7', b'"least_serial": -1'),
        file.to_bytes() + b" " * 300_000,
    ):
        with pytest.raises(ProtocolError) as caught:
            NetworkFile.from_bytes(bad)
        assert caught.value.code == "upstream.bad_file"


def test_an_address_that_is_no_https_address_is_refused() -> None:
    from coordinator.upstream.source import HttpsSource

    for url in ("http://north.example", "https://", "ftp://x", "https://u:p@north.example", "https://x/?a=b"):
        with pytest.raises(CoordinatorError) as caught:
            HttpsSource(url, None)
        assert caught.value.code == "upstream.bad_url"
