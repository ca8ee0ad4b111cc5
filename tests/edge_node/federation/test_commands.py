from __future__ import annotations

from pathlib import Path

from tests.edge_node.federation.test_folder_and_store import folder
from tests.edge_node.support.commands import edge


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


def test_a_node_that_belongs_to_nobody_cannot_consent(tmp_path: Path) -> None:
    refused = edge(tmp_path, "federation", "consent", "malaria")
    assert (refused.code, refused.error["code"]) == (5, "edge.not_enrolled")
    assert not (tmp_path / "edge" / "federation.sqlite").exists()


def test_a_folder_that_cannot_be_used_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "one" / "ill").mkdir(parents=True)
    refused = edge(tmp_path / "home", "data", "add", str(tmp_path / "one"), "--disease", "malaria")
    assert (refused.code, refused.error["code"]) == (3, "federation.data_folder")
    assert edge(tmp_path / "home", "data", "list").json == {"data": []}
