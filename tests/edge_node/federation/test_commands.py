from __future__ import annotations

import asyncio
from pathlib import Path

from edge_node.bootstrap import Edge
from edge_node.capture.keep import Kept
from tests.edge_node.federation.test_folder_and_store import folder
from tests.edge_node.support.commands import edge
from tests.edge_node.support.releases import png
from tests.edge_node.support.results import keep, result


def test_images_are_noted_listed_and_forgotten(tmp_path: Path) -> None:
    images, home = folder(tmp_path / "malaria"), tmp_path / "home"
    (images / "ill" / "page.png").write_text("<html>")
    added = edge(home, "data", "add", str(images)).json
    assert (added["disease"], added["added"], added["classes"]) == ("malaria", 6, {"ill": 3, "well": 3})
    assert added["rejected"] == [{"file": "ill/page.png", "code": "image.unreadable"}]
    assert edge(home, "data", "list").json == {"data": [{"disease": "malaria", "classes": {"ill": 3, "well": 3}}]}
    assert edge(home, "data", "remove", "malaria").json["removed"] == 6
    missing = edge(home, "data", "remove", "malaria")
    assert (missing.code, missing.error["code"]) == (4, "federation.no_images")
    assert sorted(p.name for p in (images / "well").iterdir()) == ["0.png", "1.png", "2.png"]


def test_confirmed_pictures_are_noted_by_their_sealed_copies(tmp_path: Path) -> None:
    first, second, third = keep(tmp_path, *(result(number) for number in range(3)))

    async def confirmed() -> None:
        async with Edge(tmp_path).history() as history:
            await history.pictures.keep(Kept(png((200, 30, 30)), ".png"), [first])
            await history.pictures.keep(Kept(png((200, 30, 31)), ".png"), [second])
            await history.confirm(first, "parasitized")
            await history.confirm(third, "uninfected")

    asyncio.run(confirmed())
    added = edge(tmp_path, "data", "add", "--confirmed", "--disease", "malaria").json
    assert (added["added"], added["from_copies"], added["from_files"]) == (1, 1, 0)
    assert added["classes"] == {"parasitized": 1, "uninfected": 0}
    assert edge(tmp_path, "data", "add").code == 2


def test_a_node_that_belongs_to_nobody_cannot_consent(tmp_path: Path) -> None:
    refused = edge(tmp_path, "federation", "consent", "malaria")
    assert (refused.code, refused.error["code"]) == (5, "edge.not_enrolled")
    assert not (tmp_path / "edge" / "federation.sqlite").exists()


def test_a_folder_that_cannot_be_used_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "one" / "ill").mkdir(parents=True)
    refused = edge(tmp_path / "home", "data", "add", str(tmp_path / "one"), "--disease", "malaria")
    assert (refused.code, refused.error["code"]) == (3, "federation.data_folder")
    assert edge(tmp_path / "home", "data", "list").json == {"data": []}
