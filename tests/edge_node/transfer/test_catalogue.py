from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edge_node.errors import EdgeError, SourceError, UnreachableError
from edge_node.transfer.catalogue import MAX_CATALOGUE_BYTES, Catalogue
from edge_node.transfer.feed import CatalogueCache, CatalogueFeed
from protocols.artifacts import canonical_json
from tests.edge_node.support.node import SimulatedOrigin
from tests.edge_node.support.releases import Simulator, make_release

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def document() -> dict[str, Any]:
    return Simulator([make_release(), make_release(version=3), make_release("skin", 2)]).catalogue()


def test_current_is_the_newest_version_of_each_model() -> None:
    catalogue = Catalogue.from_bytes(canonical_json(document()))
    assert [r.name for r in catalogue.current()] == ["malaria@3", "skin@2"]


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(doc: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        at: Any = doc
        for key in parents:
            at = at[int(key)] if key.isdigit() else at[key]
        at[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("serial", -1, "serial"),
        ("serial", True, "serial"),
        ("node_url", "ws://127.0.0.1:1", "coordinator"),
        ("coordinator", "a\x1b[2J", "coordinator"),
        ("kb", {"sha256": "0" * 64, "size": 10**12, "version": "1"}, "kb"),
        ("releases", {}, "releases"),
        ("releases.0.disease", "../etc", "releases"),
        ("releases.0.release", "malaria@9", "releases"),
        ("releases.0.version", "1", "releases"),
        ("releases.0.signer", "x\ny", "releases"),
        ("releases.0.manifest.size", 10**9, "releases"),
        ("releases.0.artifacts.0.size", -5, "releases"),
        ("releases.0.artifacts.0.sha256", "ABC", "releases"),
        ("releases.1.version", 1, "releases"),
    ],
)
def test_a_malformed_catalogue_is_refused_naming_the_field(path: str, value: Any, field: str) -> None:
    broken = document()
    _set(path, value)(broken)
    with pytest.raises(EdgeError) as caught:
        Catalogue.from_bytes(json.dumps(broken).encode())
    assert (caught.value.code, caught.value.details["field"]) == ("edge.catalogue_malformed", field)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"[" * 100_000, b" " * (MAX_CATALOGUE_BYTES + 1)])
def test_what_is_no_catalogue_is_refused(data: bytes) -> None:
    with pytest.raises(EdgeError) as caught:
        Catalogue.from_bytes(data)
    assert caught.value.code == "edge.catalogue_malformed"


async def test_newest_falls_back_to_the_kept_catalogue_and_says_why(tmp_path: Path) -> None:
    origin = SimulatedOrigin(Simulator([make_release()]))
    feed = CatalogueFeed([origin], CatalogueCache(tmp_path / "c.json", "a" * 64), lambda: NOW)
    assert (await feed.newest()).failure is None
    origin.gone = True
    kept = await feed.newest()
    assert (kept.fetched, [r.name for r in kept.catalogue.releases]) == (NOW, ["malaria@1"])
    assert isinstance(kept.failure, UnreachableError)
    with pytest.raises(SourceError):
        await feed.refresh()


async def test_newest_tries_every_address(tmp_path: Path) -> None:
    gone, there = (SimulatedOrigin(Simulator([make_release()])) for _ in range(2))
    gone.gone = True
    feed = CatalogueFeed([gone, there], CatalogueCache(tmp_path / "c.json", "a" * 64), lambda: NOW)
    assert (await feed.newest()).failure is None


async def test_the_catalogue_of_another_coordinator_is_not_used(tmp_path: Path) -> None:
    origin = SimulatedOrigin(Simulator([make_release()]))
    await CatalogueFeed([origin], CatalogueCache(tmp_path / "c.json", "a" * 64), lambda: NOW).refresh()
    origin.gone = True
    with pytest.raises(UnreachableError):
        await CatalogueFeed([origin], CatalogueCache(tmp_path / "c.json", "b" * 64), lambda: NOW).newest()


@pytest.mark.parametrize("data", [b"", b"{", b'{"format": "medmesh.edge.catalogue/1"}', b"[]"])
def test_a_damaged_kept_catalogue_counts_as_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "c.json").write_bytes(data)
    assert CatalogueCache(tmp_path / "c.json", "a" * 64).load() is None
