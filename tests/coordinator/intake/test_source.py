"""Arranging files into classes, and the table of groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.errors import CoordinatorError
from coordinator.intake.groups import read_groups
from coordinator.intake.source import arrange


def test_classes_that_look_alike_stop_until_merged(tmp_path: Path) -> None:
    files = [("Nevus/1.png", tmp_path), ("nevus/2.png", tmp_path), ("mel/3.png", tmp_path)]
    with pytest.raises(CoordinatorError) as caught:
        arrange(files, tmp_path, merge_classes=False)
    assert caught.value.code == "intake.classes_alike"
    assert {m.label for m in arrange(files, tmp_path, merge_classes=True).members} == {"Nevus", "mel"}


def test_wrapper_folder_is_forgiven_and_one_class_is_not(tmp_path: Path) -> None:
    found = arrange(
        [("set/a/1.png", tmp_path), ("set/b/2.png", tmp_path), ("set/groups.csv", tmp_path)], tmp_path, False
    )
    assert found.wrapper == "set/" and {m.label for m in found.members} == {"a", "b"} and found.groups_file
    with pytest.raises(CoordinatorError) as caught:
        arrange([("a/1.png", tmp_path)], tmp_path, False)
    assert caught.value.code == "intake.no_classes"


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("name,patient\na/1.png,p1\n", 1),
        ("file,group\na/1.png,p1\nmissing.png,p2\n", 3),
        ("file,group\na/1.png,p1\na/1.png,p2\n", 3),
        ("file,group\na/1.png,\n", 2),
    ],
)
def test_groups_file_errors_name_the_row(tmp_path: Path, text: str, row: int) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(CoordinatorError) as caught:
        read_groups(path, {"a/1.png"}, "")
    assert caught.value.code == "intake.groups" and f"row {row}" in caught.value.message()


def test_groups_file_with_bom_gbk_backslashes_and_wrapper(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_bytes("﻿file,group\r\nset\\a\\1.png,病人一\r\n".encode())
    assert read_groups(path, {"a/1.png"}, "set/") == {"a/1.png": "病人一"}
    path.write_bytes("file,group\na/1.png,病人一\n".encode("gb18030"))
    assert read_groups(path, {"a/1.png"}, "") == {"a/1.png": "病人一"}
