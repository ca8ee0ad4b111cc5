from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_node.errors import EdgeError
from edge_node.federation import permission
from edge_node.federation.folder import Reading, read_folder
from edge_node.federation.store import Consent, SiteStore

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


def draw(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 40), (shade, 255 - shade, 90)).save(path)


def folder(root: Path) -> Path:
    for i in range(3):
        draw(root / "ill" / f"{i}.png", 10 + i)
        draw(root / "well" / f"{i}.png", 100 + i)
    return root


def read(root: Path, groups: Path | None = None) -> Reading:
    return read_folder(root, groups, lambda done, total: None)


def test_images_are_read_with_their_labels_and_bad_ones_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    (root / "ill" / "page.png").write_text("<html>")
    (root / "well" / ".hidden.png").write_text("")
    (root / "odd").mkdir()
    reading = read(root)
    assert reading.labels == ("ill", "odd", "well")
    assert sorted(i.label for i in reading.images) == ["ill"] * 3 + ["well"] * 3
    assert reading.rejected == [("ill/page.png", "image.unreadable")]
    assert not reading.grouped
    assert len({i.group for i in reading.images}) == 6


def test_the_same_picture_under_two_labels_is_set_aside(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    draw(root / "well" / "again.png", 10)
    reading = read(root)
    assert sorted(reading.conflicts) == ["ill/0.png", "well/again.png"]
    assert len(reading.images) == 5


def test_groups_are_used(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    (root / "groups.csv").write_text("\ufefffile,group\nill/0.png,p1\nill/1.png,p1\n", encoding="utf-8")
    reading = read(root)
    assert reading.grouped
    assert [i.group for i in reading.images if i.label == "ill"] == ["p1", "p1", "? ill/2.png"]


@pytest.mark.parametrize(
    ("text", "row"),
    [("name,group\n", 1), ("file,group\nnone.png,p\n", 2), ("file,group\nill/0.png,\n", 2)],
)
def test_groups_that_do_not_fit_are_refused_with_the_row(text: str, row: int, tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    table = tmp_path / "groups.csv"
    table.write_text(text)
    with pytest.raises(EdgeError) as caught:
        read(root, table)
    assert (caught.value.code, caught.value.details["row"]) == ("federation.data_groups", row)


@pytest.mark.parametrize("classes", [[], ["ill"]])
def test_a_folder_without_two_classes_is_refused(classes: list[str], tmp_path: Path) -> None:
    for name in classes:
        (tmp_path / name).mkdir()
    with pytest.raises(EdgeError) as caught:
        read(tmp_path)
    assert caught.value.code == "federation.data_folder"


async def test_images_are_noted_once_and_forgotten_with_their_features(tmp_path: Path) -> None:
    reading = read(folder(tmp_path / "set"))
    async with SiteStore.open(tmp_path / "federation.sqlite") as store:
        assert await store.add("malaria", reading) == 6
        assert await store.add("malaria", reading) == 0
        assert await store.diseases() == {"malaria": {"ill": 3, "well": 3}}
        assert await store.labels("malaria") == ("ill", "well")
        digests = [i.sha256 for i in reading.images]
        values = [(d, np.full(4, i, np.float32)) for i, d in enumerate([*digests, "0" * 64])]
        await store.keep_features("stage", values)
        assert set(await store.features("stage")) == set(digests)  # of an image that is not here nothing is kept
        assert await store.remove("malaria") == 6
        assert await store.features("stage") == {}
        assert await store.diseases() == {}


async def test_a_consent_lasts_until_it_is_withdrawn(tmp_path: Path) -> None:
    given = Consent("malaria", NOW, "22:00-06:00", 50)
    async with SiteStore.open(tmp_path / "federation.sqlite") as store:
        await store.consent(given)
    async with SiteStore.open(tmp_path / "federation.sqlite") as store:
        assert await store.consents() == [given]
        assert await store.withdraw("malaria")
        assert not await store.withdraw("malaria")
        assert await store.consents() == []


def test_another_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "federation.sqlite").write_bytes(b"nonsense" * 1000)

    async def look() -> None:
        async with SiteStore.open(tmp_path / "federation.sqlite"):
            pass

    with pytest.raises(EdgeError) as caught:
        asyncio.run(look())
    assert caught.value.code == "federation.store_damaged"


@pytest.mark.parametrize(
    ("consents", "hour", "used", "code"),
    [
        ([], 12, 0, "federation.not_consented"),
        ([Consent("skin", NOW, "", 0)], 12, 0, "federation.not_consented"),
        ([Consent("malaria", NOW, "22:00-06:00", 0)], 12, 0, "federation.not_now"),
        ([Consent("malaria", NOW, "", 1)], 12, 1_000_000, "federation.not_now"),
    ],
)
def test_a_site_takes_part_only_within_what_it_consented_to(
    consents: list[Consent], hour: int, used: int, code: str
) -> None:
    with pytest.raises(EdgeError) as caught:
        permission.require("malaria", consents, datetime(2026, 2, 1, hour, 0), used)
    assert caught.value.code == code


def test_within_hours_and_budget_it_does() -> None:
    permission.require("malaria", [Consent("malaria", NOW, "22:00-06:00", 1)], datetime(2026, 2, 1, 23, 0), 999_999)
