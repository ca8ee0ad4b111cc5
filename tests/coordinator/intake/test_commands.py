"""``dataset report --html`` and ``dataset quarantine …`` as a person calls them."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from coordinator.bootstrap import Coordinator
from coordinator.cli import datasets as commands
from coordinator.errors import CoordinatorError
from protocols.console import Console
from protocols.errors import Language
from tests.support.dicom import dicom_file
from tests.support.html import Page
from tests.support.intake import add
from tests.support.pictures import write_set


async def waiting(coordinator: Coordinator, folder: Path) -> None:
    write_set(folder, 4)
    (folder / "groups.csv").unlink()
    for number, sop_class in enumerate(("6.1", "7")):
        dicom_file(
            folder / "uninfected" / f"{number}.dcm", sop_class=f"1.2.840.10008.5.1.4.1.1.{sop_class}", Rows=30 + number
        )
    await add(coordinator, folder)


async def test_quarantine_from_list_to_decision(
    coordinator: Coordinator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await waiting(coordinator, tmp_path / "set")
    console = Console(home=coordinator.home.root, json=True, language="en")

    async def answer(done: Awaitable[None]) -> Any:
        await done
        return json.loads(capsys.readouterr().out)

    listed = (await answer(commands.quarantine_list(console)))["quarantined"]
    assert {(r["dataset"], r["label"], r["doubt"]) for r in listed} == {
        ("malaria", "uninfected", "ultrasound"),
        ("malaria", "uninfected", "secondary_capture"),
    }
    out = tmp_path / "look.png"
    shown = await answer(commands.quarantine_show(console, listed[0]["id"], out))
    assert shown["bytes"] == out.stat().st_size and out.stat().st_mode & 0o777 == 0o600
    accepted = await answer(commands.quarantine_accept(console, [listed[0]["id"]]))
    rejected = await answer(commands.quarantine_reject(console, [listed[1]["id"]]))
    assert len(accepted["accepted"]) == len(rejected["rejected"]) == 1
    assert (await answer(commands.quarantine_list(console, "malaria")))["quarantined"] == []
    assert (await answer(commands.show(console, "malaria")))["images"] == 9
    for id_ in (listed[0]["id"], "", "%", "0000"):
        with pytest.raises(CoordinatorError) as caught:
            await commands.quarantine_accept(console, [id_])
        assert caught.value.code == "quarantine.unknown"


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_report_as_a_page_and_for_a_person(
    coordinator: Coordinator, tmp_path: Path, capsys: pytest.CaptureFixture[str], language: Language
) -> None:
    await waiting(coordinator, tmp_path / "set")
    out = tmp_path / "report.html"
    await commands.report(Console(home=coordinator.home.root, json=False, language=language), "malaria", out)
    said = capsys.readouterr().out
    assert ("dataset quarantine show" in said) and str(out) in said.replace("\n", "")
    assert Page(out.read_text("utf-8"), pictures=True).language == {"en": "en", "zh": "zh-CN"}[language]
    with pytest.raises(CoordinatorError) as caught:
        await commands.report(
            Console(home=coordinator.home.root, json=True, language=language), "malaria", tmp_path / "no" / "x"
        )
    assert caught.value.code == "file.not_found"
